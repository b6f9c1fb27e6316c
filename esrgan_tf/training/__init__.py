"""Training: one loop, the step over all devices, and one file per phase with its losses."""
