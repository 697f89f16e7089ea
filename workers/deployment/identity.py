"""Which installation a Redis belongs to: the id that all its processes share, and that tags every machine."""

import secrets
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from msgspec import MsgspecError
from redis import Redis

from workers.deployment.events import DeploymentId, LaunchIntended
from workers.deployment.log import KEPT_AFTER_END, Log
from workers.deployment.state import fold
from workers.errors import WorkersError

INSTALLATION = "mixtral:installation"


class AnotherInstallation(WorkersError):
    """Redis belongs to another installation than this host."""

    def __init__(self, redis: str, home: str) -> None:
        super().__init__(
            f"This Redis belongs to the installation {redis}, and this host to {home}, by MIXTRAL_INSTALLATION or the "
            f"file `installation` in MIXTRAL_HOME. With the id {home}, the machines of {redis} would not be found, and "
            f"would be bought again. If this host is a part of {redis}, set MIXTRAL_INSTALLATION={redis}, or delete "
            f"the file. If it is not, set REDIS_URL to the Redis of {home}."
        )
        self.redis = redis
        self.home = home


def agree(redis: Redis, home: str, *, may_found: bool = False) -> str:
    """The id that Redis and this host agree on. `home`: the id of the host; empty if it has none.

    A host without an id takes the one of Redis. A Redis without one takes the id in the logs, or else the host's. If
    there is none at all, a process that `may_found` makes one, and the others get an empty string: a bot that is the
    first to reach an emptied Redis must not set an id that the workers do not have.
    Raises AnotherInstallation, RedisError.
    """
    theirs = held(redis)
    if not theirs:
        new = f"i-{secrets.token_hex(6)}" if may_found else ""
        proposed = _of_logs(redis, home) or home or new
        if not proposed:
            return ""
        redis.set(INSTALLATION, proposed, nx=True)  # of several processes, the first one sets it
        theirs = held(redis) or proposed
    if home and theirs != home:
        raise AnotherInstallation(theirs, home)
    return theirs


def held(redis: Redis) -> str:
    """The id that Redis holds; empty if there is none."""
    value: Any = redis.get(INSTALLATION)
    return value.decode() if value else ""


def _of_logs(redis: Redis, home: str) -> str:
    """The id in the requests of the logs, if Redis comes from a version that did not store it; empty if there is none.

    Hosts with ids of their own may have worked on the same logs: then it is this host's, or the most frequent one.
    """
    log = Log(redis)
    deployments = {*log.names().values(), *log.past(datetime.now(UTC) - KEPT_AFTER_END).values()}
    found = Counter(id_ for deployment in deployments for id_ in _requested_by(log, deployment))
    if home in found:
        return home
    return found.most_common(1)[0][0] if found else ""


def _requested_by(log: Log, deployment: DeploymentId) -> list[str]:
    """The installations in the requests of a log; empty if it cannot be read."""
    try:
        events = log.read(deployment)
        first = fold(deployment, events[:1])  # of a shortened log: the state of a snapshot
    except MsgspecError:
        return []
    requests = [attempt.request for attempt in first.attempts] if first else []
    requests += [event.request for event in events if isinstance(event, LaunchIntended)]
    return [request.installation for request in requests]
