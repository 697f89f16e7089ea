"""Exports what a new Redis needs to carry on, and imports it."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from redis import Redis
from redis.exceptions import WatchError

from workers.deployment.identity import INSTALLATION, held
from workers.deployment.log import FEED, KEYS, NAMES
from workers.deployment.transfer_file import FORMAT, ExportHeader, Kind, Part
from workers.errors import WorkersError

_ALL = "mixtral:"
_OF_PROCESSES = ("feed", "follower:position", "lease:", "gateway", "workers", "load", "rate:", "prices", "told:")
_WITH_TEXTS = ("questions", "texts:", "draft:")

LEFT_OUT = tuple(_ALL + beginning for beginning in (*_OF_PROCESSES, *_WITH_TEXTS))
"""Beginnings of the keys that are not exported: they belong to running processes, are read again, or contain texts."""

ENTRIES = 1000
"""Maximum number of entries in one part."""

ATTEMPTS = 5


class CannotTransfer(WorkersError):
    """Nothing was exported or imported."""


def exported(redis: Redis, *, with_keys: bool) -> tuple[ExportHeader, list[Part]]:
    """Everything that a new Redis needs, as of one moment. Raises CannotTransfer."""
    for _ in range(ATTEMPTS):
        before = _feed_end(redis)
        keys = sorted(key for key in redis.scan_iter(f"{_ALL}*", count=1000) if _is_exported(key, with_keys=with_keys))
        parts = _snapshot(redis, keys, before)
        if parts is not None:
            header = ExportHeader(
                mixtral_export=FORMAT,
                version=version("mixtral-bot"),
                installation=held(redis),
                at=datetime.now(UTC),
                parts=len(parts),
                has_keys=with_keys,
            )
            return header, parts
    raise CannotTransfer(
        "Deployments changed during each attempt, so nothing was exported. End the bot, the workers and the gateway, "
        "and repeat the command."
    )


def _is_exported(key: bytes, *, with_keys: bool) -> bool:
    name = key.decode(errors="surrogateescape")
    if name.startswith(KEYS):
        return with_keys
    return not name.startswith(LEFT_OUT)


def _feed_end(redis: Any) -> bytes:
    newest = redis.xrevrange(FEED, count=1)
    return newest[0][0] if newest else b""


def _snapshot(redis: Any, keys: Sequence[bytes], feed_end: bytes) -> list[Part] | None:
    """The keys, read in one transaction; None if a deployment changed since the feed's end was `feed_end`."""
    kinds = [redis.type(key).decode() for key in keys]
    known = [(key, kind) for key, kind in zip(keys, kinds, strict=True) if kind in _READ]
    with redis.pipeline(transaction=True) as together:
        together.xrevrange(FEED, count=1)
        for key, kind in known:
            together.pttl(key)
            _READ[kind](together, key)
        newest, *replies = together.execute(raise_on_error=True)
    if (newest[0][0] if newest else b"") != feed_end:
        return None
    now = int(time.time() * 1000)
    found: list[Part] = []
    for (key, kind), left, value in zip(known, replies[::2], replies[1::2], strict=True):
        if value:  # otherwise it expired
            found += _parts(key, kind, value, now + left if left >= 0 else None)
    return found


_READ: dict[str, Any] = {
    "string": lambda redis, key: redis.get(key),
    "hash": lambda redis, key: redis.hgetall(key),
    "zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
    "stream": lambda redis, key: redis.xrange(key),
}


def _parts(key: bytes, kind: Kind, value: Any, expires_at: int | None) -> Iterator[Part]:
    rows: list[tuple[str, ...]]
    match kind:
        case "string":
            rows = [(_text(value),)]
        case "hash":
            rows = [(_text(field), _text(held_)) for field, held_ in value.items()]
        case "zset":
            rows = [(_text(member), repr(score)) for member, score in value]
        case "stream":
            rows = [(_text(id_), *(_text(x) for pair in fields.items() for x in pair)) for id_, fields in value]
    for begin in range(0, len(rows), ENTRIES):
        yield Part(key=_text(key), kind=kind, values=rows[begin : begin + ENTRIES], expires_at=expires_at)


def imported(redis: Redis, header: ExportHeader, parts: Sequence[Part]) -> None:
    """Write everything in one transaction. Raises CannotTransfer; nothing is written then."""
    _check_keys(header, parts)
    client: Any = redis
    with client.pipeline(transaction=True) as together:
        together.watch(INSTALLATION, NAMES)
        if there := sorted(key for key in client.scan_iter(f"{_ALL}*", count=1000) if _occupies(client, key, header)):
            some = ", ".join(key.decode(errors="replace") for key in there[:3])
            raise CannotTransfer(
                f"This Redis is in use ({some}): nothing was imported. An import needs a Redis in which no bot, worker "
                "or gateway has run. Set REDIS_URL to an empty one, and import before you start them."
            )
        together.multi()
        for part in parts:
            _write(together, part)
        try:
            together.execute()
        except WatchError as error:
            raise CannotTransfer("Another process began to use this Redis: nothing was imported.") from error


def _check_keys(header: ExportHeader, parts: Sequence[Part]) -> None:
    names = [row for part in parts if part.key == NAMES for row in part.values]
    if names and not header.has_keys:
        listed = ", ".join(name for name, *_ in names[:5])
        raise CannotTransfer(
            f"The file has no keys, and {listed} ran when it was written: without their keys, the replicas accept no "
            "request, and would be replaced. Nothing was imported. Export with --with-keys, or end them before."
        )


def _occupies(redis: Any, key: bytes, header: ExportHeader) -> bool:
    """Whether a key was written by a process that has used this Redis."""
    if key == INSTALLATION.encode():
        return held(redis) != header.installation
    return True


def _write(together: Any, part: Part) -> None:
    key = _bytes(part.key)
    for row in part.values:
        first, *rest = (_bytes(text) for text in row)
        match part.kind:
            case "string":
                together.set(key, first)
            case "hash":
                together.hset(key, first, rest[0])
            case "zset":
                together.zadd(key, {first: float(rest[0])})
            case "stream":
                together.xadd(key, dict(zip(rest[::2], rest[1::2], strict=True)), id=first)
    if part.expires_at is not None:
        together.pexpireat(key, part.expires_at)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
