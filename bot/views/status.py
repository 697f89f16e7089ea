"""PURE: `/mixtral status`: every deployment on a line, or one of them in detail."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from bot.language.command import SLASH
from bot.slack.message import Message
from bot.views import card, endpoint, ladder, lost_control, missing_workers, offers, replicas, words
from bot.views.amounts import count, duration, per_hour_and_day, usd_per_hour
from bot.views.blocks import actions, context, header, listed, section
from bot.views.clock_words import clocks
from bot.views.command_button import form_button
from bot.views.escape import code, escape
from workers.decision.worker_absence import WorkersAway
from workers.deployment.attempt import MAY_COST
from workers.deployment.condition import DeploymentStatus, awaits_route, condition_of, is_ending, without_lease
from workers.deployment.events import Control
from workers.deployment.state import Deployment
from workers.placement.offer import Offer

NOTHING = "Nothing is running. `/mixtral launch` starts a model, `/mixtral recipes` lists what can be launched."

LINES_A_SECTION = 8

CANNOT = {
    Control.LIST: "its cloud cannot be listed",
    Control.EXTEND: "its lease cannot be extended",
    Control.END: "its machines cannot be ended",
}
MAX_SHOWN = 32


def overview(
    deployments: Sequence[Deployment],
    now: datetime,
    *,
    nothing: str = NOTHING,
    lost: Sequence[str] = (),
    away: str = "",
    missing: WorkersAway | None = None,
) -> Message:
    """Name, recipe, state, ready/wanted, USD/h, age and endpoint of each; `nothing`: the text for no deployments.

    `lost`: names whose logs are gone. `away`: warnings above the list. `missing`: which workers do
    not answer.
    """
    if away:
        listing = overview(deployments, now, nothing=nothing, lost=lost, missing=missing)
        return Message(listing.text, (section(away), *listing.blocks))
    if lost:
        said = _lost(lost)
        others = overview(deployments, now, nothing="", missing=missing).blocks if deployments else ()
        return Message(said, (section(said), *others))
    if not deployments:
        return Message(nothing, (section(nothing), actions([form_button(f"{SLASH} launch")])))
    shared = _shared_url(deployments)
    of_all = f" Endpoint of all: {code(shared)}." if shared else ""
    lines = [_line(d, now, missing, url=not shared) for d in deployments[:MAX_SHOWN]]
    chunks = [lines[at : at + LINES_A_SECTION] for at in range(0, len(lines), LINES_A_SECTION)]
    left = len(deployments) - len(lines)
    sums = f"{count(len(deployments), 'deployment')}, {_together(deployments)}."
    if left:
        sums = f"… and {left} more. {sums}"
    blocks = [
        *(section(listed(chunk)) for chunk in chunks),
        context(f"{sums}{of_all} `/mixtral status NAME` shows one in detail."),
    ]
    names = ", ".join(escape(d.name) for d in deployments[:MAX_SHOWN])
    return Message(f"{count(len(deployments), 'deployment')}: {names}.", tuple(blocks))


def _shared_url(deployments: Sequence[Deployment]) -> str:
    """The base URL, if several deployments have one and the same; otherwise empty."""
    urls = [url for d in deployments if (url := endpoint.base_url(d)) and not is_ending(d)]
    return urls[0] if len(urls) > 1 and len(set(urls)) == 1 else ""


def _lost(names: Sequence[str]) -> str:
    shown = ", ".join(f"*{escape(name)}*" for name in names[:MAX_SHOWN])
    logs = "The log" if len(names) == 1 else "The logs"
    return (
        f"\N{WARNING SIGN}\ufe0f {logs} of {shown} cannot be read from Redis. Machines that still run "
        "cost money and are not counted here. `mixtral-bot machines` lists them."
    )


def detail(deployment: Deployment, now: datetime, *, rated: str = "", missing: WorkersAway | None = None) -> Message:
    """One deployment with its replicas and its ladder. `rated`: what people think of its answers."""
    blocks = [
        header(words.title(deployment, now, observed=not missing_workers.is_unobserved(deployment, missing))),
        section(f"{words.now_happening(deployment, now)}\n{' · '.join(_facts(deployment, now, whole=True))}"),
        *([section(said)] if (said := words.newer(deployment)) else []),
    ]
    if rated:
        blocks.append(section(f"*Feedback on answers*  {rated}"))
    unworked = missing_workers.on_card(deployment, missing, now)
    if warnings := [*([unworked] if unworked else []), *lost_control.lines(deployment, now)]:
        blocks.append(section(listed([f"{card.WARNING} {line}" for line in warnings])))
    if found := replicas.lines(deployment, now, gone=10):
        blocks.append(section(listed(["*Replicas*", *found])))
    if _has_ladder(deployment):
        blocks.append(section(ladder.ladder(deployment, now)))
    if mends := ladder.mends(deployment.rungs, over=bool(deployment.ended)):
        blocks.append(section(mends))
    return Message(card.fallback(deployment, now), tuple(blocks))


def price(deployment: Deployment) -> str:
    """The current price, short enough for a line."""
    costing = _costing(deployment)
    if costing and all(o.cloud == "local" for o in costing) and not deployment.newer:
        return "free"
    if costing and all(o.usd_per_hour is None for o in costing):
        return "price unknown"
    least = "at least " if deployment.newer else ""
    uncertain = offers.UNCERTAIN if any(o.doubtful for o in costing) else ""
    amount = deployment.usd_per_hour
    return f"{least}{per_hour_and_day(amount) if amount else usd_per_hour(amount)}{uncertain}"


def _costing(deployment: Deployment) -> list[Offer]:
    return [a.offer for a in deployment.attempts if a.phase in MAY_COST and a.machine]


def _together(deployments: Sequence[Deployment]) -> str:
    total = sum((d.usd_per_hour for d in deployments), start=Decimal(0))
    unknown = any(o.usd_per_hour is None for d in deployments for o in _costing(d))
    newer = any(d.newer for d in deployments)
    least = "at least " if newer else ""
    return f"{least}{per_hour_and_day(total)} in all" if total or unknown or newer else "free"


def _has_ladder(deployment: Deployment) -> bool:
    """Whether the ladder is shown. A ladder that contains only the local machine is not."""
    only_here = all(rung.offer.cloud == "local" for rung in deployment.rungs)
    return ladder.tells_something(deployment) or not only_here


def _line(deployment: Deployment, now: datetime, missing: WorkersAway | None, *, url: bool) -> str:
    unobserved = missing_workers.is_unobserved(deployment, missing)
    dot = words.DOTS[DeploymentStatus.NOT_READY] if unobserved else words.dot(deployment, now)
    name = f"{dot} *{escape(deployment.name)}*"
    recipe, *rest = _facts(deployment, now, url=url)
    recipes = [] if deployment.recipe.name == deployment.name else [recipe]
    current = condition_of(deployment).status
    status = [] if current is DeploymentStatus.READY else [current.value]
    if awaits_route(deployment):
        status = ["waits for the gateway"]
    if without_lease(deployment, now):
        status = ["its lease ran out"]
    elif unobserved:
        status = ["has no worker"]
    elif lost := lost_control.losses(deployment):
        status.append(" and ".join(dict.fromkeys(CANNOT[one.first.what] for one in lost)))
    return " · ".join([name, *recipes, *status, *rest, *([words.NEWER] if deployment.newer else [])])


def _facts(deployment: Deployment, now: datetime, *, whole: bool = False, url: bool = True) -> list[str]:
    """`whole`: with the cost so far, and the savings of spot. `url`: with the endpoint."""
    age = duration(deployment.ran_for(now))
    facts = [
        escape(deployment.recipe.name),
        f"{len(deployment.ready)}/{deployment.wanted} ready",
        words.cost(deployment, now) if whole and any(a.machine for a in deployment.attempts) else price(deployment),
        f"ran {age}" if deployment.ended else f"launched {age} ago",
    ]
    facts += clocks(deployment)
    base = endpoint.base_url(deployment)
    return [*facts, code(base)] if url and base and not is_ending(deployment) else facts
