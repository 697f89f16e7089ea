"""What a command can fail with."""


class CommandError(Exception):
    """A command that cannot be carried out: the sentence (mrkdwn) says why, the hint is a command that would work."""

    def __init__(self, sentence: str, *, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class NoRecipe(CommandError):
    """The recipe is not there; `nearest` is one that may have been meant."""

    def __init__(self, sentence: str, *, nearest: str | None) -> None:
        super().__init__(sentence)
        self.nearest = nearest


class EnvMissing(CommandError):
    """The recipe leaves variables to whoever launches it."""

    def __init__(self, sentence: str, *, missing: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.missing = missing


class NotShown(Exception):
    """Slack did not take a message for one person; the text is Slack's code, or `no_answer`."""
