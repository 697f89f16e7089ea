"""Reads threads and channels, and finds a message by its metadata."""

import logging
from datetime import datetime, timedelta
from typing import Any

from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackRefused
from bot.slack.message import JSON, bears
from bot.slack.slack_steps import Steps, insisting

_LOG = logging.getLogger(__name__)

PAGES_READ = 10
"""Maximum number of pages of a thread."""
PAGES_SEARCHED = 5
RECENT = 50
"""Number of messages that `reading_recent` reads."""
SETTLES = timedelta(seconds=3)
"""Maximum time until a message whose reply was lost can be read."""


def reading_thread(slack: SlackCalls, channel: str, root: str) -> Steps[list[JSON] | None]:
    """Return a thread, root first; None if Slack refuses. Retries. Raises SlackBusy, SlackAway, RedisError."""
    found: list[JSON] = []
    cursor = None
    for _ in range(PAGES_READ):
        page = yield from _insisted(slack, "conversations.replies", channel, thread=root, cursor=cursor)
        if page is None:
            return found or None
        messages, cursor = page
        found += messages
        if cursor is None:
            break
    return found


def reading_recent(slack: SlackCalls, channel: str) -> Steps[list[JSON]]:
    """Return a channel's newest messages; [] if Slack refuses. Retries. Raises SlackBusy, SlackAway, RedisError."""
    page = yield from _insisted(slack, "conversations.history", channel, limit=RECENT)
    return [] if page is None else page[0]


def find(
    slack: SlackCalls,
    channel: str,
    metadata: JSON,
    *,
    block: str | None = None,
    since: datetime | None = None,
    thread: str | None = None,
) -> str | None:
    """Return the ts of a message with this metadata or block; None if there is none. Raises SlackFailed."""
    cursor = None
    for _ in range(PAGES_SEARCHED):
        messages, cursor = slack.page(channel, thread=thread, since=since, cursor=cursor)
        for message in messages:
            blocks = message.get("blocks") or []
            if bears(message, metadata) or (block and any(each.get("block_id") == block for each in blocks)):
                return str(message["ts"])
        if cursor is None:
            break
    return None


def _insisted(
    slack: SlackCalls, method: str, channel: str, **about: Any
) -> Steps[tuple[list[JSON], str | None] | None]:
    if not slack.has(method, channel):
        return None
    try:
        return (yield from insisting(lambda: slack.page(channel, **about)))
    except SlackRefused as refused:
        _LOG.info("%s: %s", method, refused)
        slack.note(method, channel, refused)
        return None
