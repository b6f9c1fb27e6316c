"""Bundled and downloadable models by name, and weights files of all readable formats."""
