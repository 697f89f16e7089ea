"""PURE: the words for a deployment's state: a dot, a few words, and one sentence on what is happening now."""

from datetime import datetime, timedelta
from typing import assert_never

from bot.views import offers
from bot.views.amounts import CENT, after, count, duration, moment, usd, usd_per_hour
from bot.views.attempts import left, preposition, replacement, silence, so_far, stumbled, why
from bot.views.escape import clip, code, escape, inert
from bot.views.moving import (
    at_zero,
    awaits_route,
    by_load,
    degraded,
    left_alone,
    meanwhile,
    no_rung,
    route,
    scaling,
)
from workers.deployment.attempt import MAY_COST, Attempt, Phase
from workers.deployment.patience import DECIDE_WITHIN, paused_until
from workers.deployment.state import Deployment, Status
from workers.replicas.savings import saved
from workers.serving.boot import boot_of

SENTENCE_MOST = 1200

NEWS_FOR = timedelta(hours=1)
"""So long the card of a deployment that answers tells how it was launched: what was tried, and how long it took."""

PROBE_SHOWN_AFTER = timedelta(seconds=10)
"""Before that, nothing answers anywhere."""

DOTS = {
    Status.PLANNING: "\N{MEDIUM WHITE CIRCLE}\N{VARIATION SELECTOR-16}",
    Status.PROVISIONING: "\N{LARGE BLUE CIRCLE}",
    Status.STARTING: "\N{LARGE YELLOW CIRCLE}",
    Status.READY: "\N{LARGE GREEN CIRCLE}",
    Status.SCALING: "\N{LARGE GREEN CIRCLE}",
    Status.NOT_READY: "\N{LARGE ORANGE CIRCLE}",
    Status.ENDING: "\N{LARGE BROWN CIRCLE}",
    Status.ENDED: "\N{MEDIUM BLACK CIRCLE}\N{VARIATION SELECTOR-16}",
    Status.FAILED: "\N{LARGE RED CIRCLE}",
    Status.NO_CAPACITY: "\N{LARGE ORANGE CIRCLE}",
    Status.DEGRADED: "\N{LARGE ORANGE CIRCLE}",
    Status.SCALED_TO_ZERO: "\N{MEDIUM WHITE CIRCLE}\N{VARIATION SELECTOR-16}",
}


def title(deployment: Deployment) -> str:
    """`🟢 fast is ready`, plain text."""
    return f"{DOTS[_shown(deployment)]} {deployment.name} {verdict(deployment)}"


def _shown(deployment: Deployment) -> Status:
    """The status whose dot it bears."""
    if awaits_route(deployment):
        return Status.STARTING
    if deployment.status is Status.SCALING and any(a.phase is Phase.NOT_READY for a in deployment.attempts):
        return Status.DEGRADED
    return Status.FAILED if left_alone(deployment) else deployment.status


def verdict(deployment: Deployment) -> str:
    """What the name is followed by: `is ready`, `could not be launched`."""
    match deployment.status:
        case Status.FAILED:
            return "failed" if any(a.machine for a in deployment.attempts) else "could not be launched"
        case Status.PLANNING:
            return "is being planned"
        case _ if awaits_route(deployment):
            return "has no endpoint yet"
        case _ if left_alone(deployment):
            return "has no replica left"
        case Status.SCALING if any(a.phase is Phase.NOT_READY for a in deployment.attempts):
            return "has a replica that does not answer"
        case Status.NO_CAPACITY:
            return "has no replica left" if deployment.established else "found no machine yet"
        case status:
            return f"is {status.value}"


def model(deployment: Deployment) -> str:
    """The model's full name; empty where only the recipe's own script knows it."""
    named = boot_of(deployment.recipe, deployment.name).model
    return "" if named == deployment.name and deployment.recipe.engine is None else named


def short_model(deployment: Deployment) -> str:
    """The model's name without its maker's, or the deployment's."""
    return clip((model(deployment) or deployment.name).rstrip("/").rsplit("/", 1)[-1], 80)


