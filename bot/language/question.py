"""PURE: a question from Slack, and the progress of its answer."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, NewType

from msgspec import Struct

from bot.language.quoted_message import QuotedMessage
from bot.language.typed_text import plain
from workers.deployment.events import DeploymentId

QuestionKey = NewType("QuestionKey", str)
"""Identifies a question: the same for every event that reports it."""


_PEOPLE = re.compile(r"\s*<(?:@[UW]|!(?:subteam\^|here|channel|everyone))")


def is_direct(channel: str) -> bool:
    """Whether a channel is a direct message of two people. Ids of group direct messages look like those of channels."""
    return channel.startswith("D")


EDITS_ANSWERED_FOR = timedelta(hours=1)
"""Age of a mention up to which an edit asks again. Slack reports a mention again whenever its message is edited."""


class Question(Struct, frozen=True, kw_only=True):
    """A question, who asks it, and where in Slack."""

    id: str
    """Slack's id of the request: an event id, or a command's trigger id."""
    team: str
    channel: str
    user: str
    text: str
    """As typed: without Slack's markup and the mention of the bot. It may begin with a deployment's name."""
    deployment: str | None = None
    """The deployment's name, if it is not part of the text."""
    thread_ts: str | None = None
    """The thread in which it was asked; None for a command and for a message outside threads."""
    message_ts: str | None = None
    """The message that asks; None for a command, which leaves no message."""
    response_url: str | None = None
    """The address for the answer to a command, even in a channel that the bot is not a member of."""

    attached: bool = False
    """Whether files or other messages are attached to the message. They are read from Slack when it is answered."""
    edited: str | None = None
    """When the message was edited, if that asks again: a ts."""
    chosen: bool = False
    """Whether a button repeated the question, for the deployment that it names."""
    replaces: QuestionKey | None = None
    """The key of the question whose answer this one replaces, if a button below that answer asks again."""
    outside: bool = False
    """Whether the asker belongs to another company, which `MIXTRAL_SLACK_TEAMS` lets in."""
    about: QuotedMessage | None = None
    """The message that it is about."""

    @property
    def key(self) -> QuestionKey:
        # A message that is both a mention and a reply causes two events.
        first = f"{self.unedited}:{self.edited}" if self.edited else self.unedited
        if self.replaces:  # once for each answer and deployment; a digest, since an answer may replace another one
            first = f"{self.unedited}:{sha256(self.replaces.encode()).hexdigest()[:16]}"
        return QuestionKey(f"{first}:{self.deployment}" if self.chosen else first)

    @property
    def unedited(self) -> QuestionKey:
        """The key of the question that its message asked at first."""
        return QuestionKey(f"{self.channel}:{self.message_ts}" if self.message_ts else self.id)

    @property
    def is_command(self) -> bool:
        return self.message_ts is None

    @property
    def is_direct(self) -> bool:
        """Whether it was asked in a direct message."""
        return is_direct(self.channel)


class Saying(StrEnum):
    """A message of the bot about a question, other than its answer."""

    NOTHING = ""
    WAITING = "waiting"
    """The notice that the question waits."""
    OVER = "over"
    """The reason why it has no answer."""


class Asked(Struct, frozen=True, kw_only=True):
    """A question and the progress of its answer, from which any process can continue."""

    question: Question
    asked_at: datetime
    deployment: DeploymentId | None = None
    prompt: str = ""
    """The text without its address; empty until a deployment is chosen."""
    thread: str | None = None
    """The root of the thread that gets the answer."""
    shown: str = ""
    """The ts of the bot's message that shows the question; empty if a person's message asks it."""
    notice: str | None = None
    """The ts of the notice that the question waits."""
    saying: Saying = Saying.NOTHING
    """What the bot was about to post instead of an answer, and has not recorded yet. The message may exist."""
    begun: tuple[str, ...] = ()
    """The messages of the answer that have been posted."""
    starting: datetime | None = None
    """When the bot was about to post a message whose ts is not recorded. The message may exist."""
    tries: int = 0
    failing_since: datetime | None = None
    """Time of the first refused message since Slack last accepted one; None if Slack accepts messages."""
    failures: int = 0
    """Number of failed tries since then, which bound the time that Slack has failed: the clock may step."""
    not_before: datetime | None = None
    """When to try again."""
    over: bool = False
    """Whether the answer, or the reason why there is none, was posted. Only the thread's session has to be ended."""


def of_message(
    event: Mapping[str, Any], *, id_: str, team: str, bot_user: str, attached: bool = False, outside: bool = False
) -> Question:
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
        attached=attached,
        edited=_edited(event),
        outside=outside,
    )


def _edited(event: Mapping[str, Any]) -> str | None:
    at = (event.get("edited") or {}).get("ts")
    asks_again = at and float(at) - float(event["ts"]) <= EDITS_ANSWERED_FOR.total_seconds()
    return str(at) if asks_again else None


def typed(text: str, bot_user: str) -> str:
    """The text of a message without mentions of the bot and without Slack's markup."""
    return plain(without_mention(text, bot_user))


def without_mention(text: str, bot_user: str) -> str:
    """The text of a message without mentions of the bot, as Slack sends it.

    A comma or colon after the mention belongs to it, but not the colon of an emoji.
    """
    mention = re.compile(rf"<@{re.escape(bot_user)}(?:\|[^>]*)?>[ \t]*(?:,|:(?![\w+-]+:))?") if bot_user else None
    return mention.sub("", text) if mention else text


def is_for_others(text: str) -> bool:
    """Whether a message begins with the mention of people."""
    return _PEOPLE.match(text) is not None
