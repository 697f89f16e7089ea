"""Nudges: jobs that ask a worker to advance a deployment; a lost one costs only time."""

from typing import Protocol

from redis import Redis
from rq import Queue

from workers.deployment.events import DeploymentId
from workers.settings import QUEUE

ADVANCE_TIMEOUT = 1800
"""Maximum duration of a job, in seconds. A slow cloud may take minutes."""


class Nudge(Protocol):
    """Asks a worker to advance a deployment. A lost nudge costs only time."""

    def __call__(self, deployment: DeploymentId, /) -> None: ...


def nudge(redis: Redis) -> Nudge:
    """A function that enqueues `advance`; a finished, failed or expired job leaves nothing in Redis."""
    queue = Queue(QUEUE, connection=redis)

    def send(deployment: DeploymentId) -> None:
        queue.enqueue(
            "workers.jobs.advance", deployment, job_timeout=ADVANCE_TIMEOUT, result_ttl=0, failure_ttl=0, ttl=60
        )

    return send
