"""Facts of a network measured on its Keras graph, without its options."""
