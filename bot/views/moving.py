"""PURE: sentences on replicas that are missing or ending, on scaling to zero, and on a missing gateway."""

from datetime import datetime, timedelta

from bot.views import offers
from bot.views.amounts import count, duration, moment
from bot.views.attempts import left, preposition, replacement, silence, so_far, taken_back, why
from bot.views.escape import escape, inert
from workers.decision.mix import going, mix_of
from workers.decision.opening import opens_at
from workers.decision.retry_policy import paused_until
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.condition import awaits_route
from workers.deployment.events import Autoscaled
from workers.deployment.state import Deployment

ROUTE_WITHIN = timedelta(seconds=30)
"""Maximum time in which a running gateway opens a route."""


def route(state: Deployment, now: datetime) -> str:
    """The sentence while a ready replica has no route; empty otherwise."""
    if not awaits_route(state):
        return ""
    waited = now - min(a.since for a in state.ready)
    if waited < ROUTE_WITHIN:
        return "Waiting for the gateway to open the route."
    return (
        f"A replica has been ready for {duration(waited)}, but no gateway has opened its route. Start a gateway with "
        "`mixtral-bot gateway`; if one is running, see its log for the cause."
    )


def by_load(state: Deployment) -> str:
    """`2 → 3: 2.4 requests/s, 1 replica takes 1.` until the last change by load is complete; empty otherwise."""
    moved, ready = state.scaled, len(state.ready)
    lost = [a.gone_at for a in state.attempts if a.gone_at and a.phase in (Phase.FAILED, Phase.PREEMPTED)]
    if not isinstance(moved, Autoscaled) or ready == moved.replicas or any(at > moved.at for at in lost):
        return ""
    return f"{ready} \N{RIGHTWARDS ARROW} {moved.replicas}: {inert(moved.why.rstrip('.'))}. "


def scaling(state: Deployment, now: datetime) -> str:
    ready, wanted = len(state.ready), state.wanted
    if over := going(mix_of(state.recipe, spot=state.limits.spot), wanted, state.attempts):
        number = count(wanted, "replica") if wanted else "zero"
        return f"Scaling down to {number}: {count(len(over), 'replica')} to end."
    if wanted == 0:
        return f"Scaling down to zero: {_leaving(state)}."
    standing = standing_of(state)
    coming = next((a for a in state.live if a.phase is not Phase.READY), None)
    if coming is not None:
        return f"{standing}; {_coming(coming, state, now)}{_elapsed(coming, now)}."
    if ready < wanted:
        return _lacking(state, standing, now)
    return f"{standing}; {_leaving(state)}."


def meanwhile(state: Deployment, now: datetime) -> str:
    if state.endpoint is None:
        return route(state, now)
    return "The endpoint answers meanwhile." if state.ready and state.wanted else "The endpoint stays."


def _elapsed(attempt: Attempt, now: datetime) -> str:
    return "" if attempt.phase is Phase.NOT_READY else so_far(attempt, now)


def _lacking(state: Deployment, standing: str, now: datetime) -> str:
    """The sentence if replicas are missing and no attempt is in progress."""
    until = paused_until(state, now)
    again = f"The ladder is tried again {moment(until) if until else 'now'}"
    if state.exhausted is not None:
        return f"{standing}. {no_rung(state)} {again}."
    last = next((a for a in reversed(state.attempts) if a.phase in (Phase.FAILED, Phase.PREEMPTED)), None)
    if last is not None and last is state.attempts[-1]:
        if last.phase is Phase.PREEMPTED:
            return f"{standing}; {taken_back(last)}; {replacement(last, state)}."
        then = f"The next attempt starts {moment(until)}" if until else "The next machine is being chosen"
        return f"{standing}; replica {last.replica} was lost: {why(last)}. {then}."
    return f"{standing}; choosing a machine for the next one."


def _coming(attempt: Attempt, state: Deployment, now: datetime) -> str:
    where = offers.place(attempt.offer)
    before = [a for a in state.attempts if a.replica == attempt.replica and a.number < attempt.number]
    lost = next((a for a in reversed(before) if a.phase is not Phase.REFUSED), None)
    if lost is not None and lost.phase is Phase.PREEMPTED and attempt.phase is not Phase.NOT_READY:
        return f"{taken_back(lost)}; {replacement(lost, state)}"
    match attempt.phase:
        case Phase.PROVISIONING:
            return f"asking {where} for replica {attempt.replica}"
        case Phase.NOT_READY:
            until = f"and is replaced in {duration(left(attempt, now))} if it does not recover"
            return f"replica {attempt.replica} does not answer ({silence(attempt)}), {until}"
        case _:
            return f"replica {attempt.replica} is starting {preposition(attempt)} {where}"


def _leaving(state: Deployment) -> str:
    """The replicas that drain, or end."""
    draining = sorted(a.replica for a in state.attempts if a.phase is Phase.DRAINING)
    if len(draining) == 1:
        return f"replica {draining[0]} answers its last requests, then ends"
    if draining:
        return f"{count(len(draining), 'replica')} answer their last requests, then end"
    return f"{count(sum(a.phase is Phase.SHUTTING_DOWN for a in state.attempts), 'replica')} to end"


def degraded(state: Deployment, now: datetime) -> str:
    because = inert(state.abandoned.why) if state.abandoned else ""
    return " ".join(part for part in (f"{standing_of(state)}.", because, try_again(state), route(state, now)) if part)


def at_zero(state: Deployment, *, wakes: bool) -> str:
    because = f" ({inert(state.scaled.why.rstrip('.'))})" if isinstance(state.scaled, Autoscaled) else ""
    nothing = f"No replica is running{because}, and nothing is billed."
    if at := opens_at(state):
        now = f"`/mixtral scale {escape(state.name)} 1` starts a replica before that."
        return f"{nothing} It opens {moment(at)}. Until then, requests get a 503 that says so. {now}"
    if wakes:
        return f"{nothing} The next request starts one and waits for it, or gets a 503 with `Retry-After`."
    return f"{nothing} Requests get a 503 with `Retry-After`. `/mixtral scale {escape(state.name)} 1` starts a replica."


def try_again(state: Deployment) -> str:
    return f"`/mixtral scale {escape(state.name)} {state.wanted}` tries again."


def no_rung(state: Deployment) -> str:
    return inert(state.exhausted.why if state.exhausted else "")


def standing_of(state: Deployment) -> str:
    """`1 of 2 replicas is ready`."""
    ready = len(state.ready)
    return f"{ready} of {count(state.wanted, 'replica')} {'is' if ready == 1 else 'are'} ready"
