"""The one base class of what a command can fail with."""


class CommandError(Exception):
    """A command that cannot be carried out: the sentence (mrkdwn) says why, the hint is a command that would work."""

    def __init__(self, sentence: str, *, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
