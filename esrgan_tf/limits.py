"""What is refused alike wherever images are read."""

MOST_PIXELS = 2**28  # more is taken for a decompression bomb: 268 million, ten times a large camera's
