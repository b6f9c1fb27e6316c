"""Engines that compute a generator."""
