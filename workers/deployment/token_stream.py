"""The counts of tokens in Redis: a stream of the last weeks, and what was counted before."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from msgspec import MsgspecError
from redis import Redis

from workers.deployment.ledger import TOKENS, decode, encode
from workers.deployment.token_counts import Replica, TokensCounted

_LOG = logging.getLogger(__name__)

EARLIER = "mixtral:ledger:tokens:earlier"
"""The last count of each replica among those that were removed from the stream."""

KEPT = timedelta(days=40)
"""Time for which the stream keeps a count. No view is of a longer time than a month."""

BATCH = 1000


class TokenStream:
    """Safe to use from several threads and processes. Raises RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def append(self, count: TokensCounted) -> None:
        self._redis.xadd(TOKENS, {"e": encode(count)})

    def earlier(self) -> dict[Replica, TokensCounted]:
        """The counts that the stream continues: read them before it.

        If some are removed from the stream in between, the next count of the replica contains them.
        """
        return {_replica(count): count for count in _counts(self._redis.hvals(EARLIER))}

    def trim(self, before: datetime) -> int:
        """Remove the counts that were appended earlier; return their number.

        The last one of each replica is kept beside the stream: counts are sums since the machine was made. Raises
        WatchError if another process appends or removes meanwhile; the next trim continues.
        """
        removed, end = 0, f"({int(before.timestamp() * 1000)}-0"
        with self._redis.pipeline(transaction=True) as together:
            while True:
                together.watch(TOKENS)
                entries = together.xrange(TOKENS, max=end, count=BATCH)
                if not entries:
                    return removed
                together.multi()
                last = {" ".join(map(str, _replica(c))): encode(c) for c in _counts(e[b"e"] for _, e in entries)}
                if last:
                    together.hset(EARLIER, mapping=last)
                together.xdel(TOKENS, *(id_ for id_, _ in entries))
                together.execute()
                removed += len(entries)


def _replica(count: TokensCounted) -> Replica:
    return count.deployment, count.attempt


def _counts(stored: Iterable[bytes]) -> Iterator[TokensCounted]:
    """Those that this version can read."""
    for entry in stored:
        try:
            found = decode(entry)
        except MsgspecError:
            _LOG.warning("A count of tokens is of a newer version, or no count, and is left out.")
            continue
        if isinstance(found, TokensCounted):
            yield found
