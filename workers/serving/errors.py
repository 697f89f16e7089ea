"""What can go wrong with engines."""

from workers.errors import WorkersError


class ServingError(WorkersError):
    """An engine cannot be started or asked as the recipe wants, and the message says what to change."""
