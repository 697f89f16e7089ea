"""PURE: the live card: one message that tells all of a deployment, rebuilt whole from its state."""

from datetime import datetime, timedelta

from bot.slack.message import Message
from bot.views import attempts, endpoint, ladder, offers, replicas, words
from bot.views.amounts import count, duration, moment, seconds, usd_per_hour
from bot.views.blocks import Block, actions, button, confirm, context, fenced, fields, header, listed, section
from bot.views.escape import clip, code, escape, inert
from bot.views.recipes import notes
from recipes.replicas import follows_load
from workers.deployment import condition
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.condition import DeploymentStatus, awaits_decision, awaits_route, condition_of, is_ending
from workers.deployment.events import TestCompletionAnswered, TestCompletionFailed
from workers.deployment.state import Deployment
from workers.placement.limits import Limits

CARD = "mixtral_card"
"""Marks the message: its metadata's event_type, and the beginning of its first block_id where metadata is not kept."""

LOG_MOST = 2200
WORDS_MOST = 600
FACT_MOST = 160

CLIMBING = frozenset({DeploymentStatus.PROVISIONING, DeploymentStatus.FAILED, DeploymentStatus.NO_CAPACITY})

SETTLED = frozenset(
    {DeploymentStatus.ENDED, DeploymentStatus.READY, DeploymentStatus.ENDING, DeploymentStatus.SCALED_TO_ZERO}
)
"""What a machine once died of is of no interest any more."""

CHANGES_EVERY = (
    (timedelta(minutes=2), timedelta(seconds=5)),
    (timedelta(minutes=15), timedelta(seconds=15)),
    (timedelta.max, timedelta(minutes=1)),
)
"""Up to what age of a state its elapsed time is shown anew, and how often."""

MONEY_EVERY = timedelta(minutes=5)


def card(deployment: Deployment, now: datetime) -> Message:
    """The card. What the eye meets first: name and status, what is happening, the facts; then the rest."""
    blocks = [
        header(words.title(deployment), f"{CARD}_{deployment.id}"),
        section(words.now_happening(deployment, now)),
        *_failure(deployment),
        _facts(deployment, now),
        *_ladder(deployment, now),
        *_notes(deployment),
        *_endpoint(deployment),
        *_replicas(deployment, now),
        *_buttons(deployment),
    ]
    return Message(fallback(deployment, now), tuple(blocks))


def changes_every(deployment: Deployment, now: datetime) -> timedelta | None:
    """How often the card differs by the passing of time alone; None: never."""
    status = condition_of(deployment).status
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
        case condition.Ready() if deployment.endpoint is not None:
            return f"{name} is ready at {endpoint.base_url(deployment)}."
        case condition.Ended():
            return f"{name} is down. It ran {duration(deployment.ran_for(now))}."
        case condition.Failed():
            return f"{name} {words.verdict(deployment)}. {clip(words.now_happening(deployment, now), 300)}"
        case _:
            of = f"{len(deployment.ready)} of {count(deployment.wanted, 'replica')}"
            replica = f", {of} ready" if deployment.ready and deployment.wanted else ""
            return f"{name} {words.verdict(deployment)}{replica}."


def _facts(deployment: Deployment, now: datetime) -> Block:
    pairs = [("Recipe", code(deployment.recipe.name))]
    if model := words.model(deployment):
        pairs.append(("Model", code(clip(model, FACT_MOST))))
    if not is_ending(deployment):
        ready = f"{len(deployment.ready)} of {deployment.wanted} ready" if deployment.wanted else "none wanted"
        pairs.append(("Replicas", f"{ready}{_moved_by(deployment)}"))
    if where := _where(deployment):
        pairs.append(("Runs on" if not deployment.ended else "Ran on", where))
    if deployment.attempts and condition_of(deployment).status is not DeploymentStatus.ENDED:
        pairs.append(("Cost", words.cost(deployment, now)))
    pairs.append(("Launched", f"by {words.user(deployment.place.user)}, {moment(deployment.requested_at)}"))
    if deployment.ended and condition_of(deployment).status is DeploymentStatus.ENDED:
        pairs.append(("Down since", moment(deployment.ended.at)))
    if limits := _limits(deployment.limits):
        pairs.append(("Limits", clip(limits, FACT_MOST)))
    return fields(pairs)


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
        f"at most {usd_per_hour(limits.max_price)} a replica" if limits.max_price is not None else "",
    ]
    return "; ".join(p for p in parts if p)


