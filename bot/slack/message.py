"""PURE: what is posted, as its fallback sentence and its blocks; and the metadata that it is found by."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct

JSON: TypeAlias = dict[str, Any]


class Message(Struct, frozen=True):
    """A message of Slack's, within its limits by construction."""

    text: str
    """What notifications, screen readers and clients without blocks show: mrkdwn, one good sentence."""
    blocks: tuple[JSON, ...] = ()


class Identity(Struct, frozen=True, kw_only=True):
    """The ids and names under which the bot's messages stand. What Slack does not tell is empty."""

    user: str = ""
    bot: str = ""
    name: str = ""
    team: str = ""


def bears(message: Mapping[str, Any], metadata: JSON) -> bool:
    """Whether a message was posted with this metadata, whatever more its payload holds."""
    there = message.get("metadata") or {}
    payload, wanted = there.get("event_payload") or {}, metadata["event_payload"]
    return bool(there.get("event_type") == metadata["event_type"] and wanted.items() <= payload.items())
