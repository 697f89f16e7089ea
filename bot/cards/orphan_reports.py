"""Reports to the admins, once, each machine that runs without a deployment."""

import hashlib
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from redis import Redis

from bot.cards.repeating import by_one, repeat
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.message import JSON
from bot.slack.reading import find
from bot.views import orphan_machines as view
from workers.deployment.orphans import Orphan
from workers.lease import Lease

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
EVERY = timedelta(seconds=10)
"""Interval between two looks."""

KEPT_FOR = timedelta(days=7)
"""Time for which a report is remembered; a machine that runs for longer is reported again."""

KIND = "mixtral_orphans"
"""Event type of the metadata of a report."""

LOOK_BACK = timedelta(days=1)
"""Time in which a report that was begun before a crash is searched for."""

BEGUN = "begun "
"""Recorded, with the id of the report, in place of its ts while it is posted."""
UNDELIVERED = "refused "
"""Recorded, with the time in Unix seconds, in place of the ts of a report that Slack refused."""


class KnownOrphans(Protocol):
    """The part of `workers.api.Deployments` that is used here."""

    def orphans(self) -> list[Orphan]: ...


class OrphanReports:
    """One process at a time works, by lease."""

    def __init__(
        self,
        deployments: KnownOrphans,
        slack: SlackCalls,
        redis: Redis,
        *,
        admins: Collection[str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._deployments, self._slack = deployments, slack
        self._redis: Any = redis
        self._admins = admins
        self._now = clock
        self._lease = Lease(redis, "orphans", LEASE)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        repeat(by_one(self._lease, self.look), stop, every=EVERY, what="the report of machines without a deployment")

    def look(self) -> None:
        """Report what is new, to each admin. Raises RedisError."""
        there = self._deployments.orphans()
        for admin in sorted(self._admins) if there else ():
            said = self._said(admin)
            for begun in sorted({value for value in said.values() if value.startswith(BEGUN)}):
                self._report(admin, [orphan for orphan in there if said.get(orphan.key) == begun], begun, again=True)
            new = [orphan for orphan in there if orphan.key not in said]
            self._report(admin, new, f"{BEGUN}{_digest(new)}")

    def _said(self, admin: str) -> dict[str, str]:
        """What was reported to an admin in KEPT_FOR, by the keys of orphans. What is older is removed."""
        fields = self._redis.hgetall(reported(admin))
        said = {field.decode(): value.decode() for field, value in fields.items()}
        # Each note renews the expiry of the whole hash.
        if old := [key for key, value in said.items() if _is_old(value, self._now())]:
            self._redis.hdel(reported(admin), *old)
        return {key: value for key, value in said.items() if key not in old}

    def _report(self, admin: str, orphans: Sequence[Orphan], begun: str, *, again: bool = False) -> None:
        """Post one message. `again`: a process died while it posted it."""
        if not orphans:
            return
        metadata: JSON = {"event_type": KIND, "event_payload": {"report": begun}}
        try:
            channel = self._slack.open_direct(admin)
            ts = find(self._slack, channel, metadata, since=self._now() - LOOK_BACK) if again else None
            if ts is None:
                self._note(admin, orphans, begun)
                ts = self._slack.post(channel, view.found(orphans), metadata=metadata)
        except SlackRefused as refused:
            logger.warning("%s cannot be told about machines without a deployment: %s", admin, refused)
            ts = f"{UNDELIVERED}{self._now().timestamp()}"
        except SlackFailed as failed:
            logger.info("machines without a deployment are reported later: %s", failed)
            return
        self._note(admin, orphans, ts)

    def _note(self, admin: str, orphans: Sequence[Orphan], value: str) -> None:
        key = reported(admin)
        self._redis.pipeline().hset(key, mapping={o.key: value for o in orphans}).expire(key, KEPT_FOR).execute()


def reported(admin: str) -> str:
    """The key of what was reported to an admin."""
    return f"mixtral:orphans:reported:{admin}"


def _is_old(value: str, now: datetime) -> bool:
    """Whether a report was made more than KEPT_FOR ago. One that was only begun has no time: it is made, or expires."""
    if value.startswith(BEGUN):
        return False
    at = value.removeprefix(UNDELIVERED.strip()).strip() or "0"  # earlier versions noted no time of a refusal
    return now.timestamp() - float(at) > KEPT_FOR.total_seconds()


def _digest(orphans: Sequence[Orphan]) -> str:
    return hashlib.sha256(" ".join(sorted(orphan.key for orphan in orphans)).encode()).hexdigest()[:16]
