"""PURE: the words for a deployment's state: a dot, a few words, and one sentence on what is happening now."""

from datetime import datetime, timedelta
from typing import assert_never

from bot.views import offers
from bot.views.amounts import CENT, after, count, duration, moment, usd, usd_per_hour
from bot.views.attempts import left, preposition, replacement, silence, so_far, stumbled, why
from bot.views.escape import clip, code, escape, inert
from bot.views.moving import (
    at_zero,
    by_load,
    degraded,
    meanwhile,
    no_rung,
    route,
    scaling,
)
from workers.decision.retry_policy import DECIDE_WITHIN, paused_until
from workers.decision.savings import saved
from workers.deployment import condition
from workers.deployment.attempt import MAY_COST, Attempt, Phase
from workers.deployment.condition import DeploymentStatus, awaits_route, condition_of
from workers.deployment.state import Deployment
from workers.serving.boot import boot_of

SENTENCE_MOST = 1200

NEWS_FOR = timedelta(hours=1)
"""So long the card of a deployment that answers tells how it was launched: what was tried, and how long it took."""

PROBE_SHOWN_AFTER = timedelta(seconds=10)
"""Before that, nothing answers anywhere."""

DOTS = {
    DeploymentStatus.PLANNING: "\N{MEDIUM WHITE CIRCLE}\N{VARIATION SELECTOR-16}",
    DeploymentStatus.PROVISIONING: "\N{LARGE BLUE CIRCLE}",
    DeploymentStatus.STARTING: "\N{LARGE YELLOW CIRCLE}",
    DeploymentStatus.READY: "\N{LARGE GREEN CIRCLE}",
    DeploymentStatus.SCALING: "\N{LARGE GREEN CIRCLE}",
    DeploymentStatus.NOT_READY: "\N{LARGE ORANGE CIRCLE}",
    DeploymentStatus.ENDING: "\N{LARGE BROWN CIRCLE}",
    DeploymentStatus.ENDED: "\N{MEDIUM BLACK CIRCLE}\N{VARIATION SELECTOR-16}",
    DeploymentStatus.FAILED: "\N{LARGE RED CIRCLE}",
    DeploymentStatus.NO_CAPACITY: "\N{LARGE ORANGE CIRCLE}",
    DeploymentStatus.DEGRADED: "\N{LARGE ORANGE CIRCLE}",
    DeploymentStatus.SCALED_TO_ZERO: "\N{MEDIUM WHITE CIRCLE}\N{VARIATION SELECTOR-16}",
}


def title(deployment: Deployment) -> str:
    """`🟢 fast is ready`, plain text."""
    return f"{dot(deployment)} {deployment.name} {verdict(deployment)}"


def dot(deployment: Deployment) -> str:
    match condition_of(deployment):
        case _ if awaits_route(deployment):
            return DOTS[DeploymentStatus.STARTING]
        case condition.Scaling(silent=True):
            return DOTS[DeploymentStatus.DEGRADED]
        case condition.Abandoned():
            return DOTS[DeploymentStatus.FAILED]
        case other:
            return DOTS[other.status]


def verdict(deployment: Deployment) -> str:
    """What the name is followed by: `is ready`, `could not be launched`."""
    match condition_of(deployment):
        case condition.Failed():
            return "failed" if any(a.machine for a in deployment.attempts) else "could not be launched"
        case condition.Planning():
            return "is being planned"
        case _ if awaits_route(deployment):
            return "has no endpoint yet"
        case condition.Abandoned() | condition.NoCapacity(established=True):
            return "has no replica left"
        case condition.Scaling(silent=True):
            return "has a replica that does not answer"
        case condition.NoCapacity():
            return "found no machine yet"
        case other:
            return f"is {other.status.value}"


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
    old = offers.read_ago((a.offer for a in machines if a.phase in MAY_COST), now)
    return so_far if deployment.ended else f"{rate}, {so_far}{f' (price read {old})' if old else ''}"


def _saved(deployment: Deployment, now: datetime) -> str:
    """What spot has saved, where that is a cent at least."""
    amount = saved(deployment.attempts, now)
    return f", {usd(amount)} less than on demand" if amount >= CENT else ""


def _happening(state: Deployment, now: datetime) -> str:
    match condition_of(state):
        case condition.Planning():
            return f"Looking at clouds and prices for *{escape(short_model(state))}*."
        case condition.Looking():
            return f"{by_load(state)}{_looking(state, now)}"
        case condition.Starting(replica=replica):
            return f"{by_load(state)}{_starting(state, replica, now)}"
        case condition.Ready():
            return route(state, now) or _ready(state, now)
        case condition.Scaling() | condition.ScaledToZero(leaving=True):
            return f"{by_load(state)}{scaling(state, now)} {meanwhile(state, now)}".rstrip()
        case condition.NotReady(replica=replica):
            return _not_ready(replica, now)
        case condition.Ending():
            return _ending(state)
        case condition.Ended():
            return f"Ran {duration(state.ran_for(now))}, {what_it_cost(state, now)}.{_ended_by(state)}"
        case condition.Failed(why=why):
            return _failed(state, why)
        case condition.NoCapacity() as found:
            return _no_capacity(state, found, now)
        case condition.Degraded() | condition.Abandoned():
            return degraded(state, now)
        case condition.ScaledToZero(wakes=wakes):
            return at_zero(state, wakes=wakes)
        case _ as never:
            assert_never(never)


def user(id_: str) -> str:
    """A mention, from an id that Slack gave."""
    return f"<@{id_}>" if id_.isalnum() else escape(id_)


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


def _failed(state: Deployment, why: str) -> str:
    if nothing_usable(state):
        offers_ = len(state.rungs)
        return f"{f'None of its {offers_:,} offers can' if offers_ > 1 else 'Its only offer cannot'} be taken here yet."
    return inert(why)


def nothing_usable(state: Deployment) -> bool:
    """Whether the ladder was dry from the start: then its rungs tell why, each for itself."""
    return bool(state.rungs) and not state.attempts and not any(r.usable for r in state.rungs)


def _no_capacity(state: Deployment, found: condition.NoCapacity, now: datetime) -> str:
    if found.established:
        until = paused_until(state, now)
        next_time = moment(until) if until else "now"
        return f"{no_rung(state)} I ask again {next_time}. The endpoint stays, with a 503 for each request until then."
    if found.keep_trying is None:
        within = duration(found.dry.at + DECIDE_WITHIN - now)
        return f"{no_rung(state)} Nothing runs, and nothing is billed. Say within {within} whether to keep trying."
    again = max(found.dry.at + found.keep_trying.every - now, timedelta())
    asked = f"{user(found.keep_trying.by)} asked to keep trying until {moment(found.keep_trying.until)}"
    return f"{no_rung(state)} {asked}: the next round is in {duration(again)}."
