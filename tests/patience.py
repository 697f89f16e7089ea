"""How much longer than on a quiet machine things may take before a test gives up on them."""

PATIENCE = 4
"""Bounds on waiting are written for a quiet machine and multiplied by this: to be busy is no failure."""
