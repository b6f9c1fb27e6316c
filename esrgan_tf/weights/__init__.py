"""Networks by name: those in the package, and those that others have published."""
