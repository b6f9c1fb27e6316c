"""Engines: what computes a generator."""
