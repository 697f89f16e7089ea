"""The base class of the workers' errors."""


class WorkersError(Exception):
    """The message contains the error, its cause and how to fix it: it is shown to people unchanged."""