def now_happening(deployment: Deployment, now: datetime) -> str:
    """One or two sentences in mrkdwn on what is being done, and what a person can do."""
    return clip(_happening(deployment, now), SENTENCE_MOST)


def cost(deployment: Deployment, now: datetime) -> str:
    """`free`, `nothing yet`, `3.20 USD/h, 12.40 USD so far, 31.10 USD less than on demand`."""
    machines = [a for a in deployment.attempts if a.machine]
    if not machines:
        return "nothing yet" if deployment.ended is None else usd(deployment.spent(now))
    if all(a.offer.cloud == "local" for a in machines):
        return "free"
    so_far = f"{usd(deployment.spent(now))} {'in all' if deployment.ended else 'so far'}{_saved(deployment, now)}"
    costs = any(a.phase in MAY_COST for a in machines)
    rate = usd_per_hour(deployment.usd_per_hour) if costs else "nothing now"
    if any(a.offer.usd_per_hour is None for a in machines):
        so_far += ", and what the machines without a known price cost"
    return so_far if deployment.ended else f"{rate}, {so_far}"


def _saved(deployment: Deployment, now: datetime) -> str:
    """What spot has saved, where that is a cent at least."""
    amount = saved(deployment.attempts, now)
    return f", {usd(amount)} less than on demand" if amount >= CENT else ""


def _happening(state: Deployment, now: datetime) -> str:
    match state.status:
        case Status.PLANNING:
            return f"Looking at clouds and prices for *{escape(short_model(state))}*."
        case Status.PROVISIONING:
            return f"{by_load(state)}{_looking(state, now)}"
        case Status.STARTING:
            return f"{by_load(state)}{_starting(state, _first(state, Phase.STARTING), now)}"
        case Status.READY:
            return route(state, now) or _ready(state, now)
        case Status.SCALING:
            return f"{by_load(state)}{scaling(state, now)} {meanwhile(state, now)}".rstrip()
        case Status.NOT_READY:
            return _not_ready(_first(state, Phase.NOT_READY), now)
        case Status.ENDING:
            return _ending(state)
        case Status.ENDED:
            return f"Ran {duration(state.ran_for(now))}, {what_it_cost(state, now)}.{_ended_by(state)}"
        case Status.FAILED:
            return _failed(state)
        case Status.NO_CAPACITY:
            return _no_capacity(state, now)
        case Status.DEGRADED:
            return degraded(state, now)
        case Status.SCALED_TO_ZERO:
            return at_zero(state)
        case _ as never:
            assert_never(never)


def user(id_: str) -> str:
    """A mention, from an id that Slack gave."""
    return f"<@{id_}>" if id_.isalnum() else escape(id_)


def _first(state: Deployment, phase: Phase) -> Attempt:
    return next(a for a in state.attempts if a.phase is phase)


def _looking(state: Deployment, now: datetime) -> str:
    asked = next((a for a in state.attempts if a.phase is Phase.PROVISIONING), None)
    if asked is not None:
        return _asking(asked, now)
    failed = [a for a in state.attempts if a.phase in (Phase.FAILED, Phase.PREEMPTED)]
    if failed:
        last = failed[-1]
        where = offers.place(last.offer)
        if last.phase is Phase.PREEMPTED:
            return f"The last machine, at {where}, was taken back by the cloud; {replacement(last, state)}."
        again = f"is tried {moment(until)}" if (until := paused_until(state, now)) else "is tried"
        return f"The last machine, at {where}, was lost: {why(last)}. Another one {again}."
    return f"Choosing a machine for *{escape(short_model(state))}*."


def _asking(attempt: Attempt, now: datetime) -> str:
    offer = attempt.offer
    if offer.cloud == "local":
        return f"Starting a process on this machine{so_far(attempt, now)}."
    more = len(attempt.request.offers) - 1
    others = f" (and {count(more, 'other zone')} in the same call)" if more else ""
    return (
        f"Asking *{offers.place(offer)}*{others} for *{offers.machine(offer)}* "
        f"at *{offers.price(offer)}*{so_far(attempt, now)}."
    )


