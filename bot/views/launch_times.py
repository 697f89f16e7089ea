"""PURE: how long launches of a recipe took, and the sentence about it on a card."""

from collections.abc import Sequence

from msgspec import Struct

from bot.views.amounts import MINUTE
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

LEAST = 3
"""Minimum number of launches from which a time is called usual."""

LEFT_OUT = 5
"""One in this number of launches is left out at each end, because a cloud may be slow for a day."""

IN_SECONDS_UNTIL = 2 * MINUTE
LOCAL = "local"


class LaunchTime(Struct, frozen=True, kw_only=True):
    """The launch of one deployment."""

    deployment: DeploymentId
    cloud: str
    seconds: float
    """From the creation of the machine whose replica was ready first, until it was ready."""


def launch_time(state: Deployment) -> LaunchTime | None:
    """None until a replica was ready."""
    ready = [a for a in state.attempts if a.ready_at and a.machine]
    first = min(ready, key=lambda a: a.ready_at or state.updated_at, default=None)
    if first is None or first.ready_at is None or first.machine is None:
        return None
    took = (first.ready_at - first.machine.created_at).total_seconds()
    return LaunchTime(deployment=state.id, cloud=first.offer.cloud, seconds=max(took, 0.0))


def usual(state: Deployment, times: Sequence[LaunchTime]) -> str:
    """How long the recipe's launches took on the cloud that is asked, or on any; empty if there are too few."""
    cloud = _cloud(state)
    same = [time.seconds for time in times if time.cloud == cloud]
    rented = [time.seconds for time in times if time.cloud != LOCAL]
    found = same if len(same) >= LEAST or cloud == LOCAL else rented
    if len(found) < LEAST:
        return ""
    cut = len(found) // LEFT_OUT
    kept = sorted(found)[cut : len(found) - cut]
    return f"Usually ready {_span(kept[0], kept[-1])} after a machine is found ({len(found)} launches)."


def _cloud(state: Deployment) -> str:
    """The cloud of the newest machine, or of the first offer."""
    if state.live:
        return state.live[-1].offer.cloud
    return next((rung.offer.cloud for rung in state.rungs if rung.usable), "")


def _span(least: float, most: float) -> str:
    unit, size = ("s", 1) if most < IN_SECONDS_UNTIL else ("min", MINUTE)
    low, high = (max(round(seconds / size), 1) for seconds in (least, most))
    return f"{high} {unit}" if low == high else f"{low}\N{EN DASH}{high} {unit}"
