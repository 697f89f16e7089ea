"""PURE: budgets: what is left of them, and the warnings."""

from collections.abc import Sequence

from bot.slack.message import Message
from bot.views import words
from bot.views.amounts import moment, usd
from bot.views.blocks import Block, section
from bot.views.escape import escape
from workers.decision.budget import BudgetStanding
from workers.policy.budgets import BudgetScope, Then

MAX_LINES = 12


def blocks(standings: Sequence[BudgetStanding]) -> list[Block]:
    """A line for each limit: used, reserved, left, and until when; nothing without a budget."""
    return [section("\n".join(_line(standing) for standing in standings[:MAX_LINES]))] if standings else []


def warning(standing: BudgetStanding, percent: int) -> Message:
    """The warning that `percent` of a limit is used."""
    whose = {
        BudgetScope.INSTALLATION: "the installation",
        BudgetScope.PERSON: words.user(standing.id),
        BudgetScope.CHANNEL: f"<#{standing.id}>",
        BudgetScope.DEPLOYMENT: f"*{escape(standing.id)}*",
    }[standing.scope]
    reserved = f", and {usd(standing.reserved)} reserved" if standing.reserved else ""
    sentence = (
        f"*{percent} % of a budget is used.* Of the {usd(standing.limit)} per {standing.period} of {whose}, "
        f"{usd(standing.used)} are used{reserved}. {_then(standing, percent)} The {standing.period} ends "
        f"{moment(standing.window.until)}. The admins of the bot can change the budget in the policy file."
    )
    return Message(sentence, (section(sentence),))


def _then(standing: BudgetStanding, percent: int) -> str:
    stops = standing.then is Then.STOP
    if percent < 100:  # noqa: PLR2004 - percent
        then = ", and what runs ends, announced 15 minutes before" if stops else ""
        return f"At 100 % nothing further is bought{then}."
    if stops:
        return "Nothing further is bought. What runs ends 15 minutes after its thread announces it, unless it is kept."
    return "Nothing further is bought. What runs goes on, and costs more until a person ends it."


def _line(standing: BudgetStanding) -> str:
    whose = {
        BudgetScope.INSTALLATION: "of the installation",
        BudgetScope.PERSON: f"of {words.user(standing.id)}",
        BudgetScope.CHANNEL: f"of <#{standing.id}>",
        BudgetScope.DEPLOYMENT: f"of *{escape(standing.id)}*",
    }[standing.scope]
    reserved = f" and {usd(standing.reserved)} reserved" if standing.reserved else ""
    left = f"{usd(standing.left)} are left" if standing.left > 0 else "nothing is left, and nothing further is bought"
    return (
        f"*Budget* {whose}: {usd(standing.limit)} per {standing.period}; {usd(standing.used)} used{reserved}; {left} "
        f"until {moment(standing.window.until)}"
    )
