"""A page that enlarges photos in the visitor's browser."""
