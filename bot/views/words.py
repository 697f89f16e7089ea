"""PURE: the words for a deployment's state: a dot, a few words, and one sentence on what is happening now."""

from datetime import datetime, timedelta
from typing import assert_never

from bot.views import offers
from bot.views.amounts import after, count, duration, moment, usd, usd_per_hour
from bot.views.escape import clip, escape, inert
from workers.deployment.next_step import DECIDE_WITHIN, NOT_READY_FOR, RETRY_AFTER
from workers.deployment.state import LIVE, Attempt, Deployment, Phase, Status
from workers.serving.boot import boot_of

SENTENCE_MOST = 1200

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
}

ATTEMPT_DOTS = {
    Phase.PROVISIONING: "\N{LARGE BLUE CIRCLE}",
    Phase.REFUSED: "\N{MEDIUM WHITE CIRCLE}\N{VARIATION SELECTOR-16}",
    Phase.STARTING: "\N{LARGE YELLOW CIRCLE}",
    Phase.READY: "\N{LARGE GREEN CIRCLE}",
    Phase.NOT_READY: "\N{LARGE ORANGE CIRCLE}",
    Phase.SHUTTING_DOWN: "\N{LARGE BROWN CIRCLE}",
    Phase.ENDED: "\N{MEDIUM BLACK CIRCLE}\N{VARIATION SELECTOR-16}",
    Phase.PREEMPTED: "\N{LARGE RED CIRCLE}",
    Phase.FAILED: "\N{LARGE RED CIRCLE}",
}


def title(deployment: Deployment) -> str:
    """`🟢 fast is ready`, plain text."""
    return f"{DOTS[deployment.status]} {deployment.name} {verdict(deployment)}"


def verdict(deployment: Deployment) -> str:
    """What the name is followed by: `is ready`, `could not be launched`."""
    match deployment.status:
        case Status.FAILED:
            return "failed" if any(a.machine for a in deployment.attempts) else "could not be launched"
        case Status.PLANNING:
            return "is being planned"
        case Status.NO_CAPACITY:
            return "found no machine yet"
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
    """`free`, `11.78 USD/h, 3.12 USD so far`, `nothing yet`."""
    machines = [a for a in deployment.attempts if a.machine]
    if not machines:
        return "nothing yet" if deployment.ended is None else usd(deployment.spent(now))
    if all(a.offer.cloud == "local" for a in machines):
        return "free"
    so_far = f"{usd(deployment.spent(now))} {'in all' if deployment.ended else 'so far'}"
    rate = usd_per_hour(deployment.usd_per_hour)
    if any(a.offer.usd_per_hour is None for a in machines):
        so_far += ", and what the machines without a known price cost"
    return so_far if deployment.ended else f"{rate}, {so_far}"


def _happening(state: Deployment, now: datetime) -> str:
    match state.status:
        case Status.PLANNING:
            return f"Looking at clouds and prices for *{escape(short_model(state))}*."
        case Status.PROVISIONING:
            return _looking(state, now)
        case Status.STARTING:
            return _starting(state, _first(state, Phase.STARTING), now)
        case Status.READY:
            return _ready(state)
        case Status.SCALING:
            return f"{_scaling(state, now)} The endpoint answers meanwhile."
        case Status.NOT_READY:
            return _not_ready(_first(state, Phase.NOT_READY), now)
        case Status.ENDING:
            return _ending(state)
        case Status.ENDED:
            return f"Ran {duration(state.ran_for(now))}, {_what_it_cost(state, now)}.{_ended_by(state)}"
        case Status.FAILED:
            return _failed(state)
        case Status.NO_CAPACITY:
            return _no_capacity(state, now)
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
        lost = "was taken back by its cloud" if last.phase is Phase.PREEMPTED else _why(last)
        return f"The last machine, at {offers.place(last.offer)}, was lost: {lost}. Another one is tried."
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
    return f"Starting *{escape(short_model(state))}* {preposition(attempt)} {where}{so_far(attempt, now)}.{busy}"


def so_far(attempt: Attempt, now: datetime) -> str:
    """`: 3 s so far`, once there is something to count."""
    elapsed = now - attempt.since
    return f": {duration(elapsed)} so far" if elapsed >= timedelta(seconds=1) else ""


