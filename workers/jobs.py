"""The job of RQ: a nudge with the id of one deployment, which may be lost, repeated, or run concurrently."""

from functools import cache

from workers.control.advance import Advance
from workers.deployment.events import DeploymentId
from workers.run import wire_advance


def advance(deployment: str) -> None:
    """Advance one deployment until its next step is `Wait`; what another worker host has to do is forwarded to it."""
    _wired(forwards=True)(DeploymentId(deployment))


def advance_here(deployment: str) -> None:
    """Do what another host has forwarded."""
    _wired(forwards=False)(DeploymentId(deployment))


@cache
def _wired(*, forwards: bool) -> Advance:
    # Created in the job's own process, because connections and clients cannot be used after a fork.
    return wire_advance(forwards=forwards)
