"""The event log of each deployment: one Redis stream. An append succeeds only at the version that the writer read."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

import msgspec
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from workers.deployment.asked import current
from workers.deployment.audit import audit_of
from workers.deployment.audit import encode as encode_audit
from workers.deployment.audit_stream import APPEND as _AUDIT
from workers.deployment.audit_stream import mark_of
from workers.deployment.events import (
    FIRST_KEY,
    SNAPSHOT_SCHEMA,
    AnyEvent,
    DeploymentEnded,
    DeploymentId,
    EventId,
    KeyIssued,
    KeyRevoked,
    LaunchIntended,
    LoggedEvent,
    NewerEvent,
    Requested,
    Snapshotted,
    Version,
)
from workers.deployment.keys import BOT, REPLICA, Secrets, new_key
from workers.deployment.ledger import LEDGER, encode, entry_of
from workers.errors import UnreadableLog, WorkersError

FEED = "mixtral:feed"
NAMES = "mixtral:names"
KEYS = "mixtral:keys"
PAST = "mixtral:past"
"""Sorted set of `<name> <id>` of ended deployments, by the time of their end."""

FEED_LENGTH = 100_000
"""Approximate number of entries in the feed. A follower that is further behind starts from the logs."""

START = Version(0)

KEPT_AFTER_END = timedelta(days=30)
"""Time for which the log of an ended deployment is kept, to identify machines that appear later."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyEvent).decode
_decode_newer = msgspec.json.Decoder(NewerEvent).decode

# Each event is followed, after all events, by its entry in the ledger (KEYS[3]), or by an empty string; these, in the
# same way, by the entries in the audit, and by the mark of the request, or an empty string. The audit is first: if its
# stream is damaged, nothing is appended, and so nothing is bought.
# `rest`: index of the first argument after them. Reply: 1 when appended, 0 when the log is not at the expected version.
_APPEND = f"""
{_AUDIT}
local FEED_LENGTH = {FEED_LENGTH}
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local version = 0
if #last > 0 then version = tonumber(string.match(last[1][1], '^(%d+)')) end
if version ~= tonumber(ARGV[2]) then return 0 end
local count = tonumber(ARGV[3])
for i = 2 * count + 4, 3 * count + 3 do
  if ARGV[i] ~= '' then
    audit(ARGV[i])
    if ARGV[3 * count + 4] ~= '' then redis.call('SET', ARGV[3 * count + 4], 1, 'EX', AUDITED_FOR) end
  end
end
for i = 4, count + 3 do
  version = version + 1
  redis.call('XADD', KEYS[1], version .. '-0', 'e', ARGV[i])
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', FEED_LENGTH, '*', 'd', ARGV[1], 'v', version)
  if ARGV[i + count] ~= '' then redis.call('XADD', KEYS[3], '*', 'e', ARGV[i + count]) end
end
local rest = 3 * count + 5
"""

_PLAIN = _APPEND + "return 1"

# Only if the last argument is the id of the newest entry of the ledger, so that what was decided by it still holds.
_INTEND = (
    """
local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
if (newest[1] and newest[1][1] or '') ~= ARGV[#ARGV] then return 0 end
"""
    + _PLAIN
)

# The last event is a snapshot: it replaces the events before it.
_SHORTEN = (
    _APPEND
    + """
redis.call('XTRIM', KEYS[1], 'MINID', version .. '-0')
return 1
"""
)

# The end of a deployment frees its name and deletes its keys in one atomic script.
_CLOSE = (
    _APPEND
    + """
if redis.call('HGET', KEYS[4], ARGV[rest]) == ARGV[1] then redis.call('HDEL', KEYS[4], ARGV[rest]) end
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('DEL', KEYS[6])
redis.call('EXPIRE', KEYS[1], ARGV[rest + 1])
redis.call('ZADD', KEYS[7], ARGV[rest + 2], ARGV[rest] .. ' ' .. ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', ARGV[rest + 2] - ARGV[rest + 1])
return 1
"""
)

