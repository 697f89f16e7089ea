"""PURE: when the time of a deployment is over, and when its end is announced."""

from datetime import datetime, timedelta

from workers.deployment.events import EndAnnounced
from workers.deployment.state import Deployment

NOTICE = timedelta(minutes=15)
"""Minimum time from the announcement of an end to the end, in which a person can keep the deployment."""

BY_BUDGET = "budget-"
"""Beginning of the id of an EndScheduled that no person, but a budget caused."""


def is_to_be_announced(state: Deployment, now: datetime) -> bool:
    """Whether the end is NOTICE away or less, and is not announced yet."""
    if state.until is None or now < state.until - NOTICE:
        return False
    return not _is_announced(state) or is_ahead(state.end_announced, now)


def ends_at(state: Deployment) -> datetime | None:
    """When the deployment ends; None if a person has to end it.

    Later than the time that was set if the end was announced late, because no worker ran.
    """
    if state.until is None or state.end_announced is None or not _is_announced(state):
        return state.until
    return max(state.until, state.end_announced.at + NOTICE)


def is_over(state: Deployment, now: datetime) -> bool:
    """Whether the end was announced, and its time has come."""
    at = ends_at(state)
    return at is not None and _is_announced(state) and now >= at


def ends_by_budget(state: Deployment) -> bool:
    """Whether the time of its end was set because a budget is used up."""
    return state.kept is not None and state.kept.event_id.startswith(BY_BUDGET) and state.until == state.kept.until


def is_ahead(announced: EndAnnounced | None, now: datetime) -> bool:
    """Whether the announcement's time is over NOTICE ahead of now: a clock was wrong, and it is announced again."""
    return announced is not None and announced.at - now > NOTICE


def _is_announced(state: Deployment) -> bool:
    return state.end_announced is not None and state.end_announced.until == state.until
