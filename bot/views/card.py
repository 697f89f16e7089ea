"""PURE: the card: one message that shows a deployment, rebuilt completely from its state."""

from datetime import datetime, timedelta

from bot.slack.message import Message
from bot.views import attempts, endpoint, ladder, lost_control, offers, replicas, words
from bot.views.amounts import count, duration, moment, seconds, usd_per_hour
from bot.views.blocks import Block, actions, button, context, fenced, fields, header, listed, section
from bot.views.escape import clip, code, escape, inert
from bot.views.readers import read_by
from bot.views.recipes import notes
from recipes.replicas import follows_load
from workers.deployment import condition
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.condition import (
    DeploymentStatus,
    awaits_decision,
    awaits_route,
    condition_of,
    is_ending,
    without_lease,
)
from workers.deployment.events import TestCompletionAnswered, TestCompletionFailed
from workers.deployment.state import Deployment
from workers.placement.limits import Limits

CARD = "mixtral_card"
"""Identifies the message: its metadata's event_type, and the prefix of its first block_id if metadata is not kept."""

MAX_LOG = 2200
MAX_WORDS = 600
MAX_FACT = 160
MAX_CONTACT = 4
WARNING = "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}"

CONTACT_EVERY = timedelta(seconds=15)
"""Interval at which the card and its thread are checked while the control loop cannot do something."""

CLIMBING = frozenset({DeploymentStatus.PROVISIONING, DeploymentStatus.FAILED, DeploymentStatus.NO_CAPACITY})

SETTLED = frozenset(
    {DeploymentStatus.ENDED, DeploymentStatus.READY, DeploymentStatus.ENDING, DeploymentStatus.SCALED_TO_ZERO}
)
"""Statuses in which the log of a failed machine is no longer shown."""

CHANGES_EVERY = (
    (timedelta(minutes=2), timedelta(seconds=5)),
    (timedelta(minutes=15), timedelta(seconds=15)),
    (timedelta.max, timedelta(minutes=1)),
)
"""Pairs of a state's maximum age and the interval at which its elapsed time is updated."""

MONEY_EVERY = timedelta(minutes=5)


def card(deployment: Deployment, now: datetime) -> Message:
    """The card: name and status, what is happening, the facts; then the rest."""
    blocks = [
        header(words.title(deployment, now), f"{CARD}_{deployment.id}"),
        section(words.now_happening(deployment, now)),
        *_contact(deployment, now),
        *([section(said)] if (said := words.newer(deployment)) else []),
        *_failure(deployment),
        _facts(deployment, now),
        *_readers(deployment),
        *_ladder(deployment, now),
        *_notes(deployment),
        *_endpoint(deployment),
        *_replicas(deployment, now),
        *_buttons(deployment),
    ]
    return Message(fallback(deployment, now), tuple(blocks))


def changes_every(deployment: Deployment, now: datetime) -> timedelta | None:
    """The interval at which the card changes without an event; None if it does not."""
    status = condition_of(deployment).status
    if not deployment.ended and any(a.lost for a in deployment.attempts):
        return CONTACT_EVERY
    if status in (DeploymentStatus.ENDED, DeploymentStatus.FAILED, DeploymentStatus.SCALED_TO_ZERO):
        return None
    if status in (DeploymentStatus.READY, DeploymentStatus.DEGRADED) and not awaits_route(deployment):
        return MONEY_EVERY if deployment.usd_per_hour else None
    age = now - max((a.since for a in deployment.attempts), default=deployment.requested_at)
    return next(every for until, every in CHANGES_EVERY if age < until)


def fallback(deployment: Deployment, now: datetime) -> str:
    """One sentence for notifications."""
    name = escape(deployment.name)
    match condition_of(deployment):
        case condition.Ready() if deployment.endpoint is not None and not without_lease(deployment, now):
            return f"{name} is ready at {endpoint.base_url(deployment)}."
        case condition.Ended():
            return f"{name} is down. It ran {duration(deployment.ran_for(now))}."
        case condition.Failed():
            return f"{name} {words.verdict(deployment, now)}. {clip(words.now_happening(deployment, now), 300)}"
        case _:
            of = f"{len(deployment.ready)} of {count(deployment.wanted, 'replica')}"
            replica = f", {of} ready" if deployment.ready and deployment.wanted else ""
            return f"{name} {words.verdict(deployment, now)}{replica}."


def _facts(deployment: Deployment, now: datetime) -> Block:
    pairs = [("Recipe", code(deployment.recipe.name))]
    if model := words.model(deployment):
        pairs.append(("Model", code(clip(model, MAX_FACT))))
    if not is_ending(deployment):
        ready = f"{len(deployment.ready)} of {deployment.wanted} ready" if deployment.wanted else "scaled to zero"
        pairs.append(("Replicas", f"{ready}{_moved_by(deployment)}"))
    if where := _where(deployment):
        pairs.append(("Runs on" if not deployment.ended else "Ran on", where))
    if deployment.attempts and condition_of(deployment).status is not DeploymentStatus.ENDED:
        pairs.append(("Cost", words.cost(deployment, now)))
    pairs.append(("Launched", f"by {words.user(deployment.place.user)}, {moment(deployment.requested_at)}"))
    if deployment.ended and condition_of(deployment).status is DeploymentStatus.ENDED:
        pairs.append(("Down since", moment(deployment.ended.at)))
    if limits := _limits(deployment.limits):
        pairs.append(("Limits", clip(limits, MAX_FACT)))
    return fields(pairs)


