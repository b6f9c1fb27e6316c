"""A page that enlarges photos, in the visitor's browser or by the computer that serves it."""
