"""A factor for timeouts of tests on loaded machines."""

PATIENCE = 4
"""Factor for timeouts. Timeouts are written for an idle machine; load must not fail a test."""