def _readers(deployment: Deployment) -> list[Block]:
    said = read_by(deployment.place.shared_with) if not deployment.ended else ""
    return [context(said)] if said else []


def _moved_by(deployment: Deployment) -> str:
    policy = deployment.recipe.service.replica_policy
    return f", {policy.min_replicas} to {policy.max_replicas} by load" if follows_load(policy) else ""


def _where(deployment: Deployment) -> str:
    machines = [a for a in deployment.attempts if a.machine and (deployment.ended or not a.gone_at)]
    shown = dict.fromkeys(_machine(a) for a in machines)
    if len(shown) > 1 and not deployment.ended:
        return f"{count(len(machines), 'machine')}, listed below"
    return "; ".join(list(shown)[:2])


def _machine(attempt: Attempt) -> str:
    offer = attempt.offer
    return offers.place(offer) if offer.cloud == "local" else f"{offers.place(offer)}, {offers.machine(offer)}"


def _limits(limits: Limits) -> str:
    parts = [
        "spot" if limits.spot else "",
        f"GPUs {escape(', '.join(limits.gpus))}" if limits.gpus else "",
        " or ".join(offers.cloud(c) for c in limits.clouds),
        f"at most {usd_per_hour(limits.max_price)} per replica" if limits.max_price is not None else "",
    ]
    return "; ".join(p for p in parts if p)


def _contact(deployment: Deployment, now: datetime) -> list[Block]:
    """What the control loop cannot do."""
    return [section(f"{WARNING} {line}") for line in lost_control.lines(deployment, now)[:MAX_CONTACT]]


def _failure(deployment: Deployment) -> list[Block]:
    """The end of the log of the last machine that failed, unless a later one was ready."""
    failed = [a for a in deployment.attempts if a.phase in (Phase.FAILED, Phase.PREEMPTED)]
    if not failed or not failed[-1].log_tail or condition_of(deployment).status in SETTLED:
        return []
    last = failed[-1]
    if any(a.ready_at and a.number > last.number for a in deployment.attempts):
        return []
    blocks = [
        section(
            f"The last lines of the log of replica {last.replica} {attempts.preposition(last)} "
            f"{offers.place(last.offer)}:\n{fenced(last.log_tail, MAX_LOG)}"
        )
    ]
    if condition_of(deployment).status is DeploymentStatus.FAILED:
        blocks.append(context("Fix the recipe or the machine, and launch it again."))
    return blocks


def _ladder(deployment: Deployment, now: datetime) -> list[Block]:
    if not deployment.rungs or deployment.stopped_by is not None or not ladder.tells_something(deployment):
        return []
    lacking = len(deployment.live) < deployment.wanted
    asking = any(a.phase is Phase.PROVISIONING for a in deployment.attempts)
    if condition_of(deployment).status in CLIMBING or asking or (lacking and deployment.exhausted):
        mends = ladder.mends(deployment.rungs, over=bool(deployment.ended)) if not asking else ""
        return [section(ladder.ladder(deployment, now)), *([section(mends)] if mends else [])]
    if words.is_news(deployment, now) and (refused := ladder.refusals(deployment)):
        return [context(listed(["Tried before:", *refused], 2000))]
    return []


def _notes(deployment: Deployment) -> list[Block]:
    """What is not applied as written, and a doubt about the weights, until there is an endpoint."""
    said = notes(deployment.recipe) if deployment.endpoint is None and deployment.stopped_by is None else []
    written = [context(listed(["Not applied as written:", *said], 2000))] if said else []
    weights = deployment.weights.says if deployment.weights and deployment.endpoint is None else ""
    doubt = [context(f"\N{WARNING SIGN}\ufe0f {inert(clip(weights, MAX_WORDS))}")] if weights else []
    return [*written, *doubt] if deployment.stopped_by is None else []


def _endpoint(deployment: Deployment) -> list[Block]:
    if deployment.endpoint is None or is_ending(deployment):
        return []
    return [*endpoint.on_card(deployment), *([section(test)] if (test := tested(deployment)) else [])]


def tested(deployment: Deployment) -> str:
    """The test completion as a quote of prompt and answer, or why it failed; empty if there was none."""
    match deployment.test:
        case TestCompletionAnswered() as test:
            answer = inert(clip(" ".join(test.text.split()), MAX_WORDS)) or "_(the answer is empty)_"
            return f"*Test completion*, {seconds(test.seconds)}\n> *{inert(test.prompt)}* {answer}"
        case TestCompletionFailed() as test:
            why = inert(clip(test.why.rstrip("."), MAX_WORDS))
            return f"\N{WARNING SIGN}\ufe0f *The test completion failed*: {why}. `/mixtral logs` may show the cause."
        case None:
            return ""


def _replicas(deployment: Deployment, now: datetime) -> list[Block]:
    if deployment.ended or not replicas.worth_a_list(deployment):
        return []
    return [section(listed(["*Replicas*", *replicas.lines(deployment, now)]))]


def _buttons(deployment: Deployment) -> list[Block]:
    if is_ending(deployment):
        return []
    id_ = deployment.id
    machines = [a for a in deployment.attempts if a.machine and not a.gone_at]
    shown = [
        button("Endpoint and key", "card_endpoint", id_, style="primary") if deployment.endpoint else None,
        button("Keep trying", "card_keep_trying", id_, style="primary") if awaits_decision(deployment) else None,
        button("Logs", "card_logs", id_) if machines else None,
        button("Scale…", "card_scale", id_),
        button("End", "card_down", id_, style="danger"),  # its modal asks: a dialog here would ask everybody
    ]
    return [actions([b for b in shown if b])]
