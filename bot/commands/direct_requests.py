"""Requests to one person in Redis, so that any process can continue with them, and each is answered once."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec
from redis import Redis

from bot.language.direct_request import Deed, DirectRequest

_LOG = logging.getLogger(__name__)

DIRECT = "mixtral:direct"

# Reply: the id of the request that holds the mark of this deed. The same request may be added again after a lost reply.
_ADD = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return ARGV[1]
"""

# Reply: 1 if the record was ARGV[2], or is ARGV[3] already, as after a lost reply. With a second record, both are set.
_CHANGE = """
local now = redis.call('HGET', KEYS[1], ARGV[1])
if now ~= ARGV[2] and now ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[4] then redis.call('HSET', KEYS[1], ARGV[4], ARGV[5]) end
return 1
"""

# The mark is deleted only if it is this request's.
_REMOVE = """
redis.call('HDEL', KEYS[2], ARGV[1])
if ARGV[2] == '1' and redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(DirectRequest).decode


class DirectRequests:
    """Safe to use from several threads and processes. Raises RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._add: Any = redis.register_script(_ADD)
        self._change: Any = redis.register_script(_CHANGE)
        self._remove: Any = redis.register_script(_REMOVE)
        self.changed = threading.Event()
        """Set whenever this process has changed a request."""

    def add(self, request: DirectRequest) -> str:
        """Store a request, unless the same was asked before and is marked; return the id of the one that is marked."""
        lasts = int((request.expires_at - request.made_at).total_seconds())
        held = self._add([_mark(request), DIRECT], [request.id, _encode(request), lasts])
        self.changed.set()
        return str(held.decode())

    def get(self, id_: str) -> DirectRequest | None:
        stored = self._redis.hget(DIRECT, id_)
        return self._read(id_, stored) if stored is not None else None

    def all(self) -> list[DirectRequest]:
        """Oldest first."""
        found = (self._read(id_.decode(), stored) for id_, stored in self._redis.hgetall(DIRECT).items())
        return sorted((request for request in found if request is not None), key=lambda request: request.made_at)

    def change(
        self,
        id_: str,
        changed: Callable[[DirectRequest], DirectRequest | None],
        *,
        also: DirectRequest | None = None,
    ) -> DirectRequest | None:
        """Replace a request by what `changed` returns for its newest state, and return that.

        None: it is gone, or `changed` returned None. `also`: another request that is stored in the same step.
        """
        while (stored := self._redis.hget(DIRECT, id_)) is not None:
            before = self._read(id_, stored)
            after = changed(before) if before is not None else None
            if after is None:
                return None
            more = [also.id, _encode(also)] if also is not None else []
            if self._change([DIRECT], [id_, stored, _encode(after), *more]):
                self.changed.set()
                return after
        return None

    def remove(self, request: DirectRequest, *, again: bool) -> None:
        """`again`: whether the same may be asked again immediately."""
        self._remove([_mark(request), DIRECT], [request.id, int(again)])

    def _read(self, id_: str, stored: bytes) -> DirectRequest | None:
        try:
            return _decode(stored)
        except msgspec.MsgspecError as error:  # of a newer version, which continues with it
            _LOG.warning("the stored request %s cannot be read, and is left alone: %s", id_, error)
            return None


def _mark(request: DirectRequest) -> str:
    """The key that is set while the same may not be asked again."""
    deed, user = request.deed.value, request.to if request.deed is Deed.TAKE_KEY else request.asker
    deployment = request.deployment or request.name  # nothing is deployed before a launch is approved
    return f"mixtral:asked_for:{deployment}:{deed}:{user}"
