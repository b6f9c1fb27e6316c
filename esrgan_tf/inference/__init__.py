"""Images of any size through any generator."""
