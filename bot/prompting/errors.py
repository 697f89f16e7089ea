"""The base class of failures between a question and its answer."""


class PromptingError(Exception):
    """A question could not be answered. The message states the cause and what to do."""
