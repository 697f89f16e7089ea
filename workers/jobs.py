"""The job of RQ: a nudge with the id of one deployment, which may be lost, repeated, or run concurrently."""

from functools import cache

from workers.control.advance import Advance
from workers.deployment.events import DeploymentId
from workers.run import wire_advance


def advance(deployment: str) -> None:
    """Advance one deployment until its next step is `Wait`."""
    _wired()(DeploymentId(deployment))


@cache
def _wired() -> Advance:
    # Created in the job's own process, because connections and clients cannot be used after a fork.
    return wire_advance()
