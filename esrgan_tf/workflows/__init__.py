"""Training from a plan to a network."""
