"""PURE: machines that run without a deployment: their price, why they are not ended, and what to do."""

from collections.abc import Sequence
from decimal import Decimal

from bot.slack.message import Message
from bot.views.amounts import moment, per_hour_and_day, usd_per_hour
from bot.views.blocks import section
from bot.views.escape import code, escape
from workers.clouds.usability import NAMES
from workers.deployment.orphans import Orphan

WARNING = "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}"
MAX_LINES = 20

WHY = (
    "Redis may have been emptied, or restored from an earlier state. The bot does not end them, because they may be "
    "wanted; it does not extend their leases either, so each ends itself when its lease has passed. Their cost is not "
    "in the ledger."
)
MEND = (
    "`mixtral-bot machines` lists them. If a newer backup of Redis contains them, restore that one. Otherwise "
    "`mixtral-bot machines --end-orphans` ends them, after confirmation."
)


def found(orphans: Sequence[Orphan]) -> Message:
    """The message to an admin. `orphans`: the new ones."""
    lines = [_line(orphan) for orphan in orphans[:MAX_LINES]]
    if left := len(orphans) - len(lines):
        lines.append(f"• … and {left} more")
    sentence = f"{WARNING} *{summary(orphans)}.* {WHY}"
    return Message(sentence, (section(sentence), section("\n".join(lines)), section(MEND)))


def summary(orphans: Sequence[Orphan]) -> str:
    """`2 machines run without a deployment, for 43.92 USD/h (…)`."""
    run = "machine runs" if len(orphans) == 1 else "machines run"
    return f"{len(orphans)} {run} without a deployment, for {_price(orphans)}"


def in_list(orphans: Sequence[Orphan]) -> str:
    """The warning above a list of deployments for an admin; empty if there are none."""
    return f"{WARNING} {summary(orphans)}. `mixtral-bot machines` lists them." if orphans else ""


def _price(orphans: Sequence[Orphan]) -> str:
    known = [orphan.usd_per_hour for orphan in orphans if orphan.usd_per_hour is not None]
    if not known:
        return "an unknown price"
    least = "at least " if len(known) < len(orphans) else ""
    return f"{least}{per_hour_and_day(sum(known, start=Decimal(0)))}"


def _line(orphan: Orphan) -> str:
    where = f"{NAMES.get(orphan.cloud, orphan.cloud)} {escape(orphan.place)}"
    costs = usd_per_hour(orphan.usd_per_hour) if orphan.usd_per_hour is not None else "price unknown"
    return f"• {code(orphan.id)} at {where}, {escape(orphan.instance_type)}: {costs}, since {moment(orphan.created_at)}"
