"""The record of each card in Redis, from which the next follower continues."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from redis import Redis

from bot.views import alerts, card_refusals
from workers.deployment.events import DeploymentId, Version
from workers.deployment.log import START
from workers.deployment.state import Deployment

logger = logging.getLogger(__name__)

CARDS = "mixtral:cards"

KEY = "mixtral_key"
BEGUN = "…"

SAID_KEPT = 100
"""Maximum number of alerts that a record keeps if their kind contains a time or the id of an event. Outages and
losses of control are counted separately."""

_SAID_ONCE = frozenset({KEY, alerts.READY, alerts.FAILED, alerts.ENDED, alerts.COSTLY})


class CardRecord(Struct, kw_only=True, omit_defaults=True):
    """State of one card: a field of the hash `mixtral:cards`, in JSON."""

    channel: str = ""
    ts: str | None = None
    digest: str = ""
    version: Version = START
    """The version of the log that the card shows. `START` in records of earlier versions of the bot."""
    posting_since: datetime | None = None
    """When a post started whose outcome is not known."""
    replaces: str | None = None
    """The ts of a card that was deleted in Slack, or could no longer be edited; it is replaced once."""
    over: bool = False
    """The card is final, unless the deployment changes."""
    dropped: bool = False
    """The card was deleted twice in Slack, and is not posted again."""
    said: dict[str, str] = {}
    """The ts of each alert by kind, as far as it may be due again; the one that was due last is last. `…` for an alert
    whose post was started and is not confirmed."""
    refusals: int = 0
    """Number of consecutive refusals of the card by Slack."""
    not_before: datetime | None = None
    """Earliest time of the next attempt after a refusal."""


class CardRecords:
    """The records of all cards. Raises RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def remember(self, deployment: DeploymentId) -> None:
        """Record that a deployment has a card, for the next follower."""
        self._redis.hsetnx(CARDS, deployment, b"{}")

    def all(self) -> list[DeploymentId]:
        """Return every deployment with a record."""
        return [DeploymentId(id_.decode()) for id_ in self._redis.hkeys(CARDS)]

    def unfinished(self) -> list[DeploymentId]:
        """Return the deployments whose cards may not be up to date."""
        records = {id_.decode(): value for id_, value in self._redis.hgetall(CARDS).items()}
        return [DeploymentId(id_) for id_, value in records.items() if _is_unfinished(id_, value)]

    def versions(self) -> dict[DeploymentId, Version]:
        """Return which version of its log each card shows."""
        records = {DeploymentId(id_.decode()): value for id_, value in self._redis.hgetall(CARDS).items()}
        return {id_: _decode(value).version for id_, value in records.items() if not _is_unreadable(value)}

    def forget(self, deployment: DeploymentId) -> None:
        """Remove the record of a deployment whose log has expired."""
        self._redis.hdel(CARDS, deployment)

    def load(self, state: Deployment) -> CardRecord:
        value = self._redis.hget(CARDS, state.id)
        if not value:
            return CardRecord()
        try:
            return _decode(value)
        except msgspec.MsgspecError:
            # Any of these may have been posted: Slack is searched before a post.
            said = {KEY: "whispered", alerts.READY: BEGUN, alerts.FAILED: BEGUN, alerts.ENDED: BEGUN}
            return CardRecord(posting_since=state.requested_at, said=said)

    def save(self, state: Deployment, record: CardRecord) -> None:
        self._redis.hset(CARDS, state.id, msgspec.json.encode(record))


def worth_keeping(said: Mapping[str, str]) -> dict[str, str]:
    """What was said, without old alerts that are not due again. `said`: those that were due last are last.

    Kinds without a time or an id are kept: each of them is said once in the life of the deployment.
    """
    once = {kind for kind in said if kind in _SAID_ONCE or kind.startswith(card_refusals.NOTICE)}
    with_end = [kind for kind in said if kind.startswith((alerts.OUT, alerts.LOST))]
    others = [kind for kind in said if kind not in once.union(with_end)]
    kept = once.union(with_end[-SAID_KEPT:], others[-SAID_KEPT:])
    return {kind: ts for kind, ts in said.items() if kind in kept}


def _is_unreadable(value: bytes) -> bool:
    try:
        _decode(value)
    except msgspec.MsgspecError:
        return True
    return False


def _is_unfinished(deployment: str, value: bytes) -> bool:
    try:
        record = _decode(value)
    except msgspec.MsgspecError as error:
        logger.warning("the record of the card of %s cannot be read, and is recreated: %s", deployment, error)
        return True
    return not (record.over or record.dropped)


def _decode(value: bytes) -> CardRecord:
    return msgspec.json.decode(value, type=CardRecord)
