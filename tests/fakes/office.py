"""A CommandContext for tests of commands, with the real log and the real `Deployments`."""

from datetime import UTC, datetime
from pathlib import Path

from redis import Redis

from bot.commands import handlers
from bot.commands.context import Caller, CommandContext
from bot.commands.direct_requests import DirectRequests
from bot.commands.errors import NotShown
from bot.commands.recipe_catalog import RecipeCatalog
from bot.commands.settle import settle
from bot.commands.sight import Askable, Sight
from bot.language.command import Command
from bot.language.grammar import parse
from bot.language.question import Question
from bot.prompting.channel_store import ChannelStore
from bot.prompting.drafts import Drafts
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.store import Threads
from bot.slack.facts import ChannelFacts, PersonFacts
from bot.slack.message import JSON
from tests.builders.logs import Logs
from tests.person import words as words_of
from workers.api import Deployments
from workers.deployment.audit_stream import AuditStream
from workers.deployment.events import DeploymentId
from workers.policy.stored import StoredPolicy

HERE = Path(__file__)
RECIPES = HERE.parents[1] / "recipes"


class Directory:
    """Slack's data in memory. Channels are public, and people are members of the workspace, unless set."""

    def __init__(self) -> None:
        self.channels: dict[str, ChannelFacts | None] = {}
        self.joined: dict[str, frozenset[str] | None] = {}
        self.people: dict[str, PersonFacts | None] = {}
        self.groups: dict[str, frozenset[str] | None] = {}
        self.asked: list[str] = []

    def channel(self, channel: str) -> ChannelFacts | None:
        self.asked.append(channel)
        return self.channels.get(channel, ChannelFacts(is_public=True))

    def members(self, channel: str) -> frozenset[str] | None:
        self.asked.append(channel)
        return self.joined.get(channel)

    def group(self, group: str) -> frozenset[str] | None:
        self.asked.append(group)
        return self.groups.get(group, frozenset())

    def person(self, user: str) -> PersonFacts | None:
        self.asked.append(user)
        return self.people.get(user, PersonFacts(team="T1"))


class Channels:
    """The Slack calls of `bot.commands.context.Channels`, in memory."""

    def __init__(self) -> None:
        self.joined = True
        self.link: str | None = None
        self.companies: tuple[str, ...] = ()
        self.refuses: str | None = None
        self.opened: list[JSON] = []
        """The modals that were opened. None opens while `refuses` is set."""

    def open_modal(self, trigger: str, view: JSON) -> None:
        if self.refuses:
            raise NotShown(self.refuses)
        self.opened.append(view)

    def readers(self, channel: str) -> tuple[str, ...]:
        return self.companies

    def obstacle(self, channel: str, user: str) -> str:
        return "" if self.joined else "not_in_channel"

    def card_link(self, deployment: DeploymentId) -> str | None:
        return self.link


class Answers:
    """Stores questions."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.claimed: set[str] = set()
        self.stopped: list[str] = []
        self.running: dict[str, str] = {}
        """Channels of the questions that are being answered, by key."""

    def ask(self, question: Question) -> bool:
        is_new = question.key not in {asked.key for asked in self.asked}
        if is_new:
            self.asked.append(question)
        return is_new

    def claim(self, question: Question) -> bool:
        first = question.key not in self.claimed
        self.claimed.add(question.key)
        return first

    def stop(self, channel: str, thread: str, pressed: str) -> None:
        self.stopped.append(thread)

    def stop_one(self, channel: str, key: str) -> bool:
        if self.running.get(key) != channel:
            return False
        self.stopped.append(key)
        return True

    def deleted(self, channel: str, ts: str) -> None:
        raise NotImplementedError


class Office:
    """A context with all of its parts."""

    def __init__(self, redis: Redis) -> None:
        self.nudged: list[DeploymentId] = []
        self.requests = Deployments(redis, self._nudge, {})
        self.channels, self.answers = Channels(), Answers()
        self.running = Logs(redis)
        self.directory = Directory()
        sight = Sight(self.directory, {"UADMIN"}, StoredPolicy(redis).current)
        self.context = CommandContext(
            deployments=self.requests,
            recipes=RecipeCatalog((RECIPES,), {}, "scripted"),
            ladder=lambda *_: ((), "nothing fits"),
            priced=lambda: "read today",
            answers=self.answers,
            settings=ChannelStore(redis),
            drafts=Drafts(redis),
            given=GivenAnswers(redis),
            threads=Threads(redis),
            channels=self.channels,
            admins=frozenset({"UADMIN"}),
            sight=sight,
            askable=Askable(self.requests, sight),
            direct_requests=DirectRequests(redis),
            policy=StoredPolicy(redis).current,
            audit=AuditStream(redis),
            now=lambda: datetime.now(UTC),
        )
        self._told = 0

    def _nudge(self, deployment: DeploymentId) -> None:
        self.nudged.append(deployment)

    def says(self, command: Command | str, user: str = "U1", once: str | None = None, channel: str = "C0HERE") -> str:
        self._told += 1
        caller = Caller(team="T1", channel=channel, user=user, once=once or f"1.{self._told}", response_url="http://r")
        asked = parse(command) if isinstance(command, str) else command
        message = settle("test", caller, lambda: handlers.handle(asked, caller, self.context))
        return words_of({"text": message.text, "blocks": list(message.blocks)})
