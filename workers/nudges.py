"""Nudges: jobs that ask a worker to advance a deployment; a lost one costs only time."""

from collections.abc import Callable
from typing import Protocol

from redis import Redis
from rq import Queue

from workers.deployment.events import DeploymentId
from workers.settings import QUEUE, queue_of

ADVANCE_TIMEOUT = 1800
"""Maximum duration of a job, in seconds. A slow cloud may take minutes."""


class Nudge(Protocol):
    """Asks a worker to advance a deployment. A lost nudge costs only time."""

    def __call__(self, deployment: DeploymentId, /) -> None: ...


def nudge(redis: Redis, queue: str = QUEUE) -> Nudge:
    """A function that enqueues `advance`; a finished, failed or expired job leaves nothing in Redis."""
    jobs = Queue(queue, connection=redis)

    def send(deployment: DeploymentId) -> None:
        _enqueue(jobs, "workers.jobs.advance", deployment)

    return send


def forward(redis: Redis) -> Callable[[DeploymentId, str], None]:
    """A function that asks the workers of one host. They do not forward the nudge again."""

    def send(deployment: DeploymentId, host: str) -> None:
        _enqueue(Queue(queue_of(host), connection=redis), "workers.jobs.advance_here", deployment)

    return send


def _enqueue(queue: Queue, job: str, deployment: DeploymentId) -> None:
    queue.enqueue(job, deployment, job_timeout=ADVANCE_TIMEOUT, result_ttl=0, failure_ttl=0, ttl=60)
