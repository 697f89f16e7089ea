"""PURE: the alerts in a card's thread."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from bot.slack.message import Message
from bot.views import card, lost_control, offers, words
from bot.views.amounts import after, count, duration, moment, per_hour_and_day, usd_per_hour
from bot.views.attempts import why
from bot.views.blocks import Block, actions, button, section
from bot.views.escape import escape
from bot.views.moving import no_rung
from recipes.replicas import bounds
from workers.decision.end_time import ends_at, ends_by_budget
from workers.decision.retry_policy import dry_until, paused_until
from workers.deployment.attempt import Attempt
from workers.deployment.condition import Abandoned, Looking, NoCapacity, condition_of, without_lease
from workers.deployment.events import EndAnnounced, EndScheduled, ScaleRequested
from workers.deployment.state import Deployment

READY = "mixtral_ready"
FAILED = "mixtral_failed"
DRY = "mixtral_dry_"
ENDED = "mixtral_ended"
SCALED = "mixtral_scaled_"
OUT, BACK = "mixtral_out_", "mixtral_back_"
LOST, REGAINED = "mixtral_lost_", "mixtral_regained_"
LAPSED = "mixtral_lapsed_"
COSTLY = "mixtral_costly"
ENDS, KEPT = "mixtral_ends_", "mixtral_kept_"
"""Prefixes of block ids. After a crash, a message is found by its prefix, like a card by `card.CARD`."""


KEEP = "card_keep"
"""Action of the button that keeps a deployment. Its value: the deployment's id, and the end that was announced."""

KEPT_FOR = timedelta(hours=4)
"""Time by which this button moves the announced end."""


def ready(deployment: Deployment) -> Message:
    """The alert that the deployment is ready, with the time that it took and the test completion."""
    first = min((a.ready_at for a in deployment.attempts if a.ready_at), default=deployment.updated_at)
    took = after(first - deployment.requested_at)
    sentence = f"{words.user(deployment.place.user)} *{escape(deployment.name)}* is ready {took}."
    tested = card.tested(deployment, card.MAX_WORDS)
    block = marked(section(sentence), READY, deployment)
    return Message(sentence, (block, *([section(tested)] if tested else [])))


def failed(deployment: Deployment) -> Message:
    """The alert that the deployment failed, with the cause; the card has the details."""
    cause = words.now_happening(deployment, deployment.updated_at)
    sentence = f"{words.user(deployment.place.user)} *{escape(deployment.name)}* {words.verdict(deployment)}. {cause}"
    return Message(sentence, (marked(section(sentence), FAILED, deployment),))


def dry_kind(deployment: Deployment) -> str:
    """The prefix of the alert about a dry ladder. It differs after each request of a person for replicas."""
    return f"{DRY}{int(deployment.tries_from.timestamp())}"


def dry(deployment: Deployment) -> Message:
    """The alert that no machine was found, while a person can still decide to keep trying."""
    until = dry_until(deployment)
    decide = f"Press *Keep trying* on the card before {moment(until)}, or this launch ends." if until else ""
    who, name = words.user(deployment.place.user), escape(deployment.name)
    sentence = f"{who} *{name}* {words.verdict(deployment)}. {no_rung(deployment)} {decide}".rstrip()
    return Message(sentence, (marked(section(sentence), dry_kind(deployment), deployment),))


def ended(deployment: Deployment, now: datetime) -> Message:
    """The alert that the deployment has ended, with how long it ran and its cost."""
    name, by = f"*{escape(deployment.name)}*", deployment.stopped_by
    ended = f"{words.user(by)} ended {name}" if by else f"{name} ended {words.by_clock(deployment)}"
    sentence = f"{ended}: it ran {duration(deployment.ran_for(now))}, {words.what_it_cost(deployment, now)}."
    return Message(sentence, (marked(section(sentence), ENDED, deployment),))


def costly(deployment: Deployment, taken: Attempt, cheapest: Decimal) -> Message:
    """The alert that a machine costs over twice the cheapest offer, with a button that ends the deployment."""
    price = taken.offer.usd_per_hour or Decimal(0)
    sentence = (
        f"{words.user(deployment.place.user)} *{escape(deployment.name)}* runs on {offers.machine(taken.offer)} at "
        f"{offers.place(taken.offer)} for {per_hour_and_day(price)}, which is over twice the cheapest offer "
        f"({usd_per_hour(cheapest)}). *Details* on its card shows the ladder."
    )
    buttons = actions([button("End", "card_down", deployment.id, style="danger")])
    return Message(sentence, (marked(section(sentence), COSTLY, deployment), buttons))


def ends_kind(announced: EndAnnounced) -> str:
    return f"{ENDS}{int(announced.until.timestamp())}"


def ends(deployment: Deployment, announced: EndAnnounced) -> Message:
    """The alert that the deployment will end, with buttons to keep it, scale it to zero until then, or end it now."""
    at = ends_at(deployment) or announced.until
    cost = f" It costs {per_hour_and_day(deployment.usd_per_hour)}." if deployment.usd_per_hour else ""
    cause = "because a budget is used up" if ends_by_budget(deployment) else "the time that was set for it"
    sentence = (
        f"{words.user(deployment.place.user)} *{escape(deployment.name)}* ends {moment(at)}, {cause}. Its endpoint and "
        f"its keys stop working then.{cost}"
    )
    keep = f"{deployment.id} {int(announced.until.timestamp())}"
    buttons = actions(
        [
            button(f"Keep {duration(KEPT_FOR)} longer", KEEP, keep, style="primary"),
            *([] if bounds(deployment.recipe)[0] else [button("Scale to 0", "card_scale_to_zero", deployment.id)]),
            button("End now", "card_down", deployment.id, style="danger"),
        ]
    )
    return Message(sentence, (marked(section(sentence), ends_kind(announced), deployment), buttons))