def _failure(deployment: Deployment) -> list[Block]:
    """Of a failed deployment the end of its log; of one that runs, why its last machine did not."""
    failed = [a for a in deployment.attempts if a.phase in (Phase.FAILED, Phase.PREEMPTED)]
    if not failed or not failed[-1].log_tail or condition_of(deployment).status in SETTLED:
        return []
    last = failed[-1]
    if any(a.ready_at and a.number > last.number for a in deployment.attempts):
        return []  # a later one answered: that log is no news any more
    blocks = [
        section(
            f"The last lines of its log, replica {last.replica} {attempts.preposition(last)} "
            f"{offers.place(last.offer)}:\n{fenced(last.log_tail, LOG_MOST)}"
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
    if words.is_news(deployment, now) and (said_no := ladder.refusals(deployment)):
        return [context(listed(["Tried before:", *said_no], 2000))]
    return []


def _notes(deployment: Deployment) -> list[Block]:
    """What of the recipe is not served as written, until there is an endpoint."""
    said = notes(deployment.recipe) if deployment.endpoint is None and deployment.stopped_by is None else []
    return [context(listed(["Not served as written:", *said], 2000))] if said else []


def _endpoint(deployment: Deployment) -> list[Block]:
    if deployment.endpoint is None or is_ending(deployment):
        return []  # else it stays, whatever becomes of the replicas
    return [*endpoint.on_card(deployment), *([section(said)] if (said := tested(deployment)) else [])]


def tested(deployment: Deployment) -> str:
    """The test completion as a quote: what the model was given, and what it made of it."""
    match deployment.test:
        case TestCompletionAnswered() as test:
            said = inert(clip(" ".join(test.text.split()), WORDS_MOST)) or "_(the model answered nothing)_"
            return f"*Test completion*, {seconds(test.seconds)}\n> *{inert(test.prompt)}* {said}"
        case TestCompletionFailed() as test:
            why = inert(clip(test.why.rstrip("."), WORDS_MOST))
            return f"\N{WARNING SIGN}\ufe0f *The test completion failed*: {why}. `/mixtral logs` may tell more."
        case None:
            return ""


def _replicas(deployment: Deployment, now: datetime) -> list[Block]:
    if deployment.ended or not replicas.worth_a_list(deployment):
        return []
    return [section(listed(["*Replicas*", *replicas.lines(deployment, now)]))]


def _what_goes(deployment: Deployment) -> str:
    if not deployment.wanted:
        return "Its endpoint goes away"
    replicas_ = "replica" if deployment.wanted == 1 else f"{deployment.wanted} replicas"
    return f"Its {replicas_} and its endpoint go away"


def _buttons(deployment: Deployment) -> list[Block]:
    if is_ending(deployment):
        return []
    id_, name = deployment.id, deployment.name
    machines = [a for a in deployment.attempts if a.machine and not a.gone_at]
    down = button("End", "card_down", id_, style="danger") | {
        "confirm": confirm(
            f"End {clip(name, 40)}?",
            f"{_what_goes(deployment)}, and its keys stop working.",
            yes="End it",
            no="Keep it",
        )
    }
    shown = [
        button("Endpoint and key", "card_endpoint", id_, style="primary") if deployment.endpoint else None,
        button("Keep trying", "card_keep_trying", id_, style="primary") if awaits_decision(deployment) else None,
        button("Logs", "card_logs", id_) if machines else None,
        button("Scale…", "card_scale", id_),
        down,
    ]
    return [actions([b for b in shown if b])]
