"""PURE: a question that somebody put, and what is remembered of it until it is answered."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NewType

from msgspec import Struct

from bot.language.typed_text import plain
from workers.deployment.events import DeploymentId

QuestionKey = NewType("QuestionKey", str)
"""The same for every telling of one question."""


class Question(Struct, frozen=True, kw_only=True):
    """What somebody wants to be answered, and where."""

    id: str
    """Slack's own id of what asked: an event id, or a command's trigger id."""
    team: str
    channel: str
    user: str
    text: str
    """As typed: Slack's markup undone, the mention of the bot taken off. It may begin with a deployment's name."""
    deployment: str | None = None
    """The deployment's name, where it was said apart from the text."""
    thread_ts: str | None = None
    """The thread in which it was asked; None for a command and for a message outside threads."""
    message_ts: str | None = None
    """The message that asks; None for a command, which leaves no message."""
    response_url: str | None = None
    """Where a command may be answered even in a channel that the bot is no member of."""

    chosen: bool = False
    """Put again by a press of a button that names the deployment."""

    @property
    def key(self) -> QuestionKey:
        # One message comes as two events where it is a mention and a reply at once.
        first = f"{self.channel}:{self.message_ts}" if self.message_ts else self.id
        return QuestionKey(f"{first}:{self.deployment}" if self.chosen else first)

    @property
    def is_command(self) -> bool:
        return self.message_ts is None

    @property
    def is_direct(self) -> bool:
        """Asked where nobody else reads."""
        return self.channel.startswith("D")


class Asked(Struct, frozen=True, kw_only=True):
    """A question and how far its answer has come. A process that finds it can go on from here."""

    question: Question
    asked_at: datetime
    deployment: DeploymentId | None = None
    prompt: str = ""
    """The text without its address; empty until a deployment is chosen."""
    thread: str | None = None
    """The root of the thread that gets the answer."""
    notice: str | None = None
    """The message that says that the question waits."""
    begun: tuple[str, ...] = ()
    """The messages of the answer, as far as they are posted."""
    starting: datetime | None = None
    """When a message was about to be posted whose ts is not known yet: one that nobody wrote down may be this one."""
    tries: int = 0
    failing_since: datetime | None = None
    """Since then Slack has taken nothing of it."""
    not_before: datetime | None = None
    """When to try again."""


def of_message(event: Mapping[str, Any], *, id_: str, team: str, bot_user: str) -> Question:
    """The question in a `message` or `app_mention` event.

    A message outside threads becomes the root of its answer's thread.
    """
    return Question(
        id=id_,
        team=team,
        channel=event["channel"],
        user=event.get("user", ""),
        text=typed(event.get("text", ""), bot_user),
        thread_ts=event.get("thread_ts"),
        message_ts=event["ts"],
    )


def typed(text: str, bot_user: str) -> str:
    """What a message says to the bot: without mentions of it, and with Slack's markup undone."""
    mention = re.compile(rf"<@{re.escape(bot_user)}(?:\|[^>]*)?>[ \t]*[:,]?") if bot_user else None
    return plain(mention.sub("", text) if mention else text)
