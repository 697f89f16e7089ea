"""What runs under RQ: nudges that carry one id each, and may be lost, repeated, or run twice."""

from functools import cache

from workers.control.advance import Advance
from workers.deployment.events import DeploymentId
from workers.run import wire_advance


def advance(deployment: str) -> None:
    """Bring one deployment as far as it goes now."""
    _wired()(DeploymentId(deployment))


@cache
def _wired() -> Advance:
    # Made in the job's own process: connections and clients do not survive a fork.
    return wire_advance()
