"""PURE: what is said beside the card: in its thread, and to the launcher where the card cannot be."""

from datetime import datetime

from bot.slack.message import Message
from bot.views import card, words
from bot.views.amounts import after, count, duration, moment
from bot.views.blocks import Block, section
from bot.views.escape import escape
from bot.views.moving import no_rung
from workers.decision.retry_policy import dry_until, paused_until
from workers.deployment.condition import Abandoned, Looking, NoCapacity, condition_of
from workers.deployment.events import ScaleRequested
from workers.deployment.state import Deployment

READY = "mixtral_ready"
FAILED = "mixtral_failed"
DRY = "mixtral_dry_"
ENDED = "mixtral_ended"
SCALED = "mixtral_scaled_"
OUT, BACK = "mixtral_out_", "mixtral_back_"
"""Mark a message for those who look for it after a crash, as `card.CARD` does."""

NO_ROOM = {
    "not_in_channel": "I am not a member of it. Invite me there with `/invite @mixtral`",
    "channel_not_found": "I cannot see it. Invite me there with `/invite @mixtral`",
    "is_archived": "it is archived. Bring it back, or launch from another channel",
    "restricted_action": "its settings keep me from posting. Have them changed, or launch from another channel",
}


def ready(deployment: Deployment) -> Message:
    """The launcher is told that the wait is over, with the first words of the model."""
    first = min((a.ready_at for a in deployment.attempts if a.ready_at), default=deployment.updated_at)
    took = after(first - deployment.requested_at)
    sentence = f"{words.user(deployment.place.user)} *{escape(deployment.name)}* is ready {took}."
    tested = card.tested(deployment)
    told = _marked(section(sentence), READY, deployment)
    return Message(sentence, (told, *([section(tested)] if tested else [])))


def failed(deployment: Deployment) -> Message:
    """The launcher is told that it came to nothing, and why; the card has the details."""
    cause = words.now_happening(deployment, deployment.updated_at)
    sentence = f"{words.user(deployment.place.user)} *{escape(deployment.name)}* {words.verdict(deployment)}. {cause}"
    return Message(sentence, (_marked(section(sentence), FAILED, deployment),))


def dry_kind(deployment: Deployment) -> str:
    """Once for each time that somebody asked for it: a scaling asks anew."""
    return f"{DRY}{int(deployment.tries_from.timestamp())}"


def dry(deployment: Deployment) -> Message:
    """The launcher is told that nothing was found, while there is something to decide."""
    until = dry_until(deployment)
    decide = f"Press *Keep trying* on the card before {moment(until)}, or this launch ends." if until else ""
    who, name = words.user(deployment.place.user), escape(deployment.name)
    sentence = f"{who} *{name}* {words.verdict(deployment)}. {no_rung(deployment)} {decide}".rstrip()
    return Message(sentence, (_marked(section(sentence), dry_kind(deployment), deployment),))


def ended(deployment: Deployment, now: datetime) -> Message:
    """Whoever follows the thread is told that it is over, and what it came to."""
    by = f"{words.user(deployment.stopped_by)} ended" if deployment.stopped_by else "Ended:"
    ran = f"it ran {duration(deployment.ran_for(now))}, {words.what_it_cost(deployment, now)}"
    sentence = f"{by} *{escape(deployment.name)}*: {ran}."
    return Message(sentence, (_marked(section(sentence), ENDED, deployment),))


def scaled(deployment: Deployment, by: ScaleRequested) -> Message:
    """Whoever follows the thread is told who changed the number of replicas."""
    then = ""
    if by.replicas == 0:
        wakes = deployment.recipe.service.replica_policy.wakes
        then = " The next request starts one again." if wakes else " Requests get a 503 until somebody scales it up."
    sentence = f"{words.user(by.by)} scaled *{escape(deployment.name)}* to {count(by.replicas, 'replica')}.{then}"
    return Message(sentence, (_marked(section(sentence), scaled_kind(by), deployment),))


def scaled_kind(by: ScaleRequested) -> str:
    return f"{SCALED}{by.event_id}"


def out_since(deployment: Deployment, now: datetime) -> datetime | None:
    """Since when nobody answers at an endpoint that people use, and none is on its way; None: it is not so."""
    stands = condition_of(deployment)
    given_up = isinstance(stands, Abandoned | NoCapacity)
    later = isinstance(stands, Looking) and not deployment.live and paused_until(deployment, now)
    return deployment.out_since if deployment.endpoint and (given_up or later) else None


def out(deployment: Deployment, since: datetime, now: datetime) -> Message:
    """The launcher is told that nobody answers any more, and what is done about it."""
    cause = words.now_happening(deployment, now)
    sentence = f"{words.user(deployment.place.user)} *{escape(deployment.name)}* {words.verdict(deployment)}. {cause}"
    return Message(sentence, (_marked(section(sentence), out_kind(since), deployment),))


def back(deployment: Deployment, since: datetime) -> Message:
    """It is over."""
    again = max((a.since for a in deployment.ready), default=deployment.updated_at)
    sentence = f"{words.user(deployment.place.user)} *{escape(deployment.name)}* answers again, {after(again - since)}."
    return Message(sentence, (_marked(section(sentence), back_kind(since), deployment),))


def out_kind(since: datetime) -> str:
    """Marks what is said of the outage that began then."""
    return f"{OUT}{int(since.timestamp())}"


def back_kind(since: datetime) -> str:
    return f"{BACK}{int(since.timestamp())}"


def no_room(deployment: Deployment, error: str) -> Message:
    """The card cannot be posted where the deployment was asked for."""
    name = escape(deployment.name)
    why = NO_ROOM.get(error, f"Slack refuses it ({escape(error)}). Launch from another channel")
    return Message(
        f"I cannot post the card of *{name}* in <#{deployment.place.channel}>: {why}. "
        f"*{name}* goes on all the same: `/mixtral status {name}` shows how it stands, `/mixtral down {name}` ends it."
    )


def _marked(block: Block, kind: str, deployment: Deployment) -> Block:
    return block | {"block_id": f"{kind}_{deployment.id}"}
