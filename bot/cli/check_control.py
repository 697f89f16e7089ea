"""The checks that the clouds let the worker list, extend and end its machines, and that all are its own."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import MsgspecError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from workers.clouds.findings import Finding
from workers.clouds.usability import NAMES
from workers.deployment.attempt import MAY_COST, Attempt
from workers.deployment.events import Control
from workers.deployment.identity import held
from workers.deployment.log import Log
from workers.deployment.state import Deployment, fold

ABOUT = "worker"
FAILED = {Control.LIST: "listing", Control.EXTEND: "extending the lease of", Control.END: "ending"}


def control(environ: Mapping[str, str]) -> list[Finding]:
    """What the logs contain about lost control; empty if Redis does not answer."""
    try:
        client: Any = Redis.from_url(
            environ.get("REDIS_URL", ""), socket_connect_timeout=5, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        states = list(_states(Log(client)))
        return [*(finding for state in states for finding in _lost(state)), *_of_others(states, held(client))]
    except (RedisError, OSError, ValueError):
        return []  # the cause is in the finding about Redis


def _states(log: Log) -> Iterator[Deployment]:
    for id_ in log.names().values():
        try:
            state = fold(id_, log.read(id_))
        except MsgspecError:
            continue  # a newer version wrote it
        if state is not None:
            yield state


def _lost(state: Deployment) -> Iterator[Finding]:
    """A finding for each kind of control that is lost in a place."""
    seen: set[tuple[Control, str]] = set()
    for attempt in state.attempts:
        for one in attempt.lost if attempt.phase in MAY_COST else ():
            place = _place(attempt)
            if (one.what, place) in seen:
                continue
            seen.add((one.what, place))
            which = f"replica {attempt.replica} of {state.name} in {place}"
            says = f"{FAILED[one.what]} {which} has failed since {_moment(one.since)}"
            until = f"it ends itself at {_moment(attempt.expires_at)}"
            yield Finding(about=ABOUT, what="", works=False, says=f"{says}: {one.why.rstrip('.')}; {until}")


def _of_others(states: Sequence[Deployment], ours: str) -> Iterator[Finding]:
    """A finding for each other installation whose machines are in the logs of this Redis. `ours`: the id in Redis."""
    machines = [(a.request.installation, s.name) for s in states for a in s.attempts if a.phase in MAY_COST]
    for other in sorted({installation for installation, _ in machines} - {ours} if ours else ()):
        names = ", ".join(sorted({name for installation, name in machines if installation == other}))
        says = (
            f"it is of the installation {ours}, but its logs contain machines of the installation {other} ({names}): "
            "they are neither observed nor ended here, and count as replicas until their leases have passed"
        )
        mend = f"give {other} a Redis of its own, and end its workers that use this one"
        yield Finding(about="Redis", what="installation", works=False, says=says, mend=mend)


def _place(attempt: Attempt) -> str:
    offer = attempt.offer
    return f"{NAMES.get(offer.cloud, offer.cloud)} {offer.zone or offer.region}".rstrip()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
