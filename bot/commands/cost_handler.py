"""`/mixtral cost`: what the machines of the deployments that the caller may see have cost."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta, tzinfo
from typing import assert_never

from bot.commands import budget_check
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError
from bot.commands.visibility import Viewer, is_named
from bot.language.command import SLASH, Cost, Period
from bot.slack.message import Message
from bot.views import cost as cost_view
from bot.views.escape import code, escape
from bot.views.words import user
from workers.decision.budget import Owner
from workers.deployment.ledger import Book, Use
from workers.deployment.log import KEPT_AFTER_END
from workers.deployment.state import Deployment


def cost(command: Cost, caller: Caller, context: CommandContext) -> Message:
    """The reply, which only the caller sees. Raises RedisError."""
    span = span_of(command.period, context.now(), context.sight.zone(caller.user))
    book = context.deployments.book()
    if command.name and not _is_known(command.name, book, caller.viewer, context):
        raise CommandError(
            f"No deployment {code(command.name)} is in the ledger, as far as you can see. The periods are "
            f"{', '.join(Period)}.",
            hint=f"{SLASH} cost {Period.MONTH}",
        )
    used = book.used(span.since, span.until)
    meant = [use for use in used if _is_meant(use, command)]
    since = max(span.since, context.now() - KEPT_AFTER_END)
    states = (*context.deployments.all(), *context.deployments.ended(since))
    shown = seen_by(caller.viewer, meant, states, context)
    tokens = book.tokens_of({use.booked.deployment for use in shown}, span.since, span.until)
    left = budget_check.of_viewer(caller.viewer, context, book, _owner(command, caller))
    return cost_view.cost(shown, span, _about(command), tokens, one=bool(command.name), left=left)


def _owner(command: Cost, caller: Caller) -> Owner:
    """Whose budgets are shown."""
    return Owner(name=command.name or "", user=command.user or caller.user, channel=command.channel or caller.channel)


def _is_known(name: str, book: Book, viewer: Viewer, context: CommandContext) -> bool:
    """Whether the person may see a deployment that has or had this name."""
    places = {(owner.user, owner.channel) for owner in book.owners.values() if owner.name == name}
    return any(_sees(place, viewer, context) for place in places)


def seen_by(viewer: Viewer, uses: Collection[Use], states: Iterable[Deployment], context: CommandContext) -> list[Use]:
    """The uses of machines that the person may see: also of those `states` that name them."""
    keyed = {state.id for state in states if is_named(viewer, state)}
    readable = {at: _sees(at, viewer, context) for at in {_place(use) for use in uses}}
    return [use for use in uses if use.booked.deployment in keyed or readable[_place(use)]]


def span_of(period: Period, now: datetime, zone: tzinfo) -> cost_view.Span:
    """The period up to now, from midnight in a time zone. A week begins on Monday."""
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case Period.TODAY:
            title, since = "Today", today
        case Period.WEEK:
            title, since = "This week", today - timedelta(days=today.weekday())
        case Period.MONTH:
            title, since = f"{today:%B}", today.replace(day=1)
        case _:
            assert_never(period)
    return cost_view.Span(title=title, since=since, until=now, zone=zone)


def last_week(now: datetime, zone: tzinfo) -> cost_view.Span:
    """The seven days before the Monday of this week, from midnight to midnight in a time zone."""
    ended = span_of(Period.WEEK, now, zone).since
    since = ended - timedelta(days=7)  # of the wall clock: a week with a change of the clocks has an hour less or more
    last = ended - timedelta(days=1)
    title = f"Last week, {since.day} {since:%b} to {last.day} {last:%b}"
    return cost_view.Span(title=title, since=since, until=ended, zone=zone)


def _is_meant(use: Use, command: Cost) -> bool:
    owner = use.owner
    if owner is None:
        return command.name is command.user is command.channel is None
    return (
        command.name in (None, owner.name)
        and command.user in (None, owner.user)
        and command.channel in (None, owner.channel)
    )


def _place(use: Use) -> tuple[str, str]:
    return (use.owner.user, use.owner.channel) if use.owner else ("", "")


def _sees(place: tuple[str, str], viewer: Viewer, context: CommandContext) -> bool:
    launcher, channel = place
    return context.sight.reads(viewer, launcher=launcher, channel=channel)


def _about(command: Cost) -> str:
    if command.name:
        return f" of *{escape(command.name)}*"
    if command.user:
        return f" of {user(command.user)}"
    return f" in <#{command.channel}>" if command.channel else ""
