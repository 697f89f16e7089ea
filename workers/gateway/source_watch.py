"""Tells the admins of wrong keys that HAProxy counted, and of files that cannot be written."""

import heapq
import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from workers.deployment.gateway_notices import MOST, GatewayNotice, GatewayNotices

logger = logging.getLogger(__name__)

LOOK_EVERY = 10.0
"""Seconds between two reads of HAProxy's table."""


class SourceWatch:
    """Keeps in memory what it has told, and tells only what grew."""

    def __init__(self, notices: GatewayNotices) -> None:
        self._notices = notices
        self._told: dict[str, int] = {}
        self._looked_at = -math.inf

    def look(self, read: Callable[[], Mapping[str, int]], fault: str, now: datetime) -> None:
        """Write what there is to tell, if a look is due. `read`: returns the number of wrong keys by source.

        `fault`: why HAProxy's files cannot be written, or nothing. Raises RedisError, and what `read` raises.
        """
        tick = time.monotonic()
        if tick - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = tick
        seen = dict(read())
        grown = {source: number for source, number in seen.items() if number > self._told.get(source, 0)}
        largest = heapq.nlargest(MOST, grown, key=grown.__getitem__)  # one attack may come from many sources
        new = grown.keys() - self._told.keys()
        for source in (logged := [source for source in largest if source in new]):
            logger.warning("%d requests with a wrong key came from %s", grown[source], source)
        if more := len(new) - len(logged):
            logger.warning("requests with a wrong key came from %d more sources", more)
        found = [GatewayNotice(kind="wrong_keys", at=now, source=s, number=grown[s]) for s in largest]
        self._notices.write([*found, *([GatewayNotice(kind="files", at=now, why=fault)] if fault else [])])
        self._told = seen
