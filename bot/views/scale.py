"""PURE: another number of replicas: the modal that asks for it, and what is said of it."""

from collections.abc import Sequence
from typing import Any

from bot.slack.message import Message
from bot.views import offers
from bot.views.amounts import count, duration
from bot.views.blocks import Block, context, plain, section
from bot.views.escape import escape
from bot.views.status import price
from recipes.replicas import bounds, follows_load
from recipes.schema import Recipe
from workers.decision.mix import going, mix_of
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.state import Deployment

CALLBACK = "scale_deployment"
BLOCK = "replicas"
ACTION = "replicas"
"""The number as a string: `view["state"]["values"][BLOCK][ACTION]["value"]`."""

NAMED_MOST = 4


def unchanged(deployment: Deployment) -> Message:
    """It is asked for what it is to have already."""
    name = escape(deployment.name)
    if deployment.wanted == 0:
        return Message(f"*{name}* is to have no replica already: nothing changes. {_without(deployment)}")
    return Message(f"*{name}* is to have {count(deployment.wanted, 'replica')} already: nothing changes.")


def changed(before: Deployment, after: Deployment) -> Message:
    """From what to what, who has to go, and what happens to the number then."""
    name = escape(after.name)
    if before.wanted == after.wanted:
        said = f"*{name}* tries again to have {count(after.wanted, 'replica')}; what failed before is forgotten."
    else:
        said = f"*{name}* goes from {count(before.wanted, 'replica')} to {after.wanted}."
    parts = [said, _who_goes(after), moved_on(after.recipe) if after.wanted else _without(after)]
    return Message(" ".join(part for part in (*parts, "Follow it on its card.") if part))


def moved_on(recipe: Recipe) -> str:
    """What changes the number after a person did; empty where nothing does."""
    policy = recipe.service.replica_policy
    if follows_load(policy):
        return f"From there the load moves it, between {policy.min_replicas} and {policy.max_replicas}."
    if policy.wakes:
        quiet = duration(policy.downscale_delay)
        return f"From there it goes to zero after {quiet} without a request, and the next request brings it back."
    return ""


def _without(deployment: Deployment) -> str:
    """What becomes of requests where there is no replica."""
    if deployment.recipe.service.replica_policy.wakes:
        return (
            "The endpoint stays. The next request wakes it, and waits for its replica for a while, "
            "or gets a 503 with `Retry-After`."
        )
    return (
        "The endpoint stays, but its requests get a 503 with `Retry-After` until somebody scales it up again: "
        "only recipes with `min_replicas: 0` wake by a request."
    )


def _who_goes(after: Deployment) -> str:
    """Those that end: the ones that never answered at once, the others after their last requests."""
    leaving = _going(after, after.wanted)
    answering = [a for a in leaving if a.phase in (Phase.READY, Phase.NOT_READY) and after.endpoint is not None]
    others = [a for a in leaving if a not in answering]
    said = []
    if others:
        ends, it = ("ends", "it") if len(others) == 1 else ("end", "they")
        said.append(f"{_named(others)} {ends} at once, for {it} did not answer yet.")
    if len(answering) == 1:
        said.append(f"{_named(answering)} takes no new request, finishes those that it has, and ends.")
    elif answering:
        prices = {a.offer.usd_per_hour for a in answering}
        order = ", the dearest first," if len(prices) > 1 else ""
        said.append(f"{_named(answering)}{order} take no new request, finish those that they have, and end.")
    return " ".join(said)


def _going(deployment: Deployment, replicas: int) -> tuple[Attempt, ...]:
    return going(mix_of(deployment.recipe, spot=deployment.limits.spot), replicas, deployment.attempts)


def _named(attempts: Sequence[Attempt]) -> str:
    told = [_one(a, placed=len(attempts) <= NAMED_MOST) for a in attempts]
    several = f"{', '.join(told[:-1])} and {told[-1]}"
    return f"Replicas {several}" if len(told) > 1 else f"Replica {told[0]}"


def _one(attempt: Attempt, *, placed: bool) -> str:
    offer = attempt.offer
    if offer.cloud == "local" or not placed:
        return str(attempt.replica)
    return f"{attempt.replica} at {offers.place(offer)} ({offers.price(offer)})"


def modal(deployment: Deployment) -> dict[str, Any]:
    """A modal whose private_metadata is the deployment's id."""
    ready = len(deployment.ready)
    standing = f"{ready} of {count(deployment.wanted, 'replica')} {'is' if ready == 1 else 'are'} ready"
    now = f"*{escape(deployment.name)}*: {standing}; {price(deployment)}."
    least, most = bounds(deployment.recipe)
    told = [text for text in (_first_to_go(deployment), moved_on(deployment.recipe)) if text]
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": deployment.id,
        "title": plain(f"Scale {deployment.name}", 24),
        "submit": plain("Scale", 24),
        "close": plain("Cancel", 24),
        "blocks": [
            section(now),
            _number(min(max(least, deployment.wanted), most), least, most),
            *([context(*told)] if told else []),
        ],
    }


def _first_to_go(deployment: Deployment) -> str:
    leaving = _going(deployment, 1)
    if not leaving:
        return ""
    order = ", ".join(str(a.replica) for a in leaving[:NAMED_MOST]) + (" …" if len(leaving) > NAMED_MOST else "")
    which = f"replica {order} goes" if len(leaving) == 1 else f"replicas go in this order: {order}"
    return f"Scaled down, {which}: what answers least, then what is dearest. Each finishes its requests first."


def _number(initial: int, least: int, most: int) -> Block:
    nothing = " With 0 the endpoint stays." if least == 0 else ""
    return {
        "type": "input",
        "block_id": BLOCK,
        "label": plain("Replicas", 100),
        "hint": plain(f"From {least} to {most}. They share the load behind one endpoint.{nothing}", 150),
        "element": {
            "type": "number_input",
            "action_id": ACTION,
            "is_decimal_allowed": False,
            "initial_value": str(initial),
            "min_value": str(least),
            "max_value": str(most),
        },
    }
