"""PURE: `/mixtral logs`: the last lines of each replica's log."""

from collections.abc import Sequence
from typing import Protocol

from bot.slack.message import Message
from bot.views.amounts import count
from bot.views.blocks import context, fenced, section
from bot.views.escape import escape
from bot.views.offers import CLOUDS

MAX_REPLICAS = 4
MAX_CHARACTERS = 11_000
"""Maximum for all replicas together. A message holds about 13,200 characters."""


class ShownLog(Protocol):
    """The end of one replica's log, and where it runs (`gcp us-central1-a`)."""

    @property
    def replica(self) -> int: ...
    @property
    def place(self) -> str: ...
    @property
    def tail(self) -> str: ...


def logs(name: str, found: Sequence[ShownLog]) -> Message:
    """The newest replicas' logs, each as a code block."""
    shown = found[-MAX_REPLICAS:]
    each = min(2800, MAX_CHARACTERS // max(1, len(shown)))
    blocks = [
        section(f"*{escape(name)}*, replica {log.replica}, {_place(log.place)}\n{_tail(log.tail, each)}")
        for log in shown
    ]
    left = len(found) - len(shown)
    if left:
        blocks.append(context(f"{count(left, 'older log')} not shown."))
    return Message(f"The last lines that {escape(name)} printed.", tuple(blocks))


def _tail(tail: str, limit: int) -> str:
    return fenced(tail, limit) if tail.strip() else "It has printed nothing yet."


def _place(place: str) -> str:
    cloud, _, zone = place.partition(" ")
    return CLOUDS["local"] if cloud == "local" else f"{CLOUDS.get(cloud, escape(cloud))} {escape(zone)}".strip()
