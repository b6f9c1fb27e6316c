"""A web page that upscales photos, in the visitor's browser or on the computer that serves the page."""
