"""PURE: since when a deployment has no request, and what follows: its end, or a reminder of its cost."""

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from workers.decision.end_time import NOTICE, ends_at, is_ahead
from workers.decision.load import STALE
from workers.decision.opening import pauses_at
from workers.deployment.condition import is_ending
from workers.deployment.idle_times import IdleTime
from workers.deployment.loads import Load
from workers.deployment.state import Deployment

UNUSED_FOR = timedelta(hours=3)
"""Time without a request after which a deployment without any clock is noticed."""
NOTICED_EVERY = timedelta(days=1)


class AnnounceIdleEnd(Struct, frozen=True):
    """Announce that the deployment ends at `until`, unless a request arrives before."""

    until: datetime
    since: datetime


class WithdrawIdleEnd(Struct, frozen=True):
    """Say that the announced end no longer holds, and that the next one is at `until` at the earliest."""

    until: datetime
    why: str


class EndIdle(Struct, frozen=True):
    """Request the end of the deployment."""


class NoticeIdle(Struct, frozen=True):
    """Say that nobody uses the deployment."""

    since: datetime


IdleStep: TypeAlias = AnnounceIdleEnd | WithdrawIdleEnd | EndIdle | NoticeIdle


def observed(state: Deployment, load: Load | None, before: IdleTime | None, now: datetime) -> IdleTime | None:
    """The idle time after an observation. Without a new one it stays as it was.

    The idle time begins again if nothing can be idle (it starts, or pauses outside its hours), and if a request may
    have been missed: the gateway was restarted, or has been silent and remembers no request.
    """
    if load is None or abs(now - load.at) > STALE:
        return before
    last, busy = load.last_request_at, load.in_work > 0 or load.held > 0
    if last is not None and last - load.at > STALE:
        last = None  # by a clock that was ahead
    if before is not None and before.since - load.at > STALE:
        before = None
    busy = busy or any(replica.requests for replica in load.replicas.values())  # also those before a reload of HAProxy
    starts = not state.ready and (state.wanted > 0 or not state.established)
    if before is None or busy or starts or state.paused is not None:
        return IdleTime(since=load.at, seen=load.at, last=last, asked=busy)
    silent, came = load.at - before.seen > STALE, last is not None and last > before.since
    if last is None and (before.last is not None or silent):
        return IdleTime(since=load.at, seen=load.at)
    if silent and (came or (before.asked and before.since == before.seen)):
        # One was in work when the gateway fell silent, or came since then: when it was answered is not known.
        return IdleTime(since=load.at, seen=load.at, last=last, asked=True)
    if came and last is not None:
        return IdleTime(since=last, seen=load.at, last=last, asked=True)
    return replace(before, seen=load.at, last=last)


def idle_step(state: Deployment, idle: IdleTime | None, now: datetime) -> IdleStep | None:
    """What to do about a deployment without requests; None if nothing. An unknown load is never idle."""
    if idle is None or abs(now - idle.seen) > STALE or is_ending(state) or state.newer:
        return None
    if state.stop_after_idle is None:
        return _noticed(state, idle, now)
    due = idle.since + state.stop_after_idle
    announced = None if is_ahead(state.idle_end, now) else state.idle_end
    if state.idle_held is not None and state.idle_held.by:
        due = max(due, state.idle_held.until)
    if announced is None:
        end, until = ends_at(state), max(due, now + NOTICE)
        others = (end, pauses_at(state, now))
        is_first = state.paused is None and all(other is None or other > until for other in others)
        return AnnounceIdleEnd(until, idle.since) if is_first and now >= due - NOTICE else None
    if announced.idle_since is None or idle.since > announced.idle_since:
        return WithdrawIdleEnd(due, _why_not(state, idle))
    if idle.seen < announced.until or now < announced.until:
        return None  # the last look is after the end of the notice, so that a request in its last second counts
    return EndIdle()


def idle_ends_at(state: Deployment) -> datetime | None:
    """The announced end for lack of requests; None if none is announced."""
    return state.idle_end.until if state.idle_end else None


def _why_not(state: Deployment, idle: IdleTime) -> str:
    """Why the idle time began again."""
    if state.paused is not None:
        return "it pauses outside its hours"
    if idle.asked:
        return "a request arrived"
    return "a request may have been missed" if state.ready or not state.wanted else "no replica of it is ready"


def _noticed(state: Deployment, idle: IdleTime, now: datetime) -> NoticeIdle | None:
    if state.until is not None or state.hours or not (state.ready and state.wanted):
        return None
    before = state.idle_noticed
    if now - idle.since < UNUSED_FOR or (before is not None and now - before.at < NOTICED_EVERY):
        return None
    return NoticeIdle(idle.since)
