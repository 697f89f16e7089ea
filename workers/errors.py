"""The one base class of what can go wrong while machines are rented and kept."""


class WorkersError(Exception):
    """Something went wrong, and the message says what, why, and what mends it: people read it as it stands."""
