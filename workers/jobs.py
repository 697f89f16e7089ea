"""What runs under RQ: nudges that carry one id each, and may be lost, repeated, or run twice."""

from functools import cache

from redis import Redis
from rq import Queue

from workers.api import Nudge
from workers.control.advance import Advance
from workers.deployment.events import DeploymentId
from workers.settings import QUEUE

ADVANCE_TIMEOUT = 1800
"""Seconds; making an engine's environment or a slow cloud may take minutes, and a hung one is nudged again."""


def advance(deployment: str) -> None:
    """Bring one deployment as far as it goes now."""
    _wired()(DeploymentId(deployment))


@cache
def _wired() -> Advance:
    # Made in the job's own process: connections and clients do not survive a fork.
    from workers.run import wire_advance  # noqa: PLC0415

    return wire_advance()


def nudge(redis: Redis) -> Nudge:
    """Enqueues `advance`; leaves nothing behind in Redis, whatever becomes of the job."""
    queue = Queue(QUEUE, connection=redis)

    def send(deployment: DeploymentId) -> None:
        queue.enqueue(
            "workers.jobs.advance", deployment, job_timeout=ADVANCE_TIMEOUT, result_ttl=0, failure_ttl=0, ttl=60
        )

    return send
