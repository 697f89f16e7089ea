"""The base class of failures between a question and its answer."""

from workers.secrecy import masked


class PromptingError(Exception):
    """A question could not be answered. The message states the cause and what to do, with secrets masked."""

    def __str__(self) -> str:
        return masked(super().__str__())  # an engine may have quoted a key
