"""PURE: a message as text and blocks, and the metadata by which it is found."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct

JSON: TypeAlias = dict[str, Any]


class Message(Struct, frozen=True):
    """A Slack message. Views build it within Slack's limits."""

    text: str
    """mrkdwn, shown in notifications, by screen readers, and by clients without blocks."""
    blocks: tuple[JSON, ...] = ()
    instead: tuple[JSON, ...] = ()
    """Blocks without kinds that only newer versions of Slack have, for where it refuses `blocks`; empty: the same."""


NOTHING = Message(text="")
"""The result of what is visible already, as on the card or in a modal that opened: no message is shown."""


class Identity(Struct, frozen=True, kw_only=True):
    """The bot's ids and names. Empty where Slack did not return them."""

    user: str = ""
    bot: str = ""
    name: str = ""
    team: str = ""
    """The workspace's name."""
    team_id: str = ""
    enterprise: str = ""
    """The id of the enterprise that the workspace belongs to, on Enterprise Grid."""
    granted: frozenset[str] = frozenset()
    """The scopes of the token."""


def bears(message: Mapping[str, Any], metadata: JSON) -> bool:
    """Return whether a message has this metadata. Its payload may contain more fields."""
    there = message.get("metadata") or {}
    payload, wanted = there.get("event_payload") or {}, metadata["event_payload"]
    return bool(there.get("event_type") == metadata["event_type"] and wanted.items() <= payload.items())
