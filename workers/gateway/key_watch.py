"""Writes to Redis when each key was last used, as HAProxy reports it."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from workers.deployment.events import DeploymentId, KeyId
from workers.deployment.key_uses import KeyUses
from workers.gateway.table import KeyUse

LOOK_EVERY = 10.0
"""Seconds between two reads of HAProxy's table, which forgets a key 10 minutes after its last request."""

SAME = timedelta(seconds=2)
"""Maximum difference between two readings of the same use."""


class KeyWatch:
    """Keeps in memory what it has written, and writes only later uses."""

    def __init__(self, uses: KeyUses) -> None:
        self._uses = uses
        self._written: dict[str, datetime] = {}
        self._looked_at = -math.inf

    def look(self, read: Callable[[], Mapping[str, KeyUse]], now: datetime) -> None:
        """Write what was used since the last look, if that is due. `read`: returns the uses by HAProxy's names.

        Raises RedisError, and what `read` raises.
        """
        tick = time.monotonic()
        if tick - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = tick
        seen = {name: now - use.ago for name, use in read().items()}
        known = {name: at for name, at in self._written.items() if name in seen}
        later = {name: at for name, at in seen.items() if name not in known or at - known[name] > SAME}
        for deployment, uses in _by_deployment(later).items():
            self._uses.write(deployment, uses)
        self._written = known | later


def _by_deployment(uses: Mapping[str, datetime]) -> dict[DeploymentId, dict[KeyId, datetime]]:
    found: dict[DeploymentId, dict[KeyId, datetime]] = defaultdict(dict)
    for name, at in uses.items():
        deployment, _, key = name.partition("/")
        found[DeploymentId(deployment)][KeyId(key)] = at
    return found
