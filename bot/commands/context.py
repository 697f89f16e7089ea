"""What the handlers of commands work with, and who they work for."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from bot.commands.recipe_catalog import RecipeCatalog
from bot.language.question import Question
from bot.slack.message import Message
from workers.api import Deployments
from workers.deployment.events import DeploymentId
from workers.placement.ladder import Ladder


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, and where."""

    team: str
    channel: str
    user: str
    once: str
    """Slack's trigger id: the same for every telling of one request."""
    response_url: str | None = None


class Channels(Protocol):
    """What has to be asked of Slack before an answer. None takes longer than a second."""

    def may_post(self, channel: str) -> bool:
        """Whether the bot can write there; True where that cannot be found out."""
        ...

    def card_link(self, deployment: DeploymentId) -> str | None:
        """The address of a deployment's card, if it has one."""
        ...

    def whisper(self, channel: str, user: str, message: Message) -> None:
        """Show a message to one person of a channel alone. Raises NotShown."""
        ...


class Answers(Protocol):
    """Takes questions; answers come later, by themselves."""

    def ask(self, question: Question) -> None: ...


class CommandContext(Struct, frozen=True, kw_only=True):
    """Everything that a command may need."""

    deployments: Deployments
    recipes: RecipeCatalog
    ladder: Ladder
    """The offers for a recipe, cheapest first."""
    priced: Callable[[], str]
    """Returns where the prices come from and how old they are, for people."""
    answers: Answers
    channels: Channels
    admins: Collection[str]
    now: Callable[[], datetime]
