"""PURE: scaling by a person: the modal, and the replies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.slack.message import Message
from bot.views import offers
from bot.views.amounts import count, duration, moment, per_hour_and_day
from bot.views.blocks import Block, context, plain, section
from bot.views.escape import escape
from bot.views.moving import standing_of
from bot.views.status import price
from recipes.replicas import bounds, follows_load
from recipes.schema import Recipe
from workers.decision.end_time import ends_at
from workers.decision.mix import going, mix_of
from workers.decision.scaling_cost import hourly_change, next_price
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.state import Deployment

CALLBACK = "scale_deployment"
ASKING = "ask_to_scale"
BLOCK = "replicas"
ACTION = "replicas"
"""The number as a string: `view["state"]["values"][BLOCK][ACTION]["value"]`."""

MAX_NAMED = 4


def unchanged(deployment: Deployment) -> Message:
    """The reply to a number that is already set."""
    name = escape(deployment.name)
    if deployment.wanted == 0:
        return Message(f"*{name}* is already scaled to zero: nothing changes. {_without(deployment)}")
    return Message(f"*{name}* is already scaled to {count(deployment.wanted, 'replica')}: nothing changes.")


def changed(before: Deployment, after: Deployment, now: datetime) -> Message:
    """The reply to a new number: the change, its cost, the replicas that end, and what changes the number later."""
    name = escape(after.name)
    if before.wanted == after.wanted:
        change = f"*{name}* tries again to run {count(after.wanted, 'replica')}; earlier failures no longer count."
    else:
        change = f"*{name}* is scaled from {count(before.wanted, 'replica')} to {after.wanted}."
    parts = [
        change,
        cost(before, after, now),
        _ends(after),
        moved_on(after.recipe) if after.wanted else _without(after),
        f"It still ends {moment(end)}." if (end := ends_at(after)) else "",
    ]
    return Message(" ".join(part for part in (*parts, "Follow it on its card.") if part))


def cost(before: Deployment, after: Deployment, now: datetime) -> str:
    """What the change costs, or saves, by the prices of the ladder; empty if nothing."""
    change = hourly_change(before, after, now)
    if change is None:
        return "What this costs is not known: " + (
            "no offer of the ladder is open now." if after.wanted > before.wanted else "a price is missing."
        )
    if change > 0:
        return f"This costs about {per_hour_and_day(change)} more."
    return f"This saves {per_hour_and_day(-change)}." if change < 0 else ""


def moved_on(recipe: Recipe) -> str:
    """What changes the number later; empty if nothing does."""
    policy = recipe.service.replica_policy
    if follows_load(policy):
        return f"From then on, the load decides: {policy.min_replicas} to {policy.max_replicas} replicas."
    if policy.wakes:
        quiet = duration(policy.downscale_delay)
        return f"It is scaled to zero after {quiet} without a request, and the next request starts a replica."
    return ""


def _without(deployment: Deployment) -> str:
    """What happens to requests while there is no replica."""
    if deployment.recipe.service.replica_policy.wakes:
        return (
            "The endpoint stays. The next request starts a replica and waits for it, or gets a 503 with `Retry-After`."
        )
    return (
        "The endpoint stays. Requests get a 503 with `Retry-After` until it is scaled up. "
        "A request starts a replica only if the recipe has `min_replicas: 0`."
    )


def _ends(after: Deployment) -> str:
    """The replicas that end: immediately if they were never ready, otherwise after their last requests."""
    leaving = _going(after, after.wanted)
    answering = [a for a in leaving if a.phase in (Phase.READY, Phase.NOT_READY) and after.endpoint is not None]
    others = [a for a in leaving if a not in answering]
    sentences = []
    if others:
        ends, it_was = ("ends", "it was") if len(others) == 1 else ("end", "they were")
        sentences.append(f"{_named(others)} {ends} immediately: {it_was} not ready yet.")
    if len(answering) == 1:
        sentences.append(f"{_named(answering)} takes no new request, finishes those that it has, and ends.")
    elif answering:
        prices = {a.offer.usd_per_hour for a in answering}
        order = ", the most expensive first," if len(prices) > 1 else ""
        sentences.append(f"{_named(answering)}{order} take no new request, finish those that they have, and end.")
    return " ".join(sentences)


def _going(deployment: Deployment, replicas: int) -> tuple[Attempt, ...]:
    return going(mix_of(deployment.recipe, spot=deployment.limits.spot), replicas, deployment.attempts)


def _named(attempts: Sequence[Attempt]) -> str:
    names = [_one(a, placed=len(attempts) <= MAX_NAMED) for a in attempts]
    several = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"Replicas {several}" if len(names) > 1 else f"Replica {names[0]}"


def _one(attempt: Attempt, *, placed: bool) -> str:
    offer = attempt.offer
    if offer.cloud == "local" or not placed:
        return str(attempt.replica)
    return f"{attempt.replica} at {offers.place(offer)} ({offers.price(offer)})"


def modal(deployment: Deployment, now: datetime, *, asks: str = "") -> dict[str, Any]:
    """A modal whose private_metadata is the deployment's id.

    `asks`: the private_metadata of a modal that asks the launcher instead.
    """
    stands = f"*{escape(deployment.name)}*: {standing_of(deployment)}; {price(deployment)}."
    minimum, maximum = bounds(deployment.recipe)
    notes = [text for text in (_each(deployment, now), _first_to_end(deployment), moved_on(deployment.recipe)) if text]
    return {
        "type": "modal",
        "callback_id": ASKING if asks else CALLBACK,
        "private_metadata": asks or deployment.id,
        "title": plain(f"Scale {deployment.name}", 24),
        "submit": plain("Ask the launcher" if asks else "Scale", 24),
        "close": plain("Cancel", 24),
        "blocks": [
            section(stands),
            _number(min(max(minimum, deployment.wanted), maximum), minimum, maximum),
            *([context(*notes)] if notes else []),
        ],
    }


def _each(deployment: Deployment, now: datetime) -> str:
    price_ = next_price(deployment, now)
    return f"Each further replica costs about {per_hour_and_day(price_)}." if price_ else ""


def _first_to_end(deployment: Deployment) -> str:
    leaving = _going(deployment, 1)
    if not leaving:
        return ""
    order = ", ".join(str(a.replica) for a in leaving[:MAX_NAMED]) + (" …" if len(leaving) > MAX_NAMED else "")
    which = f"replica {order}" if len(leaving) == 1 else f"replicas in this order: {order}"
    return f"Scaling down ends {which} (the least ready, then the most expensive). Each finishes its requests first."


def _number(initial: int, minimum: int, maximum: int) -> Block:
    nothing = " With 0 the endpoint stays." if minimum == 0 else ""
    return {
        "type": "input",
        "block_id": BLOCK,
        "label": plain("Replicas", 100),
        "hint": plain(f"From {minimum} to {maximum}. The replicas share the load behind one endpoint.{nothing}", 150),
        "element": {
            "type": "number_input",
            "action_id": ACTION,
            "is_decimal_allowed": False,
            "initial_value": str(initial),
            "min_value": str(minimum),
            "max_value": str(maximum),
        },
    }
