"""What is posted: one message, as its fallback sentence and its blocks."""

from typing import Any

from msgspec import Struct


class Message(Struct, frozen=True):
    """A message of Slack's, within its limits by construction."""

    text: str
    """What notifications, screen readers and clients without blocks show: mrkdwn, one good sentence."""
    blocks: tuple[dict[str, Any], ...] = ()
