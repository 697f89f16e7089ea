"""What the gateway tells the admins: it writes the notices, the bot posts them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import Struct
from redis import Redis

NOTICES = "mixtral:gateway:notices"
CLAIM = "mixtral:gateway"
"""Exists while a gateway runs (workers/gateway/claim.py)."""
KEPT = timedelta(days=1)
MOST = 20
"""Maximum number of notices: one attack may come from many sources."""

NoticeKind = Literal["wrong_keys", "files", "absent"]
"""`absent` is not written by a gateway: the bot finds that none runs."""


class GatewayNotice(Struct, frozen=True, kw_only=True):
    kind: NoticeKind
    at: datetime
    """When the gateway last saw it."""
    source: str = ""
    """Of `wrong_keys`: the address from which they came."""
    number: int = 0
    """Of `wrong_keys`: how many came since the source was last idle for an hour."""
    why: str = ""
    """Of `files`: why the files cannot be written, and how to mend it."""

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.source}"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(GatewayNotice).decode


class GatewayNotices:
    """One Redis hash. Methods raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def write(self, notices: Iterable[GatewayNotice]) -> None:
        """Add notices, and forget those beyond `MOST`, oldest first."""
        new = {notice.name: notice for notice in notices}
        if not new:
            return
        found = {notice.name: notice for notice in self.read()} | new
        kept = sorted(found.values(), key=lambda notice: notice.at)[-MOST:]
        with self._redis.pipeline() as all_:
            all_.delete(NOTICES)
            all_.hset(NOTICES, mapping={notice.name: _encode(notice) for notice in kept})
            all_.expire(NOTICES, KEPT)
            all_.execute()

    def read(self) -> list[GatewayNotice]:
        """All that are kept; those of a newer version are left out."""
        found = []
        for encoded in self._redis.hvals(NOTICES):
            try:
                found.append(_decode(encoded))
            except msgspec.MsgspecError:
                continue
        return found