# Only if the log is gone, and the name is still its.
_FREE = """
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[2])
redis.call('DEL', KEYS[4])
return 1
"""

# A key is stored or deleted atomically with its event.
_ISSUE = (
    _APPEND
    + """
redis.call('HSET', KEYS[4], ARGV[rest], ARGV[rest + 1])
return 1
"""
)

_REVOKE = (
    _APPEND
    + """
redis.call('HDEL', KEYS[4], ARGV[rest])
return 1
"""
)

# Atomically: record the trigger (KEYS[6]), so that a repeated launch has no effect; take the name; store the keys.
# Reply: {id, 'opened'}, {id, 'again'}, or {id of the holder, 'taken'}.
_OPEN = (
    """
local before = redis.call('GET', KEYS[6])
if before then return {before, 'again'} end
local holder = redis.call('HGET', KEYS[4], ARGV[3 * tonumber(ARGV[3]) + 5])
if holder then return {holder, 'taken'} end
"""
    + _APPEND.replace("return 0", "return {ARGV[1], 'again'}")
    + """
redis.call('HSET', KEYS[4], ARGV[rest], ARGV[1])
redis.call('HSET', KEYS[5], ARGV[1], ARGV[rest + 1])
redis.call('HSET', KEYS[7], ARGV[rest + 2], ARGV[rest + 3], ARGV[rest + 4], ARGV[rest + 5])
redis.call('SET', KEYS[6], ARGV[1], 'EX', 3600)
return {ARGV[1], 'opened'}
"""
)


class NameTaken(WorkersError):
    """Another deployment has this name."""

    def __init__(self, name: str, holder: DeploymentId) -> None:
        super().__init__(f"The name {name} is taken. Choose another with `as NAME`, or end that one first.")
        self.name = name
        self.holder = holder


def decode(event: bytes) -> LoggedEvent:
    """The event of an entry, as far as this version can read it. Raises MsgspecError if it is not an event."""
    try:
        found: LoggedEvent = _decode(event)
    except msgspec.ValidationError:
        return _decode_newer(event)
    if isinstance(found, Snapshotted) and found.schema > SNAPSHOT_SCHEMA:
        return _decode_newer(event)
    return found


def new_id() -> DeploymentId:
    """A random id, short enough to be part of a machine's name."""
    return DeploymentId(f"d{secrets.token_hex(6)}")


def new_event_id() -> EventId:
    return EventId(secrets.token_hex(8))


class Stamp(TypedDict):
    """The fields of every event: `StopRequested(**stamp(now), by=…)`."""

    event_id: EventId
    at: datetime


def stamp(now: datetime) -> Stamp:
    """A new event's id and time."""
    return Stamp(event_id=new_event_id(), at=now)


