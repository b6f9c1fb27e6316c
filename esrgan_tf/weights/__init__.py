"""Models by name (bundled and downloadable ones), and weights files of all readable formats."""
