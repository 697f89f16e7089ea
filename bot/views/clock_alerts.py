"""PURE: the alerts about a deployment that has no requests, or whose hours are over."""

from bot.slack.message import Message
from bot.views import words
from bot.views.alerts import ENDS, KEEP, KEPT, KEPT_FOR, marked
from bot.views.amounts import duration, moment, per_hour_and_day
from bot.views.blocks import Block, actions, button, section
from bot.views.escape import escape
from recipes.replicas import bounds
from workers.decision.opening import reopens_at
from workers.deployment.events import ClockHeld, EndAnnounced, IdleNoticed
from workers.deployment.state import Deployment

UNUSED = "mixtral_unused_"


def announced_kind(announced: EndAnnounced) -> str:
    """One alert for each announcement: a later one may be for the same time."""
    return f"{ENDS}{announced.clock.value}_{int(announced.at.timestamp())}"


def idle_ends(deployment: Deployment, announced: EndAnnounced) -> Message:
    """The alert that the deployment will end because nobody uses it, unless a request arrives."""
    since = f" since {moment(announced.idle_since)}" if announced.idle_since else ""
    sentence = (
        f"{_who(deployment)} has had no request{since}, so it ends {moment(announced.until)}. A request before then "
        f"keeps it. Its endpoint and its keys stop working at its end.{_costs(deployment)}"
    )
    return _message(sentence, announced_kind(announced), deployment, _keep(deployment, announced))


def pauses(deployment: Deployment, announced: EndAnnounced) -> Message:
    """The alert that the hours of the deployment end, with buttons to keep it, scale it to zero now, or end it."""
    opens = reopens_at(deployment, announced.until)
    then = f" and opens {moment(opens)}" if opens else ""
    sentence = (
        f"{_who(deployment)} pauses {moment(announced.until)}{then}: its hours are {escape(deployment.hours)}. Its "
        f"replicas end after their last requests; its endpoint stays, and refuses requests until it opens."
        f"{_costs(deployment)}"
    )
    return _message(sentence, announced_kind(announced), deployment, _keep(deployment, announced))


def hours_held(deployment: Deployment, held: ClockHeld) -> Message:
    """The alert that a person kept the deployment from its pause."""
    sentence = f"{words.user(held.by)} kept *{escape(deployment.name)}*: it does not pause before {moment(held.until)}."
    return _message(sentence, held_kind(held), deployment)


def held_kind(held: ClockHeld) -> str:
    return f"{KEPT}{held.event_id}"


def idle_held(deployment: Deployment, held: ClockHeld) -> Message:
    """The alert that the announced end for lack of requests no longer holds."""
    name, until = f"*{escape(deployment.name)}*", moment(held.until)
    if held.by:
        sentence = f"{words.user(held.by)} kept {name}: it does not end for lack of requests before {until}."
    else:
        after = f"after {duration(deployment.stop_after_idle)} " if deployment.stop_after_idle else ""
        because = f"{name} does not end now, because {escape(held.why)}."
        sentence = f"{because} It ends {after}without a request: {until} at the earliest."
    return _message(sentence, held_kind(held), deployment)


def unused_kind(noticed: IdleNoticed) -> str:
    return f"{UNUSED}{noticed.event_id}"


def unused(deployment: Deployment, noticed: IdleNoticed) -> Message:
    """The reminder that a deployment without any clock costs money and has no requests."""
    since = moment(noticed.since)
    ways = "End it" if bounds(deployment.recipe)[0] else "Scale it to 0 or end it"
    sentence = (
        f"{_who(deployment)} has had no request since {since}, and nothing ends it.{_costs(deployment)} "
        f"{ways} if it is not needed. This reminder is posted once a day while no request arrives. A launch with "
        "`--stop-after-idle 2h` ends after 2 h without a request."
    )
    return _message(sentence, unused_kind(noticed), deployment, _ways_out(deployment))


def _who(deployment: Deployment) -> str:
    return f"{words.user(deployment.place.user)} *{escape(deployment.name)}*"


def _costs(deployment: Deployment) -> str:
    return f" It costs {per_hour_and_day(deployment.usd_per_hour)}." if deployment.usd_per_hour else ""


def _keep(deployment: Deployment, announced: EndAnnounced) -> list[Block]:
    value = f"{deployment.id} {int(announced.until.timestamp())} {announced.clock.value}"
    keep = button(f"Keep {duration(KEPT_FOR)} longer", KEEP, value, style="primary")
    return [keep, *_ways_out(deployment)]


def _ways_out(deployment: Deployment) -> list[Block]:
    to_zero = button("Scale to 0", "card_scale_to_zero", deployment.id)
    end = button("End now", "card_down", deployment.id, style="danger")
    return [end] if bounds(deployment.recipe)[0] else [to_zero, end]


def _message(sentence: str, kind: str, deployment: Deployment, buttons: list[Block] | None = None) -> Message:
    first = marked(section(sentence), kind, deployment)
    return Message(sentence, (first, *([actions(buttons)] if buttons else [])))