def _starting(state: Deployment, attempt: Attempt, now: datetime) -> str:
    busy = f"\nNow: {inert(clip(attempt.progress, 200))}." if attempt.progress else ""
    where = offers.place(attempt.offer)
    begun = f"Starting *{escape(short_model(state))}* {preposition(attempt)} {where}{so_far(attempt, now)}."
    told = f"\n{stumble}" if (stumble := stumbled(attempt)) else ""
    return f"{begun}{busy}{told}{_probed(state, attempt, now)}"


def _probed(state: Deployment, attempt: Attempt, now: datetime) -> str:
    """Why it does not count as ready yet: for a recipe that asks at the wrong place, all that there is to see."""
    if not attempt.probe_says or now - attempt.since < PROBE_SHOWN_AFTER:
        return ""
    path = code(clip(state.recipe.service.readiness_probe.path, 80))
    return f"\nNot ready by its probe of {path}: {inert(clip(attempt.probe_says, 200))}."


def is_news(state: Deployment, now: datetime) -> bool:
    """Whether its launch is recent enough for how it came about to be told."""
    first = _first_ready(state)
    return first is None or now - first < NEWS_FOR


def _first_ready(state: Deployment) -> datetime | None:
    return min((a.ready_at for a in state.attempts if a.ready_at), default=None)


def _ready(state: Deployment, now: datetime) -> str:
    first = _first_ready(state)
    took = f"Ready {after(first - state.requested_at)}. " if first and is_news(state, now) else ""
    return f"{took}To ask it something, mention me here or write `/mixtral ask {escape(state.name)} …`"


def _not_ready(attempt: Attempt, now: datetime) -> str:
    return (
        f"Replica {attempt.replica} does not answer: {silence(attempt)}. "
        f"If it does not recover within {duration(left(attempt, now))}, it is replaced."
    )


def what_it_cost(state: Deployment, now: datetime) -> str:
    """`cost 12.40 USD`, or `free of charge`."""
    rented = any(a.machine and a.offer.cloud != "local" for a in state.attempts)
    return f"cost {usd(state.spent(now))}{_saved(state, now)}" if rented else "free of charge"


def _ended_by(state: Deployment) -> str:
    return f" Ended by {user(state.stopped_by)}." if state.stopped_by else ""


def _ending(state: Deployment) -> str:
    ending = sum(a.phase in MAY_COST for a in state.attempts)
    by = f"Ended by {user(state.stopped_by)}" if state.stopped_by else "Ended"
    return f"{by}: shutting down {count(ending, 'replica')}." if ending else f"{by}: all its machines are gone."


def _failed(state: Deployment) -> str:
    if nothing_usable(state):
        offers_ = len(state.rungs)
        return f"{f'None of its {offers_:,} offers can' if offers_ > 1 else 'Its only offer cannot'} be taken here yet."
    return inert((state.ended and state.ended.failed) or "The cause is not known.")


def nothing_usable(state: Deployment) -> bool:
    """Whether the ladder was dry from the start: then its rungs tell why, each for itself."""
    return bool(state.rungs) and not state.attempts and not any(r.usable for r in state.rungs)


def _no_capacity(state: Deployment, now: datetime) -> str:
    if state.exhausted is None:
        return no_rung(state)
    if state.established:
        until = paused_until(state, now)
        next_time = moment(until) if until else "now"
        return f"{no_rung(state)} I ask again {next_time}. The endpoint stays, with a 503 for each request until then."
    if state.keep_trying is None or state.keep_trying.until <= now:
        within = duration(state.exhausted.at + DECIDE_WITHIN - now)
        return f"{no_rung(state)} Nothing runs, and nothing is billed. Say within {within} whether to keep trying."
    again = max(state.exhausted.at + state.keep_trying.every - now, timedelta())
    asked = f"{user(state.keep_trying.by)} asked to keep trying until {moment(state.keep_trying.until)}"
    return f"{no_rung(state)} {asked}: the next round is in {duration(again)}."
