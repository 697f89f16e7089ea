"""PURE: the ladder of a launch as a `plan` block: a task for each group of offers, with its reason."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.views import offers
from bot.views.amounts import count
from bot.views.blocks import Block
from bot.views.escape import clip, literal
from bot.views.ladder import in_order, label, outcome
from bot.views.rungs import RungGroup, RungOutcome, groups
from workers.deployment.attempt import Phase
from workers.deployment.state import Deployment

STATUS = {
    RungOutcome.REFUSED: "error",
    RungOutcome.LOST: "error",
    RungOutcome.ASKED: "in_progress",
    RungOutcome.TAKEN: "in_progress",
    RungOutcome.NEXT: "pending",
    RungOutcome.UNUSABLE: "error",
}

MAX_TITLE = 150
MAX_CAUSE = 70
MAX_DETAILS = 330
MAX_CURRENT = 2
"""Maximum number of tasks for machines that are asked for, or start."""


def plan(deployment: Deployment, now: datetime, *, errors: int, coming: int) -> Block | None:
    """The ladder; None without tasks. `errors`, `coming`: maximum numbers of tasks that failed and that come next."""
    found = groups(deployment, now)
    failed = [group for group in found if STATUS[group.outcome] == "error"]
    current = [group for group in found if group.outcome in (RungOutcome.ASKED, RungOutcome.TAKEN)]
    then = [group for group in found if group.outcome is RungOutcome.NEXT]
    tasks = [
        *(_failed(group) for group in failed[:errors]),
        *_left(failed[errors:], "error"),
        *(_task(group, _ends(group)) for group in current[:MAX_CURRENT]),
        *_left(current[MAX_CURRENT:], "in_progress"),
        *(_task(group, "") for group in then[:coming]),
        *_left(then[coming:], "pending"),
    ]
    if not tasks:
        return None
    title = "The ladder, cheapest first" if in_order(deployment) else "What was tried, then what comes next"
    numbered = [task | {"task_id": f"rung_{number}"} for number, task in enumerate(tasks, start=1)]
    return {"type": "plan", "title": title, "tasks": numbered}


def _failed(group: RungGroup) -> Block:
    """The title contains the reason, because Slack folds details. A long reason is complete in the details."""
    short = "quota is missing" if group.quota else clip(group.cause, MAX_CAUSE)
    said = [clip(one, MAX_DETAILS) for one in ("" if short == group.cause else group.cause, group.mend) if one]
    task = _task(group, f": {short}")
    if not said:
        return task
    pieces = _pieces(literal(". ".join(f"{one[:1].upper()}{one[1:]}" for one in said)))
    rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": pieces}]}
    return task | {"details": rich}


def _ends(group: RungGroup) -> str:
    return f": {outcome(group.attempt)}" if group.attempt else ""


def _task(group: RungGroup, ends: str) -> Block:
    title = literal(f"{clip(f'{offers.prices(group.offers)}, {label(group.offers)}', MAX_TITLE)}{ends}")
    ready = group.attempt is not None and group.attempt.phase is Phase.READY
    return {
        "type": "task_card",
        "task_id": "",
        "title": title,
        "status": "complete" if ready else STATUS[group.outcome],
    }


def _left(groups_: Sequence[RungGroup], status: str) -> list[Block]:
    """One task for the groups that are not shown."""
    if not groups_:
        return []
    rest = [offer for group in groups_ for offer in group.offers]
    title = literal(f"{count(len(rest), 'more offer')}, {offers.prices(rest)}")
    return [_card(title, status)]


def _card(title: str, status: str) -> Block:
    return {"type": "task_card", "task_id": "", "title": title, "status": status}


def _pieces(text: str) -> list[dict[str, Any]]:
    """The text with what is between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return [_text(text)]
    found = [(part, bool(at % 2)) for at, part in enumerate(parts) if part]
    return [_text(part) | ({"style": {"code": True}} if is_code else {}) for part, is_code in found] or [_text(" ")]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
