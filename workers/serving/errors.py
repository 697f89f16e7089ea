"""Errors of engines."""

from workers.errors import WorkersError


class ServingError(WorkersError):
    """An engine cannot be started or called as the recipe requires. The message includes what to change."""
