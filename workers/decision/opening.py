"""PURE: the pauses of a deployment outside its hours."""

from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from recipes.hours import Hours, InvalidHours, closes_after, hours_of, in_zone, is_open, opens_after
from workers.decision.end_time import NOTICE, is_ahead
from workers.deployment.events import EndAnnounced
from workers.deployment.state import Deployment


class AnnouncePause(Struct, frozen=True):
    """Announce that the deployment pauses at this time."""

    until: datetime


class Pause(Struct, frozen=True):
    """Set the number of replicas to 0 until its hours begin."""

    why: str


class Resume(Struct, frozen=True):
    """Set the number of replicas to what it was before the pause."""

    replicas: int
    why: str


HoursStep: TypeAlias = AnnouncePause | Pause | Resume


def hours_step(state: Deployment, now: datetime) -> HoursStep | None:
    """What its hours require now; None if nothing.

    A pause is announced NOTICE ahead, unless nothing of the deployment runs yet, or no replica is wanted.
    """
    hours = _hours(state)
    if hours is None:
        return None
    if state.paused is not None:
        return Resume(state.paused, "its hours begin") if is_open(hours, now) else None
    at = _pauses_at(state, hours, now)
    if at is None:
        return None
    if not state.wanted or not state.attempts:
        wakes = state.recipe.service.replica_policy.wakes  # else a request would start a replica outside the hours
        return Pause(_why(hours, now)) if at <= now and (state.wanted or wakes) else None
    notice = _announced(state, now)
    if notice is None or opens_after(hours, notice.until) <= now:  # that pause is over: no worker ran in it
        return AnnouncePause(max(at, now + NOTICE)) if now >= at - NOTICE else None
    return Pause(_why(hours, now)) if now >= max(notice.until, at) else None


def pauses_at(state: Deployment, now: datetime) -> datetime | None:
    """When the next pause begins; None if none does, or if it pauses now."""
    hours = _hours(state)
    if hours is None or state.paused is not None:
        return None
    announced, at = _announced(state, now), _pauses_at(state, hours, now)
    return max(announced.until, at) if announced and at else at


def opens_at(state: Deployment) -> datetime | None:
    """When the pause ends; None if there is none."""
    hours = _hours(state)
    if hours is None or state.paused is None or state.scaled is None:
        return None
    return opens_after(hours, state.scaled.at)


def reopens_at(state: Deployment, at: datetime) -> datetime | None:
    """When the hours begin again after a pause that begins at `at`; None without hours."""
    hours = _hours(state)
    return opens_after(hours, at) if hours else None


def opening(state: Deployment) -> str:
    """When the pause ends, in the time zone of the hours: `Mon 2026-11-30 09:00 Europe/Paris`; empty without one."""
    hours, at = _hours(state), opens_at(state)
    return in_zone(at, hours) if hours and at else ""


def _hours(state: Deployment) -> Hours | None:
    """None also if this process does not know the time zone: then it does not pause."""
    try:
        return hours_of(state.hours) if state.hours else None
    except InvalidHours:
        return None


def _pauses_at(state: Deployment, hours: Hours, now: datetime) -> datetime | None:
    held = state.hours_held.until if state.hours_held else now
    return closes_after(hours, max(now, held))


def _announced(state: Deployment, now: datetime) -> EndAnnounced | None:
    return None if is_ahead(state.pause_announced, now) else state.pause_announced


def _why(hours: Hours, now: datetime) -> str:
    return f"its hours are over until {in_zone(opens_after(hours, now), hours)}"
