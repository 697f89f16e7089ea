"""Nudges: requests to look at a deployment soon, queued for the workers; losing one costs time only."""

from typing import Protocol

from redis import Redis
from rq import Queue

from workers.deployment.events import DeploymentId
from workers.settings import QUEUE

ADVANCE_TIMEOUT = 1800
"""Seconds; making an engine's environment or a slow cloud may take minutes, and a hung one is nudged again."""


class Nudge(Protocol):
    """Ask some worker to look at a deployment soon. Losing it costs time only."""

    def __call__(self, deployment: DeploymentId, /) -> None: ...


def nudge(redis: Redis) -> Nudge:
    """Enqueues `advance`; leaves nothing behind in Redis, whatever becomes of the job."""
    queue = Queue(QUEUE, connection=redis)

    def send(deployment: DeploymentId) -> None:
        queue.enqueue(
            "workers.jobs.advance", deployment, job_timeout=ADVANCE_TIMEOUT, result_ttl=0, failure_ttl=0, ttl=60
        )

    return send
