"""PURE: what is said while the number of replicas is not what is wanted, or the gateway is still missing."""

from datetime import datetime, timedelta

from bot.views import offers
from bot.views.amounts import count, duration, moment
from bot.views.attempts import left, preposition, replacement, silence, so_far, taken_back, why
from bot.views.escape import escape, inert
from workers.decision.mix import going, mix_of
from workers.decision.retry_policy import paused_until
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.condition import awaits_route
from workers.deployment.events import Autoscaled
from workers.deployment.state import Deployment

ROUTE_WITHIN = timedelta(seconds=30)
"""A gateway that runs has opened the route by then."""


def route(state: Deployment, now: datetime) -> str:
    """What is said while only the gateway is missing; empty otherwise."""
    if not awaits_route(state):
        return ""
    waited = now - min(a.since for a in state.ready)
    if waited < ROUTE_WITHIN:
        return "Waiting for the gateway to open the route."
    return (
        f"A replica is ready, but no gateway has opened its route for {duration(waited)}. Start one with "
        "`mixtral-bot gateway`; if one runs, its log tells what keeps it."
    )


def by_load(state: Deployment) -> str:
    """`2 → 3: 2.4 requests/s, 1 replica takes 1.` while the load's last word is being carried out."""
    moved, ready = state.scaled, len(state.ready)
    lost = [a.gone_at for a in state.attempts if a.gone_at and a.phase in (Phase.FAILED, Phase.PREEMPTED)]
    if not isinstance(moved, Autoscaled) or ready == moved.replicas or any(at > moved.at for at in lost):
        return ""
    return f"{ready} \N{RIGHTWARDS ARROW} {moved.replicas}: {inert(moved.why.rstrip('.'))}. "


def scaling(state: Deployment, now: datetime) -> str:
    ready, wanted = len(state.ready), state.wanted
    if over := going(mix_of(state.recipe, spot=state.limits.spot), wanted, state.attempts):
        number = count(wanted, "replica") if wanted else "no replica"
        return f"Going down to {number}: {count(len(over), 'replica')} to end."
    if wanted == 0:
        return f"Going down to no replica: {_leaving(state)}."
    standing = f"{ready} of {count(wanted, 'replica')} {_is_are(ready)} ready"
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
    return "" if attempt.phase is Phase.NOT_READY else so_far(attempt, now)  # there the time that is left is told


def _lacking(state: Deployment, standing: str, now: datetime) -> str:
    """Replicas are missing, and none is on its way."""
    until = paused_until(state, now)
    again = f"I ask again {moment(until)}" if until else "I ask again now"
    if state.exhausted is not None:
        return f"{standing}. {no_rung(state)} {again}."
    last = next((a for a in reversed(state.attempts) if a.phase in (Phase.FAILED, Phase.PREEMPTED)), None)
    if last is not None and last is state.attempts[-1]:
        if last.phase is Phase.PREEMPTED:
            return f"{standing}; {taken_back(last)}; {replacement(last, state)}."
        then = f"The next one is tried {moment(until)}" if until else "The next one is being chosen"
        return f"{standing}; replica {last.replica} was lost: {why(last)}. {then}."
    return f"{standing}; choosing a machine for the next."


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
    """Those that drain, or end."""
    draining = sorted(a.replica for a in state.attempts if a.phase is Phase.DRAINING)
    if len(draining) == 1:
        return f"replica {draining[0]} answers its last requests, then ends"
    if draining:
        return f"{count(len(draining), 'replica')} answer their last requests, then end"
    return f"{count(sum(a.phase is Phase.SHUTTING_DOWN for a in state.attempts), 'replica')} to end"


def degraded(state: Deployment, now: datetime) -> str:
    because = inert(state.abandoned.why) if state.abandoned else ""
    answering = f"{len(state.ready)} of {count(state.wanted, 'replica')} {_is_are(len(state.ready))} ready."
    return " ".join(part for part in (answering, because, try_again(state), route(state, now)) if part)


def at_zero(state: Deployment, *, wakes: bool) -> str:
    because = f" ({inert(state.scaled.why.rstrip('.'))})" if isinstance(state.scaled, Autoscaled) else ""
    said = f"No replica runs{because}, and nothing is billed."
    if not wakes:
        return (
            f"{said} Requests get a 503 with `Retry-After` until somebody brings it back: "
            f"`/mixtral scale {escape(state.name)} 1`."
        )
    return f"{said} The next request wakes it, and waits for its replica for a while, or gets a 503 with `Retry-After`."


def try_again(state: Deployment) -> str:
    return f"`/mixtral scale {escape(state.name)} {state.wanted}` tries again."


def no_rung(state: Deployment) -> str:
    return inert(state.exhausted.why if state.exhausted else "")


def _is_are(number: int) -> str:
    return "is" if number == 1 else "are"
