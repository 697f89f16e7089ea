"""PURE: the card: one message that shows a deployment, rebuilt completely from its state."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.slack.message import Message
from bot.views import attempts, endpoint, ladder, ladder_tasks, lost_control, missing_workers, offers, words
from bot.views.amounts import count, duration, moment, seconds, usd_per_hour
from bot.views.blocks import Block, actions, button, context, fenced, header, section
from bot.views.clock_words import clock_pairs
from bot.views.command_button import again, form_button
from bot.views.escape import clip, code, escape, inert
from bot.views.readers import read_by
from bot.views.rungs import missing_quota
from recipes.replicas import follows_load
from workers.decision.worker_absence import WorkersAway
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

CARD = "mixtral_card"
"""Identifies the message: its metadata's event_type, and the prefix of its first block_id if metadata is not kept."""

MAX_WORDS = 600
MAX_ANSWER = 240
LOG_LINES = 2
"""Number of lines of a failed machine's log on the card. *Details* shows more."""
MAX_LINE = 160
MAX_CONTACT = 4
WARNING = "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}"

CONTACT_EVERY = timedelta(seconds=15)
"""Interval at which the card and its thread are checked while the control loop cannot do something."""

LAUNCHING = frozenset(
    {
        DeploymentStatus.PLANNING,
        DeploymentStatus.PROVISIONING,
        DeploymentStatus.STARTING,
        DeploymentStatus.FAILED,
        DeploymentStatus.NO_CAPACITY,
    }
)
"""Statuses in which a machine is looked for or starts, or none was found."""

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


def card(deployment: Deployment, now: datetime, usual: str = "", away: WorkersAway | None = None) -> Message:
    """The card in about fifteen lines: name and status, what is happening, the facts, the endpoint, the buttons.

    Everything else is in the modal that *Details* opens. `usual`: how long launches of this recipe took. `away`: which
    workers do not answer.
    """
    status = condition_of(deployment).status
    happening = words.now_happening(deployment, now)
    observed = not missing_workers.is_unobserved(deployment, away)
    awaited = usual if status in LAUNCHING and not deployment.established else ""
    above = [
        header(words.title(deployment, now, observed=observed), f"{CARD}_{deployment.id}"),
        section("\n".join(filter(None, (happening, awaited)))),
        *_contact(deployment, now, away),
        *([section(said)] if (said := words.newer(deployment)) else []),
        *_failure(deployment),
        _facts(deployment, now),
        *_readers(deployment),
        *_doubt(deployment),
    ]
    below = [
        *_mends(deployment, now),
        *_endpoint(deployment, now),
        *_lacking(deployment, now),
        *_buttons(deployment),
    ]
    plan = _plan(deployment, now)
    without = [section(ladder.brief(deployment, now))] if plan else []
    return Message(
        fallback(deployment, now),
        (*above, *plan, *below),
        instead=(*above, *without, *below) if plan else (),
    )


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
    """Two or three lines: cost; replicas and their places; the launch."""
    over = condition_of(deployment).status is DeploymentStatus.ENDED
    cost = [("Cost", words.cost(deployment, now))] if deployment.attempts and not over else []
    running = []
    if not is_ending(deployment):
        if deployment.ceiling:
            cost.append(("Ceiling", usd_per_hour(deployment.ceiling)))
        ready = f"{len(deployment.ready)} of {deployment.wanted} ready" if deployment.wanted else "scaled to zero"
        running.append(("Replicas", f"{ready}{_moved_by(deployment)}"))
    if where := _where(deployment):
        running.append(("Runs on" if not deployment.ended else "Ran on", where))
    elif not deployment.established:
        running.append(("Recipe", code(deployment.recipe.name)))
    launched = [("Launched", f"by {words.user(deployment.place.user)}, {moment(deployment.requested_at)}")]
    launched += clock_pairs(deployment)
    if deployment.ended and over:
        launched.append(("Down since", moment(deployment.ended.at)))
    approved = []
    if (by := deployment.approved) is not None:
        approved.append(("Approved", f"by {words.user(by.by)}: {inert(by.reason)}"))
    return section("\n".join(_pairs(pairs) for pairs in (cost, running, launched, approved) if pairs))


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return " \N{MIDDLE DOT} ".join(f"*{name}*  {value}" for name, value in pairs)


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
        return f"{count(len(machines), 'machine')}: see *Details*"
    return "; ".join(list(shown)[:2])


def _machine(attempt: Attempt) -> str:
    offer = attempt.offer
    return offers.place(offer) if offer.cloud == "local" else f"{offers.place(offer)}, {offers.machine(offer)}"


