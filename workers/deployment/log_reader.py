"""Reads new entries of many logs, A_ROUND_TRIP logs in each round trip."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import Struct

from workers.deployment.events import DeploymentId, LoggedEvent, Version
from workers.deployment.log import FEED, Log, _key, decode

A_ROUND_TRIP = 100
"""Number of logs that are read in one round trip; a log with its ladder has about 100 KB."""

FEED_BATCH = 1000


class Entry(Struct, frozen=True):
    """An encoded event at its version. Its bytes are unique, because they contain its random id."""

    version: Version
    event: bytes


class LogReader:
    """Reads the feed, and the newest entries of many logs together."""

    def __init__(self, log: Log) -> None:
        self._redis: Any = log._redis  # noqa: SLF001 - the same connections, for the same logs

    def changed(self, after: str) -> tuple[str, list[DeploymentId]]:
        """The end of the feed, and each deployment with an append after a position. Returns immediately."""
        found: dict[DeploymentId, None] = {}
        entries: list[Any] = [None] * FEED_BATCH
        while len(entries) == FEED_BATCH:
            replies = self._redis.xread({FEED: after}, count=FEED_BATCH)
            entries = replies[0][1] if replies else []
            found |= dict.fromkeys(DeploymentId(fields[b"d"].decode()) for _, fields in entries)
            after = entries[-1][0].decode() if entries else after
        return after, list(found)

    def last(self, deployments: Collection[DeploymentId]) -> dict[DeploymentId, Entry]:
        """The newest entry of each log; empty logs are left out."""
        asked = {id_: {"min": "-", "max": "+", "count": 1} for id_ in deployments}
        return {id_: entries[0] for id_, entries in self._ranges("xrevrange", asked) if entries}

    def read(self, after: Mapping[DeploymentId, Version]) -> Iterator[tuple[DeploymentId, list[Entry]]]:
        """The entries of each log from a version on, that one included."""
        return self._ranges("xrange", {id_: {"min": f"{version}-0"} for id_, version in after.items()})

    def _ranges(
        self, command: str, asked: Mapping[DeploymentId, Mapping[str, Any]]
    ) -> Iterator[tuple[DeploymentId, list[Entry]]]:
        ids = list(asked)
        for chunk in (ids[at : at + A_ROUND_TRIP] for at in range(0, len(ids), A_ROUND_TRIP)):
            pipeline = self._redis.pipeline(transaction=False)
            for id_ in chunk:
                getattr(pipeline, command)(_key(id_), **asked[id_])
            for id_, entries in zip(chunk, pipeline.execute(), strict=True):
                yield id_, [Entry(_version(at), fields[b"e"]) for at, fields in entries]


def decoded(entry: Entry) -> LoggedEvent:
    """The event of an entry. Raises MsgspecError if it is not one."""
    return decode(entry.event)


def _version(position: bytes) -> Version:
    return Version(int(position.split(b"-")[0]))
