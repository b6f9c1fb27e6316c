"""From a network to what others load: a SavedModel with its card."""
