"""The base class of the workers' errors."""

from workers.secrecy import masked


class WorkersError(Exception):
    """The message contains the error, its cause and how to fix it: it is shown to people, with secrets masked."""

    def __str__(self) -> str:
        return masked(super().__str__())  # a cloud or an engine may have quoted a key
