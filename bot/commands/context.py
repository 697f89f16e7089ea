"""The dependencies of the command handlers, and the caller of a command."""

from collections.abc import Callable, Collection
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from msgspec import Struct

from bot.commands.direct_requests import DirectRequests
from bot.commands.recipe_catalog import RecipeCatalog
from bot.commands.sight import Askable, Sight
from bot.commands.visibility import Viewer
from bot.language.question import Question, QuestionKey
from bot.prompting.channel_store import ChannelStore
from bot.prompting.drafts import Drafts
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.store import Threads
from bot.slack.message import JSON
from workers.api import Deployments
from workers.deployment.audit_stream import AuditStream
from workers.deployment.events import DeploymentId
from workers.placement.ladder import Ladder
from workers.policy.schema import Policy


class Caller(Struct, frozen=True, kw_only=True):
    """The person who sent a command, and where."""

    team: str
    channel: str
    user: str
    once: str
    """Slack's trigger id: the same for every delivery of one request."""
    response_url: str | None = None
    thread: str | None = None
    """The thread of the message whose button was pressed."""
    confirmed: Decimal | None = None
    """USD per hour that they have confirmed by a press; None: nothing."""
    outside: bool = False
    """Whether they belong to another company, which `MIXTRAL_SLACK_TEAMS` lets in."""

    @property
    def viewer(self) -> Viewer:
        return Viewer(user=self.user, channel=self.channel, outside=self.outside)


class Channels(Protocol):
    """The part of `channels.SlackChannels` that the handlers use."""

    def obstacle(self, channel: str, user: str) -> str: ...
    def readers(self, channel: str) -> tuple[str, ...]: ...
    def card_link(self, deployment: DeploymentId) -> str | None: ...
    def open_modal(self, trigger: str, view: JSON) -> None: ...


class Answers(Protocol):
    """Accepts questions. They are answered asynchronously.

    `claim`: whether a message that is no question is reported for the first time. `stop_one`: whether the question is
    being answered, in this channel.
    """

    def ask(self, question: Question) -> bool: ...
    def claim(self, question: Question) -> bool: ...
    def stop(self, channel: str, thread: str, pressed: str) -> None: ...
    def stop_one(self, channel: str, key: QuestionKey) -> bool: ...
    def deleted(self, channel: str, ts: str) -> None: ...


class CommandContext(Struct, frozen=True, kw_only=True):
    """The dependencies of the command handlers."""

    deployments: Deployments
    recipes: RecipeCatalog
    ladder: Ladder
    """The offers for a recipe, cheapest first."""
    priced: Callable[[], str]
    """Returns the source and age of the prices, as text."""
    answers: Answers
    given: GivenAnswers
    threads: Threads
    settings: ChannelStore
    """What people have set for each channel."""
    drafts: Drafts
    """What open forms and questions with buttons are about."""
    channels: Channels
    admins: Collection[str]
    sight: Sight
    askable: Askable
    direct_requests: DirectRequests
    policy: Callable[[], Policy]
    """Returns the policy that is in force. Raises RedisError."""
    audit: AuditStream
    """Where each request gets its entry."""
    now: Callable[[], datetime]
    policy_fault: Callable[[], str] = str
    """Returns why the newest file of the policy is not in force; empty if it is."""
    confirm_above: Decimal = Decimal(60)
    """USD per hour above which a launch or scale by hand is confirmed first."""
