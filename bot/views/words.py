"""PURE: a deployment's state as text: a dot, a verdict, and a sentence on what is happening."""

from datetime import datetime, timedelta
from typing import assert_never

from bot.language.command import address
from bot.language.question import is_direct
from bot.views import boot_phases, offers
from bot.views.amounts import CENT, after, count, duration, moment, per_hour_and_day, usd
from bot.views.attempts import engine_restarts, left, preposition, replacement, silence, so_far, why
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
from workers.decision.end_time import ends_by_budget
from workers.decision.retry_policy import DECIDE_WITHIN, paused_until
from workers.deployment import condition
from workers.deployment.attempt import MAY_COST, Attempt, Phase
from workers.deployment.condition import DeploymentStatus, awaits_route, condition_of, is_ending, without_lease
from workers.deployment.events import Clock
from workers.deployment.state import Deployment
from workers.machines import BootPhase
from workers.serving.boot import boot_of

MAX_SENTENCE = 1200

NEWS_FOR = timedelta(hours=1)
"""Time from the first ready replica during which the card shows what was tried and how long the launch took."""

HOST_ANSWERS_WITHIN = timedelta(minutes=1)
"""Time from a request to end a local machine after which its worker host counts as away."""

PROBE_SHOWN_AFTER = timedelta(seconds=10)
"""Time from a replica's start during which a failing readiness probe is expected, and not shown."""

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


def title(deployment: Deployment, now: datetime | None = None, *, observed: bool = True) -> str:
    """`🟢 fast is ready`, plain text. With `now`, it reports leases that have run out. `observed`: workers answer."""
    if not observed and not (now and without_lease(deployment, now)):
        return f"{DOTS[DeploymentStatus.NOT_READY]} {deployment.name} has no worker"
    return f"{dot(deployment, now)} {deployment.name} {verdict(deployment, now)}"


def dot(deployment: Deployment, now: datetime | None = None) -> str:
    match condition_of(deployment):
        case _ if now and without_lease(deployment, now):
            return DOTS[DeploymentStatus.NOT_READY]
        case _ if awaits_route(deployment):
            return DOTS[DeploymentStatus.STARTING]
        case condition.Scaling(silent=True):
            return DOTS[DeploymentStatus.DEGRADED]
        case condition.Abandoned():
            return DOTS[DeploymentStatus.FAILED]
        case other:
            return DOTS[other.status]


def verdict(deployment: Deployment, now: datetime | None = None) -> str:
    """The predicate after the name: `is ready`, `could not be launched`."""
    match condition_of(deployment):
        case _ if now and without_lease(deployment, now):
            return "has no worker, and its lease ran out"
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
    """The model's full name; empty if only the recipe's own script contains it."""
    named = boot_of(deployment.recipe, deployment.name).model
    return "" if named == deployment.name and deployment.recipe.engine is None else named


NEWER = "its log has events of a newer version"


def newer(deployment: Deployment) -> str:
    """What it means that a newer version wrote to the log; empty if none did."""
    if not deployment.newer or deployment.ended is not None:
        return ""
    follows = "Nothing is launched or ended; the leases of all machines are extended."
    if is_ending(deployment):
        follows = "This version ends none of them: without the newer one, they cost money until their leases run out."
    return (
        f"\N{WARNING SIGN}\ufe0f A newer version of mixtral-bot wrote {code(clip(deployment.newer, 80))} to the log of "
        "this deployment, which this version cannot read. The facts here may be outdated, and machines that cost money "
        f"may be missing. {follows} Upgrade the bot, the workers and the gateway."
    )


def short_model(deployment: Deployment) -> str:
    """The model's name without its owner; the deployment's name if the model is unknown."""
    return clip((model(deployment) or deployment.name).rstrip("/").rsplit("/", 1)[-1], 80)


def now_happening(deployment: Deployment, now: datetime) -> str:
    """One or two sentences in mrkdwn on what is being done, and what a person can do."""
    return clip(_happening(deployment, now), MAX_SENTENCE)


def cost(deployment: Deployment, now: datetime) -> str:
    """`free`, `nothing yet`, `3.20 USD/h (76.80 USD per day), 12.40 USD so far, 31.10 USD less than on demand`."""
    machines, left = [a for a in deployment.attempts if a.machine], deployment.left
    if not machines:
        return "nothing yet" if deployment.ended is None else usd(deployment.spent(now))
    if not left.rented and all(a.offer.cloud == "local" for a in machines):
        return "free"
    so_far = f"{usd(deployment.spent(now))} {'in all' if deployment.ended else 'so far'}{_saved(deployment, now)}"
    costs = any(a.phase in MAY_COST for a in machines)
    rate = per_hour_and_day(deployment.usd_per_hour) if costs else "nothing now"
    if left.unpriced or any(a.offer.usd_per_hour is None for a in machines):
        so_far += ", plus the machines without a known price"
    old = offers.read_ago((a.offer for a in machines if a.phase in MAY_COST), now)
    return so_far if deployment.ended else f"{rate}, {so_far}{f' (price read {old})' if old else ''}"