class Log:
    """Reads and appends events. One per process; safe to use from several threads."""

    def __init__(self, redis: Redis) -> None:
        # redis-py's types are unions over all settings; this client returns bytes.
        self._redis: Any = redis
        self._plain: Any = redis.register_script(_PLAIN)
        self._intend: Any = redis.register_script(_INTEND)
        self._shorten: Any = redis.register_script(_SHORTEN)
        self._issue: Any = redis.register_script(_ISSUE)
        self._revoke: Any = redis.register_script(_REVOKE)
        self._close: Any = redis.register_script(_CLOSE)
        self._open: Any = redis.register_script(_OPEN)
        self._free: Any = redis.register_script(_FREE)

    def read(self, deployment: DeploymentId, after: Version = START) -> list[LoggedEvent]:
        """The events after a version, in order. Raises UnreadableLog."""
        entries = self._redis.xrange(_key(deployment), min=f"{after + 1}-0")
        try:
            events = [decode(fields[b"e"]) for _, fields in entries]
        except msgspec.MsgspecError as error:
            raise UnreadableLog(deployment) from error
        if after == START and events and isinstance(events[0], NewerEvent):
            raise UnreadableLog(deployment)
        return events

    def append(self, deployment: DeploymentId, seen: Version, events: Sequence[AnyEvent]) -> bool:
        """Append all events if the log's version is `seen`; return whether they are in it, even after a lost reply."""
        keys, arguments = _appended(deployment, seen, events)
        return self._once(deployment, seen, events, lambda: self._plain(keys, arguments) == 1)

    def intend(self, deployment: DeploymentId, seen: Version, intended: LaunchIntended, ledger: str) -> bool:
        """Append as `append` does, and only if `ledger` is the id of the newest entry of the ledger.

        A purchase is decided by the ledger: two that were decided by the same entries could overdraw a budget.
        """
        keys, arguments = _appended(deployment, seen, [intended])
        arguments.append(ledger)
        return self._once(deployment, seen, [intended], lambda: self._intend(keys, arguments) == 1)

    def record(self, deployment: DeploymentId, seen: Version, events: Sequence[AnyEvent]) -> None:
        """Append facts, whatever the log's version is. No effect if the log is gone."""
        while not self.append(deployment, seen, events):
            later = self.version(deployment)
            if later == START:
                return  # it was lost, or has expired
            seen = later

    def shorten(self, deployment: DeploymentId, seen: Version, snapshot: Snapshotted) -> bool:
        """Append a snapshot as `append` does, and remove the events before it."""
        keys, arguments = _appended(deployment, seen, [snapshot])
        return self._once(deployment, seen, [snapshot], lambda: self._shorten(keys, arguments) == 1)

    def version(self, deployment: DeploymentId) -> Version:
        """Number of events that were appended to the log; 0 if there is none."""
        newest = self._redis.xrevrange(_key(deployment), count=1)
        return Version(int(newest[0][0].split(b"-")[0])) if newest else START

    def close(self, deployment: DeploymentId, name: str, seen: Version, ended: DeploymentEnded) -> bool:
        """Append the end as `append` does; free the name, and delete the keys."""
        keys, arguments = _appended(deployment, seen, [ended])
        keys += [NAMES, KEYS, _keys(deployment), PAST]
        arguments += [name, int(KEPT_AFTER_END.total_seconds()), int(ended.at.timestamp())]
        return self._once(deployment, seen, [ended], lambda: self._close(keys, arguments) == 1)

    def open(self, deployment: DeploymentId, requested: Requested, key: str, once: str) -> DeploymentId:
        """Append the first event and take the name. A repetition with the same `once` returns the id of the first call.

        `key` is the launcher's; the keys of the replicas and of the bot are made here.
        Raises NameTaken, with the deployment that has the name.
        """
        keys, arguments = _appended(deployment, START, [requested])
        keys += [NAMES, KEYS, f"mixtral:once:{once}", _keys(deployment)]
        arguments += [requested.name, key, REPLICA, new_key(), BOT, new_key()]
        found, outcome = self._open(keys, arguments)
        holder = DeploymentId(found.decode())
        if outcome == b"taken":
            raise NameTaken(requested.name, holder)
        return holder

    def names(self) -> dict[str, DeploymentId]:
        """Every deployment that has not ended, by name."""
        return {k.decode(): DeploymentId(v.decode()) for k, v in self._redis.hgetall(NAMES).items()}

    def free(self, deployment: DeploymentId, name: str) -> bool:
        """Free the name of a deployment whose log is gone, and delete its keys. Returns whether it was so."""
        keys = [_key(deployment), NAMES, KEYS, _keys(deployment)]
        freed: int = self._free(keys, [name, deployment])
        return freed == 1

    def past(self, since: datetime) -> dict[str, DeploymentId]:
        """The last deployment of each name that ended after `since`, at most KEPT_AFTER_END ago."""
        entries = self._redis.zrangebyscore(PAST, since.timestamp(), "+inf")
        return {name: DeploymentId(id_) for name, id_ in (entry.decode().split(" ") for entry in entries)}

    def ended(self, since: datetime, most: int = -1) -> list[DeploymentId]:
        """The deployments that ended after `since`, newest first, at most KEPT_AFTER_END ago. `most`: -1 for all."""
        entries = self._redis.zrevrangebyscore(PAST, "+inf", since.timestamp(), start=0, num=most)
        return [DeploymentId(entry.decode().split(" ")[1]) for entry in entries]

    def issue(self, deployment: DeploymentId, seen: Version, issued: KeyIssued, key: str) -> bool:
        """Append as `append` does, and store the key itself."""
        keys, arguments = _appended(deployment, seen, [issued])
        keys, arguments = [*keys, _keys(deployment)], [*arguments, issued.key, key]
        return self._once(deployment, seen, [issued], lambda: self._issue(keys, arguments) == 1)

    def revoke(self, deployment: DeploymentId, seen: Version, revoked: KeyRevoked) -> bool:
        """Append as `append` does, and delete the key itself."""
        first = revoked.key == FIRST_KEY
        keys, arguments = _appended(deployment, seen, [revoked])
        keys.append(KEYS if first else _keys(deployment))
        arguments.append(deployment if first else revoked.key)
        return self._once(deployment, seen, [revoked], lambda: self._revoke(keys, arguments) == 1)

    def key(self, deployment: DeploymentId) -> str | None:
        """The launcher's key to the deployment's endpoint; None once it was revoked or the deployment ended."""
        value = self._redis.hget(KEYS, deployment)
        return value.decode() if value is not None else None

    def secrets(self, deployment: DeploymentId) -> Secrets:
        """Every key of a deployment; empty strings for those that are gone."""
        first, others = self._redis.pipeline().hget(KEYS, deployment).hgetall(_keys(deployment)).execute()
        return Secrets.of(first, others)

    def feed_end(self) -> str:
        """The position after the newest entry of the feed."""
        newest = self._redis.xrevrange(FEED, count=1)
        return newest[0][0].decode() if newest else "0-0"

    def follow(self, after: str, wait: timedelta) -> Iterator[tuple[str, DeploymentId]]:
        """Yield (position, deployment) of appends after a position; wait for the first, and end after a batch."""
        replies = self._redis.xread({FEED: after}, count=1000, block=int(wait.total_seconds() * 1000) or 1)
        for _, entries in replies or []:
            for position, fields in entries:
                yield position.decode(), DeploymentId(fields[b"d"].decode())

    def _once(
        self, deployment: DeploymentId, seen: Version, events: Sequence[AnyEvent], call: Callable[[], bool]
    ) -> bool:
        try:
            if call():
                return True
        except (RedisConnectionError, RedisTimeoutError):
            if self._stands(deployment, seen, events[0].event_id):
                return True
            raise
        # The client repeats a call whose reply was lost. If the first call appended, the second one is refused.
        return self._stands(deployment, seen, events[0].event_id)

    def _stands(self, deployment: DeploymentId, seen: Version, event: EventId) -> bool:
        entries = self._redis.xrange(_key(deployment), min=f"{seen + 1}-0", max=f"{seen + 1}-0")
        return any(decode(fields[b"e"]).event_id == event for _, fields in entries)


def _appended(
    deployment: DeploymentId, seen: Version, events: Sequence[AnyEvent]
) -> tuple[list[str], list[str | int | bytes]]:
    """The keys and arguments with which a script appends events, and their entries in the ledger and the audit."""
    booked = [entry_of(deployment, event) for event in events]
    lines = [encode(entry) if entry else b"" for entry in booked]
    keys = [_key(deployment), FEED, LEDGER]
    return keys, [deployment, seen, len(events), *(_encode(e) for e in events), *lines, *_audited(deployment, events)]


def _audited(deployment: DeploymentId, events: Sequence[AnyEvent]) -> list[str | int | bytes]:
    """The entries in the audit, and the mark of the request that this thread carries out."""
    request = current()
    deeds = [audit_of(deployment, event, request.source if request else None) for event in events]
    lines = [encode_audit(deed) if deed else b"" for deed in deeds]
    return [*lines, mark_of(request.once) if request else ""]


def _key(deployment: DeploymentId) -> str:
    return f"mixtral:d:{deployment}"


def _keys(deployment: DeploymentId) -> str:
    return f"{KEYS}:{deployment}"