def kept(deployment: Deployment, by: EndScheduled) -> Message:
    """The alert that a person moved the end of the deployment."""
    sentence = f"{words.user(by.by)} kept *{escape(deployment.name)}* longer: it now ends {moment(by.until)}."
    return Message(sentence, (marked(section(sentence), kept_kind(by), deployment),))


def kept_kind(by: EndScheduled) -> str:
    return f"{KEPT}{by.event_id}"


def scaled(deployment: Deployment, by: ScaleRequested) -> Message:
    """The alert that a person changed the number of replicas."""
    then = ""
    if by.replicas == 0:
        wakes = deployment.recipe.service.replica_policy.wakes
        then = " The next request starts one again." if wakes else " Requests get a 503 until it is scaled up."
    sentence = f"{words.user(by.by)} scaled *{escape(deployment.name)}* to {count(by.replicas, 'replica')}.{then}"
    return Message(sentence, (marked(section(sentence), scaled_kind(by), deployment),))


def scaled_kind(by: ScaleRequested) -> str:
    return f"{SCALED}{by.event_id}"


def out_since(deployment: Deployment, now: datetime) -> datetime | None:
    """Start of the outage, if a published endpoint has no replica and none is starting; else None."""
    condition = condition_of(deployment)
    given_up = isinstance(condition, Abandoned | NoCapacity)
    paused = isinstance(condition, Looking) and not deployment.live and paused_until(deployment, now)
    return deployment.out_since if deployment.endpoint and (given_up or paused) else None


def out(deployment: Deployment, since: datetime, now: datetime) -> Message:
    """The alert that no replica answers, with the cause and the next step."""
    cause = words.now_happening(deployment, now)
    sentence = f"{words.user(deployment.place.user)} *{escape(deployment.name)}* {words.verdict(deployment)}. {cause}"
    return Message(sentence, (marked(section(sentence), out_kind(since), deployment),))


def back(deployment: Deployment, since: datetime) -> Message:
    """The alert that the deployment answers again."""
    again = max((a.since for a in deployment.ready), default=deployment.updated_at)
    sentence = f"{words.user(deployment.place.user)} *{escape(deployment.name)}* answers again, {after(again - since)}."
    return Message(sentence, (marked(section(sentence), back_kind(since), deployment),))


def out_kind(since: datetime) -> str:
    """The prefix of the alert about the outage that began at `since`."""
    return f"{OUT}{int(since.timestamp())}"


def back_kind(since: datetime) -> str:
    return f"{BACK}{int(since.timestamp())}"


def lost(deployment: Deployment, now: datetime, said: Iterable[str] = ()) -> dict[str, Message]:
    """The alerts about what the control loop cannot do, by kind. Each is due after MENTIONED_AFTER.

    `said`: the kinds posted before. When the first machine of an alert is gone, the others are not said again.
    """
    before = tuple(said)
    found = {
        _lost_kind(loss): lost_control.sentence(loss)
        for loss in lost_control.losses(deployment)
        if now - loss.first.since >= lost_control.MENTIONED_AFTER and not _is_said(loss, before)
    }
    if over := without_lease(deployment, now):
        found[f"{LOST}lease_{int(min(a.expires_at for a in over).timestamp())}"] = lost_control.lease_over(over)
    who = f"{words.user(deployment.place.user)} *{escape(deployment.name)}*:"
    return {kind: _alert(f"{who} {said}", kind, deployment) for kind, said in found.items()}


def _lost_kind(loss: lost_control.Loss) -> str:
    return f"{_lost_prefix(loss)}{int(loss.first.since.timestamp())}"


def _lost_prefix(loss: lost_control.Loss) -> str:
    offer = loss.attempts[0].offer
    return f"{LOST}{loss.first.what.value}_{offer.cloud}_{offer.zone or offer.region}_".replace("-", "_")


def _is_said(loss: lost_control.Loss, said: Sequence[str]) -> bool:
    """Whether an alert that was posted about the same place contained these machines, too."""
    prefix, since = _lost_prefix(loss), int(loss.first.since.timestamp())
    parts = (kind.rpartition("_") for kind in said)
    earlier = [int(stamp) for head, _, stamp in parts if f"{head}_" == prefix]
    within = int(lost_control.MENTIONED_AFTER.total_seconds())
    return any(stamp < since <= stamp + within for stamp in earlier)


def regained(deployment: Deployment, kind: str) -> Message:
    """The alert that the cause of an alert of the kind LOST no longer exists."""
    sentence = f"*{escape(deployment.name)}*: the control loop can list, extend and end all its machines again."
    return _alert(sentence, regained_kind(kind), deployment)


def regained_kind(kind: str) -> str:
    return f"{REGAINED}{kind.removeprefix(LOST)}"


def lapsed(deployment: Deployment, attempt: Attempt) -> Message:
    """The alert that a machine ended itself because its lease ran out."""
    at = f" {moment(attempt.gone_at)}" if attempt.gone_at else ""
    who = f"{words.user(deployment.place.user)} *{escape(deployment.name)}*"
    what = f"the machine of replica {attempt.replica} at {offers.place(attempt.offer)} has ended (noticed{at})"
    sentence = f"{who}: {what}: {why(attempt)}."
    return _alert(sentence, f"{LAPSED}{attempt.number}", deployment)


def _alert(sentence: str, kind: str, deployment: Deployment) -> Message:
    return Message(sentence, (marked(section(sentence), kind, deployment),))


def marked(block: Block, kind: str, deployment: Deployment) -> Block:
    """The block with the id by which its message is found."""
    return block | {"block_id": f"{kind}_{deployment.id}"}
