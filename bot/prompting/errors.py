"""The one base class of what can go wrong between a question and its answer."""


class PromptingError(Exception):
    """Something went wrong on the way to an answer, and the message says what and what mends it."""
