"""The errors of commands."""

from typing import Literal

from bot.language.direct_request import WantedDeed
from bot.slack.message import Message

About = Literal["recipe", "name", "replicas", "limits", "until", "channel"]


class CommandError(Exception):
    """A command cannot be carried out. The sentence (mrkdwn) states the cause; the hint is a valid command.

    `ask`: what the caller may ask the launcher for instead, with a button. `about`: the part of a launch that has to
    change.
    """

    def __init__(
        self, sentence: str, *, hint: str | None = None, ask: WantedDeed | None = None, about: About | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.ask = ask
        self.about = about


class Denied(CommandError):
    """The person may not do this, or not here."""


class Undecided(CommandError):
    """Slack does not say whom a rule of the policy concerns: later it can be carried out."""


class NoRecipe(CommandError):
    """The recipe does not exist. `nearest`: the recipe with the most similar name."""

    def __init__(self, sentence: str, *, nearest: str | None) -> None:
        super().__init__(sentence)
        self.nearest = nearest


class EnvMissing(CommandError):
    """Variables of the recipe have no value and were not given."""

    def __init__(self, sentence: str, *, missing: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.missing = missing


class WrongInput(CommandError):
    """An input of a modal has a wrong value. `block`: the block_id of the input, at which the sentence is shown."""

    def __init__(self, block: str, sentence: str) -> None:
        super().__init__(sentence)
        self.block = block


class Unconfirmed(Exception):
    """The person has to confirm the price first. The sentence asks them; nothing was done yet."""

    def __init__(self, draft: str, sentence: str) -> None:
        """`draft`: the id of the stored confirmation."""
        super().__init__(sentence)
        self.draft = draft
        self.sentence = sentence


class Unapproved(Exception):
    """An approver has to decide first: the request is stored, and nothing was done yet. The message says so."""

    def __init__(self, message: Message) -> None:
        super().__init__(message.text)
        self.message = message


class NotShown(Exception):
    """Slack did not accept a message or a modal for one person. The text is Slack's code, or `no_answer`."""
