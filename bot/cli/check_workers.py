"""The check that workers answer: that the machines are observed, and that jobs are done."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from redis import Redis

from bot.views import orphan_machines
from workers.clouds.findings import Finding
from workers.deployment.log import Log
from workers.deployment.orphans import Orphans
from workers.heartbeats import LATE, Heartbeat, WorkerPart, read
from workers.lease import SWEEPER, is_held
from workers.redis_clock import RedisClock
from workers.run import WORKERS

SWEEPER_RESTARTS_WITHIN = 2.0  # maximum seconds until another sweeper takes over the lease of one that ended

MEND = "start `mixtral-bot worker`; if it runs, end and start it again, and see its log"
AGAIN = (
    "end `mixtral-bot worker` there with SIGKILL, and start it again; if the host was removed, nothing has to be done"
)
END_ORPHANS = "`mixtral-bot machines` lists them, and `mixtral-bot machines --end-orphans` ends them"


def workers(client: Redis, *, accepts_writes: bool = True) -> Iterator[Finding]:
    """Check that a sweeper renews its lease, that jobs are done, and that no part of a worker is frozen."""
    found = partial(Finding, about="worker", what="")
    beats, deployments = read(client), len(Log(client).names())
    observed = _sweeps(client, wait=bool(deployments))
    if not observed:
        yield _missing(found, deployments, _last(beats, WorkerPart.SWEEPER))
    else:
        yield found(works=True, says="observes the machines")
        yield from _jobs(found, beats, deployments)
    if unknown := Orphans(client).running(RedisClock(client)()):
        yield Finding(
            about="worker", what="orphans", works=None, says=orphan_machines.summary(unknown), mend=END_ORPHANS
        )
    if accepts_writes:  # otherwise no worker can record that it works
        yield from _late(client, beats)


def _sweeps(client: Redis, *, wait: bool) -> bool:
    until = time.monotonic() + SWEEPER_RESTARTS_WITHIN
    while not (there := is_held(client, SWEEPER)) and wait and time.monotonic() < until:
        time.sleep(0.2)
    return there


def _missing(found: partial[Finding], deployments: int, last: Heartbeat | None) -> Finding:
    if not deployments:
        return found(works=None, says="none runs yet", mend="start `mixtral-bot worker`")
    which = "the deployment" if deployments == 1 else f"the {deployments} deployments"
    since = f" since {_moment(last.at)} (the last was on {last.host})" if last else ""
    says = (
        f"none answers{since}: the machines of {which} are not observed, nothing is launched or ended, and each "
        "machine ends itself when its lease has passed"
    )
    return found(works=False, says=says, mend=MEND)


def _jobs(found: partial[Finding], beats: Sequence[Heartbeat], deployments: int) -> Iterator[Finding]:
    """Nothing about workers of an earlier version, which record no heartbeats."""
    last = _last(beats, WorkerPart.JOBS)
    if last is not None and last.is_late:
        says = (
            f"observes the machines, but no process has done a job since {_moment(last.at)} (the last was on "
            f"{last.host}): nothing is launched, scaled or ended"
        )
        yield found(works=False if deployments else None, says=says, mend=MEND)


def _late(client: Redis, beats: Sequence[Heartbeat]) -> Iterator[Finding]:
    """Hosts that do not answer while another one does, and single frozen processes of a host that answers."""
    pools = [beat for beat in beats if beat.part is WorkerPart.POOL]
    for beat in pools:
        if beat.is_late:
            says = (
                f"`mixtral-bot worker` on {beat.host} has not answered since {_moment(beat.at)}: it is frozen, ended "
                "or cut off from Redis, and nothing there is restarted"
            )
            yield Finding(about="worker", what="host", works=None, says=says, mend=AGAIN)
    for name, since in _frozen(client):
        says = f"one of the processes that do jobs on {name} has not answered since {_moment(since)}"
        mend = "end it with SIGKILL: it is restarted, and its job is done again"
        yield Finding(about="worker", what="process", works=None, says=says, mend=mend)


def _frozen(client: Redis) -> Iterator[tuple[str, datetime]]:
    """RQ's processes whose heartbeat is late: the host and process id, and the time. RQ forgets them after 90 s.

    Where as many answer as a host has, the late ones have ended and were replaced.
    """
    redis: Any = client
    now = datetime.fromtimestamp(redis.time()[0], UTC)
    answering, late = Counter[str](), list[tuple[str, str, datetime]]()
    for key in sorted(redis.smembers("rq:workers")):
        host, pid, beat = redis.hmget(key, "hostname", "pid", "last_heartbeat")
        if beat is None:
            continue
        since = datetime.fromisoformat(beat.decode())
        name = (host or b"?").decode()
        if now - since > LATE:
            late.append((name, (pid or b"?").decode(), since))
        else:
            answering[name] += 1
    for name, process, since in late:
        if answering[name] <= WORKERS:  # with the one that ends deployments only
            yield f"{name} (process {process})", since


def _last(beats: Sequence[Heartbeat], part: WorkerPart) -> Heartbeat | None:
    return max((beat for beat in beats if beat.part is part), key=lambda beat: beat.at, default=None)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
