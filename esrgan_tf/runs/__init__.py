"""What stands where in a run folder, how a phase starts, what ends it, and its curves. Imports no TensorFlow."""
