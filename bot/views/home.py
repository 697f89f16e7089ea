"""PURE: the app's Home tab: what is spent, the deployments, the last ends, and how to start."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from msgspec import Struct

from bot.language.command import SLASH
from bot.views import budget_standings, spending, status, words
from bot.views.amounts import count, moment, usd
from bot.views.blocks import Block, actions, button, context, divider, header, section
from bot.views.clock_words import clocks
from bot.views.command_button import again, form_button
from bot.views.escape import clip, escape, inert
from workers.decision.budget import BudgetStanding
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.ledger import Use
from workers.deployment.state import Deployment

MAX_ROWS = 30
MAX_ENDS = 5
MAX_CAUSE = 300

ABOUT = (
    "This bot rents the cheapest machine that fits a model, starts the model, and shows its endpoint and its cost in "
    "the channel. Nothing is running now."
)
HELP = (
    "To ask a model, mention the bot in a channel, or write to it under *Messages*. `/mixtral help` lists the "
    "commands. People who can read the channel of a launch can see and ask the deployment. Its co-owners scale and end "
    "it: the launcher, the admins, and people whom they named by `/mixtral share`."
)

POLICY_FAULT = (
    ":warning: The newest policy is wrong, so the last one stays in force: {} Correct the file of `MIXTRAL_POLICY`: it "
    "is read again when it changes."
)


class HomeContent(Struct, frozen=True, kw_only=True):
    """What one person may see."""

    user: str
    running: tuple[Deployment, ...]
    ended: tuple[Deployment, ...] = ()
    """Newest first."""
    uses: tuple[Use, ...] = ()
    """Of the machines of the running and of earlier deployments, in this month."""
    lost: int = 0
    """Number of deployments that have not ended and whose logs cannot be read."""
    links: Mapping[DeploymentId, str] = {}
    """Addresses of the cards."""
    budgets: tuple[BudgetStanding, ...] = ()
    """What is left of the budgets of the installation and of the viewer."""
    zone: tzinfo = UTC
    policy_fault: str = ""
    """Why the newest policy is not in force; for admins only."""


def rows_of(house: HomeContent) -> list[Deployment]:
    """The deployments that have a row: the viewer's first."""
    return sorted(house.running, key=lambda state: (state.place.user != house.user, state.name))[:MAX_ROWS]


def home(house: HomeContent, now: datetime) -> dict[str, Any]:
    """A Home view for one person."""
    sums = spending.spending(house.running, house.uses, now, house.zone)
    has_past = bool(house.running or house.ended or house.uses or house.lost)
    blocks = [
        header("Models on rented GPUs"),
        *([section(POLICY_FAULT.format(inert(clip(house.policy_fault, MAX_CAUSE))))] if house.policy_fault else []),
        *([] if house.running else [section(f"Hello {words.user(house.user)}. {ABOUT}")]),
        *(spending.blocks(sums, now, house.zone, lost=house.lost) if has_past else []),
        *budget_standings.blocks(house.budgets),
        actions([form_button(f"{SLASH} launch", "Launch a model…", style="primary")]),
        *_running(house, now),
        *_ended(house),
        divider(),
        context(HELP),
    ]
    return {"type": "home", "blocks": blocks}


def refused(sentence: str) -> dict[str, Any]:
    """A Home view that shows a sentence alone."""
    return {"type": "home", "blocks": [section(sentence)]}


def _running(house: HomeContent, now: datetime) -> list[Block]:
    rows = rows_of(house)
    blocks: list[Block] = []
    for title, shown in (
        ("Your deployments", [d for d in rows if d.place.user == house.user]),
        ("Other deployments", [d for d in rows if d.place.user != house.user]),
    ):
        if shown:
            blocks += [header(title), *(block for state in shown for block in _row(state, house, now))]
    if left := len(house.running) - len(rows):
        blocks.append(context(f"… and {count(left, 'more deployment')}: `/mixtral status` lists them."))
    return blocks


def _row(state: Deployment, house: HomeContent, now: datetime) -> list[Block]:
    link = house.links.get(state.id)
    card = f" · <{link}|Card>" if link else ""
    mine = state.place.user == house.user
    facts = [
        *([] if mine else [f"launched by {words.user(state.place.user)}"]),
        escape(words.short_model(state)),
        f"{len(state.ready)} of {count(state.wanted, 'replica')} ready",
        status.price(state),
        *([f"{usd(state.spent(now))} so far"] if state.spent(now) else []),
        *clocks(state),
    ]
    first = f"{words.dot(state, now)} *{escape(state.name)}* {words.verdict(state, now)}{card}"
    shown = section(f"{first}\n{' · '.join(facts)}")
    return [shown] if is_ending(state) else [shown, _buttons(state)]


def _buttons(state: Deployment) -> Block:
    return actions(
        [
            button("Ask", "card_ask", state.id),
            button("Scale", "card_scale", state.id),
            button("End", "card_down", state.id, style="danger"),
        ]
    )


def _ended(house: HomeContent) -> list[Block]:
    shown = house.ended[:MAX_ENDS]
    return [header("Ended recently"), *(_end(state) for state in shown)] if shown else []


def _end(state: Deployment) -> Block:
    assert state.ended is not None  # noqa: S101 - that it is in `ended` means this
    why = inert(clip(state.ended.failed, MAX_CAUSE)) if state.ended.failed else _by(state)
    said = (
        f"{words.dot(state)} *{escape(state.name)}* {words.verdict(state)} · {moment(state.ended.at)} · "
        f"{words.what_it_cost(state, state.ended.at)}\n{why}"
    )
    return section(said) | {"accessory": form_button(again(state), "Launch again…")}


def _by(state: Deployment) -> str:
    if state.stopped_by is None:
        return ""
    return f"Ended by {words.user(state.stopped_by)}." if state.stopped_by else f"Ended {words.by_clock(state)}."