def preposition(attempt: Attempt) -> str:
    return "on" if attempt.offer.cloud == "local" else "at"


def _ready(state: Deployment) -> str:
    first = min((a.ready_at for a in state.attempts if a.ready_at), default=None)
    took = f"Ready {after(first - state.requested_at)}. " if first else ""
    return f"{took}To ask it something, mention me here or write `/mixtral ask {escape(state.name)} …`"


def _scaling(state: Deployment, now: datetime) -> str:
    ready, wanted = len(state.ready), state.wanted
    if len(state.live) > wanted:
        return f"Going down to {count(wanted, 'replica')}: {count(len(state.live) - wanted, 'replica')} to end."
    standing = f"{ready} of {count(wanted, 'replica')} {'is' if ready == 1 else 'are'} ready"
    coming = next((a for a in state.live if a.phase is not Phase.READY), None)
    if coming is not None:
        return f"{standing}; {_coming(coming)}{so_far(coming, now)}."
    if state.exhausted is not None:
        return f"{standing}. {_no_rung(state)} I {_ask_again(state, now)}."
    return f"{standing}; choosing a machine for the next."


def _coming(attempt: Attempt) -> str:
    where = offers.place(attempt.offer)
    match attempt.phase:
        case Phase.PROVISIONING:
            return f"asking {where} for replica {attempt.replica}"
        case Phase.NOT_READY:
            return f"replica {attempt.replica} does not answer ({_why(attempt)})"
        case _:
            return f"replica {attempt.replica} is starting {preposition(attempt)} {where}"


def _not_ready(attempt: Attempt, now: datetime) -> str:
    left = attempt.since + NOT_READY_FOR - now
    return (
        f"Replica {attempt.replica} does not answer: {_why(attempt)}. "
        f"If it does not recover within {duration(left)}, it is replaced."
    )


def _what_it_cost(state: Deployment, now: datetime) -> str:
    rented = any(a.machine and a.offer.cloud != "local" for a in state.attempts)
    return f"cost {usd(state.spent(now))}" if rented else "free of charge"


def _ended_by(state: Deployment) -> str:
    return f" Ended by {user(state.stopped_by)}." if state.stopped_by else ""


def _ending(state: Deployment) -> str:
    left = sum(a.phase in LIVE or a.phase is Phase.SHUTTING_DOWN for a in state.attempts)
    by = f"Ended by {user(state.stopped_by)}" if state.stopped_by else "Ended"
    return f"{by}: shutting down {count(left, 'replica')}." if left else f"{by}: all its machines are gone."


def _failed(state: Deployment) -> str:
    if nothing_usable(state):
        offers_ = len(state.rungs)
        return f"{f'None of its {offers_:,} offers can' if offers_ > 1 else 'Its only offer cannot'} be taken here yet."
    return inert((state.ended and state.ended.failed) or "The cause is not known.")


def nothing_usable(state: Deployment) -> bool:
    """Whether the ladder was dry from the start: then its rungs tell why, each for itself."""
    return bool(state.rungs) and not state.attempts and not any(r.usable for r in state.rungs)


def _no_rung(state: Deployment) -> str:
    return inert(state.exhausted.why if state.exhausted else "")


def _ask_again(state: Deployment, now: datetime) -> str:
    if state.exhausted is None:
        return "go on"
    left = state.exhausted.at + RETRY_AFTER - now
    return f"ask again in {duration(left)}" if left.total_seconds() >= 1 else "ask again now"


def _no_capacity(state: Deployment, now: datetime) -> str:
    if state.exhausted is None:
        return _no_rung(state)
    if state.keep_trying is None:
        left = state.exhausted.at + DECIDE_WITHIN - now
        return f"{_no_rung(state)} Nothing runs, and nothing costs. Say within {duration(left)} whether to keep trying."
    again = max(state.exhausted.at + state.keep_trying.every - now, timedelta())
    asked = f"{user(state.keep_trying.by)} asked to keep trying until {moment(state.keep_trying.until)}"
    return f"{_no_rung(state)} {asked}: the next round is in {duration(again)}."


def _why(attempt: Attempt) -> str:
    return inert(clip(attempt.why.rstrip("."), 300)) or "its machine ended"