def _contact(deployment: Deployment, now: datetime, away: WorkersAway | None) -> list[Block]:
    """What the control loop cannot do. `away`: which workers do not answer."""
    said = [missing_workers.on_card(deployment, away, now), *lost_control.lines(deployment, now)]
    return [section(f"{WARNING} {line}") for line in said[:MAX_CONTACT] if line]


def _failure(deployment: Deployment) -> list[Block]:
    """The end of the log of the last machine that failed, if no replica is ready."""
    last = failed_last(deployment)
    if last is None or deployment.ready or condition_of(deployment).status in SETTLED:
        return []
    said = (
        f"The last lines of the log of replica {last.replica} {attempts.preposition(last)} {offers.place(last.offer)}"
    )
    lines = [clip(line, MAX_LINE) for line in last.log_tail.strip().splitlines()[-LOG_LINES:]]
    return [section(f"{said}:\n{fenced(chr(10).join(lines))}")]


def failed_last(deployment: Deployment) -> Attempt | None:
    """The last machine that failed and left a log; None if a later one was ready."""
    failed = [a for a in deployment.attempts if a.phase in (Phase.FAILED, Phase.PREEMPTED)]
    if not failed or not failed[-1].log_tail:
        return None
    later = any(a.ready_at and a.number > failed[-1].number for a in deployment.attempts)
    return None if later else failed[-1]


def _plan(deployment: Deployment, now: datetime) -> list[Block]:
    """The ladder, while a machine is looked for or starts, and where none was found."""
    status = condition_of(deployment).status
    launching = status in LAUNCHING and not deployment.ready
    if not launching or not deployment.rungs or not ladder.tells_something(deployment):
        return []
    over = deployment.ended is not None
    looking = status is DeploymentStatus.PROVISIONING
    coming = 0 if over or status is DeploymentStatus.STARTING or _failure(deployment) else 2
    found = ladder_tasks.plan(deployment, now, errors=3 if over or looking else 2, coming=coming)
    return [found] if found else []


def _mends(deployment: Deployment, now: datetime) -> list[Block]:
    """What a person can do about the refusals, where no machine was found."""
    status = condition_of(deployment).status
    if status not in (DeploymentStatus.FAILED, DeploymentStatus.NO_CAPACITY):
        return []
    said = ladder.remedies(deployment, now)
    return [section(said)] if said else []


def _doubt(deployment: Deployment) -> list[Block]:
    """A doubt about the weights, until there is an endpoint."""
    if deployment.weights is None or deployment.endpoint or deployment.stopped_by is not None:
        return []
    said = deployment.weights.says
    return [context(f"{WARNING} {inert(clip(said, MAX_WORDS))}")] if said else []


def _lacking(deployment: Deployment, now: datetime) -> list[Block]:
    """What more quota would save."""
    if is_ending(deployment):
        return []
    missing = missing_quota(deployment, now)
    return [context(ladder.lacking(missing))] if missing else []


def _endpoint(deployment: Deployment, now: datetime) -> list[Block]:
    """The base URL; while replicas answer and nothing needs attention, with a command and the test completion."""
    if deployment.endpoint is None or is_ending(deployment):
        return []
    answers = bool(deployment.ready) and not deployment.newer
    test = tested(deployment, MAX_ANSWER) if answers else ""
    whole = answers and not lost_control.lines(deployment, now)
    return [*endpoint.on_card(deployment, whole=whole), *([section(test)] if test else [])]


def tested(deployment: Deployment, limit: int) -> str:
    """The test completion as a quote of prompt and answer, or why it failed; empty if there was none."""
    match deployment.test:
        case TestCompletionAnswered() as test:
            answer = inert(clip(" ".join(test.text.split()), limit)) or "_(the answer is empty)_"
            return f"*Test completion*, {seconds(test.seconds)}\n> *{inert(test.prompt)}* {answer}"
        case TestCompletionFailed() as test:
            why = inert(clip(test.why.rstrip("."), limit))
            return f"\N{WARNING SIGN}\ufe0f *The test completion failed*: {why}. `/mixtral logs` may show the cause."
        case None:
            return ""


def _buttons(deployment: Deployment) -> list[Block]:
    id_ = deployment.id
    details = button("Details", "card_details", id_)
    if deployment.ended:
        return [actions([form_button(again(deployment), "Launch again…"), details])]
    if is_ending(deployment):
        return [actions([details])]
    decides = awaits_decision(deployment)
    shown = [
        button("Keep trying", "card_keep_trying", id_, style="primary") if decides else None,
        button("Ask", "card_ask", id_, style=None if decides else "primary") if deployment.endpoint else None,
        button("Endpoint", "card_endpoint", id_) if deployment.endpoint else None,
        button("Scale", "card_scale", id_),
        button("End", "card_down", id_, style="danger"),  # its modal asks: a dialog here would ask everybody
        details,
    ]
    return [actions([b for b in shown if b])]