def _saved(deployment: Deployment, now: datetime) -> str:
    """The savings of spot against on demand; empty under one cent."""
    amount = deployment.saved(now)
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
            return _ending(state, now)
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
    """A mention of the person with this Slack id."""
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
            return f"The last machine, at {where}, was preempted; {replacement(last, state)}."
        at = f" {moment(until)}" if (until := paused_until(state, now)) else " now"
        return f"The last machine, at {where}, was lost: {why(last)}. The next attempt starts{at}."
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
    restarts = f"\n{ended}" if (ended := engine_restarts(attempt)) else ""
    phases = "".join(f"\n{line}" for line in boot_phases.lines(attempt, now))
    return f"{begun}{busy}{phases}{restarts}{_probed(state, attempt, now)}"


def _probed(state: Deployment, attempt: Attempt, now: datetime) -> str:
    """Why its readiness probe fails. A recipe with a wrong probe path shows no other symptom."""
    before_engine = bool(attempt.boot) and attempt.boot[-1].phase is not BootPhase.LOADING
    if not attempt.probe_says or before_engine or now - attempt.since < PROBE_SHOWN_AFTER:
        return ""
    path = code(clip(state.recipe.service.readiness_probe.path, 80))
    return f"\nThe readiness probe of {path} fails: {inert(clip(attempt.probe_says, 200))}."


def is_news(state: Deployment, now: datetime) -> bool:
    """Whether the launch is recent enough for the card to show its course."""
    first = _first_ready(state)
    return first is None or now - first < NEWS_FOR


def _first_ready(state: Deployment) -> datetime | None:
    return min((a.ready_at for a in state.attempts if a.ready_at), default=None)


def _ready(state: Deployment, now: datetime) -> str:
    first = _first_ready(state)
    took = f"Ready {after(first - state.requested_at)}. " if first and is_news(state, now) else ""
    if is_direct(state.place.channel):
        return f"{took}To ask it something, write to the bot here."
    return f"{took}To ask it something, mention the bot here or type `/mixtral ask {escape(address(state.name))} …`"


def _not_ready(attempt: Attempt, now: datetime) -> str:
    return (
        f"Replica {attempt.replica} does not answer: {silence(attempt)}. "
        f"If it does not recover within {duration(left(attempt, now))}, it is replaced."
    )


def what_it_cost(state: Deployment, now: datetime) -> str:
    """`cost 12.40 USD`, or `free of charge` if no machine was rented."""
    rented = state.left.rented or any(a.machine and a.offer.cloud != "local" for a in state.attempts)
    return f"cost {usd(state.spent(now))}{_saved(state, now)}" if rented else "free of charge"


def _ended_by(state: Deployment) -> str:
    return f" {_end(state)}." if state.stopped_by is not None else ""


def _ending(state: Deployment, now: datetime) -> str:
    ending = sum(a.phase in MAY_COST for a in state.attempts)
    by = _end(state)
    if not ending:
        return f"{by}: all its machines have ended."
    return f"{by}: shutting down {count(ending, 'replica')}.{_host_away(state, now)}"


def _end(state: Deployment) -> str:
    return f"Ended by {user(state.stopped_by)}" if state.stopped_by else f"Ended {by_clock(state)}"


def by_clock(state: Deployment) -> str:
    """Why no person ended a deployment that was stopped."""
    if state.stopped_for is Clock.IDLE and state.stop_after_idle is not None:
        return f"after {duration(state.stop_after_idle)} without a request"
    return "because a budget is used up" if ends_by_budget(state) else "at the time that was set for it"


def _host_away(state: Deployment, now: datetime) -> str:
    """Which worker hosts do not end their processes, which no other host can; empty if none is late."""
    late = [a for a in state.attempts if a.phase is Phase.SHUTTING_DOWN and a.request.host]
    late = [a for a in late if now - a.since > HOST_ANSWERS_WITHIN]
    if not late:
        return ""
    hosts = ", ".join(dict.fromkeys(code(a.request.host) for a in late))
    many = count(len(late), "process", "processes")
    last = moment(max(a.expires_at for a in late))
    return (
        f" Only the worker host {hosts} can end {many}, and has not done so. Start its worker. Otherwise the lease "
        f"ends the last one by {last}."
    )


def _failed(state: Deployment, why: str) -> str:
    if nothing_usable(state):
        offers_ = len(state.rungs)
        return f"{f'None of its {offers_:,} offers can' if offers_ > 1 else 'Its only offer cannot'} be taken here yet."
    return inert(why)


def nothing_usable(state: Deployment) -> bool:
    """Whether the ladder was dry from the start, so that its rungs contain the reasons."""
    return bool(state.rungs) and not state.attempts and not any(r.usable for r in state.rungs)


def _no_capacity(state: Deployment, found: condition.NoCapacity, now: datetime) -> str:
    if found.established:
        until = paused_until(state, now)
        next_time = moment(until) if until else "now"
        return f"{no_rung(state)} The ladder is tried again {next_time}; the endpoint stays and answers 503 until then."
    if found.keep_trying is None:
        within = duration(found.dry.at + DECIDE_WITHIN - now)
        return f"{no_rung(state)} Nothing is billed. Press *Keep trying* within {within}, or this launch ends."
    again = max(found.dry.at + found.keep_trying.every - now, timedelta())
    asked = f"{user(found.keep_trying.by)} asked to keep trying until {moment(found.keep_trying.until)}"
    return f"{no_rung(state)} {asked}: the ladder is tried again in {duration(again)}."
