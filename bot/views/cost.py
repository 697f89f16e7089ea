"""PURE: `/mixtral cost`: what machines have cost in a period, with a chart of its days."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise

from msgspec import Struct

from bot.slack.message import Message
from bot.views import budget_standings, words
from bot.views.amounts import CENT, count, moment, usd
from bot.views.blocks import Block, context, header, listed, section
from bot.views.escape import escape
from workers.decision.budget import BudgetStanding
from workers.deployment.disk_cost import disk_cost
from workers.deployment.ledger import Use
from workers.deployment.token_counts import Tokens

MAX_ROWS = 12
MAX_BARS = 20
"""Maximum number of categories of Slack's charts."""

MAX_LONG_LABELS = 10
"""Maximum number of labels with a month that Slack has room for; of more within one month, the title names it."""

SEEN = "for the deployments that you can see"


class Span(Struct, frozen=True, kw_only=True):
    """A period up to now, and what it is called."""

    title: str
    since: datetime
    until: datetime
    zone: tzinfo = UTC


def cost(
    uses: Sequence[Use],
    span: Span,
    about: str,
    tokens: Tokens | None = None,
    *,
    one: bool = False,
    seen: str = SEEN,
    left: Sequence[BudgetStanding] = (),
) -> Message:
    """`uses`: of the machines that the reader may see. `about`: what they are limited to, as ` of *fast*`; or empty.

    `seen`: which deployments are counted. `one`: whether the uses are those of one name. `tokens`: its tokens; None if
    its engine reports none. `left`: of the budgets that the reader may see.
    """
    used = [use for use in uses if use.seconds(span.since, span.until)]
    total = _sum(used, span)
    amount = _amount(used, total)
    summary = f"{span.title}{about}: {amount}"
    if not used:
        return Message(
            f"{summary}.", (section(f"{summary}: no machine was used {seen}."), *budget_standings.blocks(left))
        )
    chart = _chart(used, span)
    blocks = [
        header(f"{span.title}: {amount}"),
        section(f"{_kinds(used, span)}{f' Only machines{about}.' if about else ''}"),
        *([section(_per_token(tokens, total))] if one else []),
        *chart,
        section(listed(_rows(used, span))),
        *budget_standings.blocks(left),
        context(_said(used, span, seen)),
    ]
    return Message(f"{summary}.", tuple(blocks), tuple(block for block in blocks if block not in chart))


def digest(uses: Sequence[Use], week: Span) -> Message:
    """The costs of a week, for a channel. `uses`: of the machines of its deployments."""
    return cost(uses, week, "", seen="for the deployments that were launched in this channel")


def _amount(used: Sequence[Use], total: Decimal) -> str:
    if _unpriced(used):
        return f"at least {usd(total)}"
    return f"≈ {usd(total)}" if _estimated(used) else usd(total)


def _per_token(tokens: Tokens | None, total: Decimal) -> str:
    if tokens is None:
        return "USD per million tokens: unknown, because the engine reports no tokens."
    if not tokens.sum:
        return "USD per million tokens: none were processed."
    price = usd(total * 10**6 / tokens.sum)
    numbers = f"{count(tokens.prompt, 'token')} of prompts and {tokens.generated:,} of answers"
    return f"{price} per million tokens: {numbers}, by the engine's counters."


def _kinds(used: Sequence[Use], span: Span) -> str:
    spot = [use for use in used if use.booked.spot]
    usual = [use for use in used if not use.booked.spot]
    parts = [f"{word} {usd(_sum(those, span))}" for word, those in (("On demand", usual), ("Spot", spot)) if those]
    saved = sum((use.saved(span.since, span.until) for use in spot), Decimal(0))
    less = f" Spot machines cost {usd(saved)} less than the same machines on demand." if saved >= CENT else ""
    return f"{', '.join(parts).replace(', Spot', ', spot')}.{less}"


def _rows(used: Sequence[Use], span: Span) -> list[str]:
    of: defaultdict[str, list[Use]] = defaultdict(list)
    for use in used:
        of[use.booked.deployment].append(use)
    rows = sorted(of.values(), key=lambda those: -_sum(those, span))
    shown = [_row(those, span) for those in rows[:MAX_ROWS]]
    left = [use for those in rows[MAX_ROWS:] for use in those]
    more = [f"{usd(_sum(left, span))} · {count(len(rows) - MAX_ROWS, 'more deployment')}"] if left else []
    return [*shown, *more]


def _row(those: Sequence[Use], span: Span) -> str:
    owner = those[0].owner
    hours = sum((use.seconds(span.since, span.until) for use in those), Decimal(0)) / 3600
    name = (
        f"*{escape(owner.name)}*, launched by {words.user(owner.user)}" if owner else "_a deployment without a record_"
    )
    running = sum(use.ended is None for use in those)
    state = f"{count(running, 'machine')} running" if running else "ended"
    used = hours.quantize(Decimal("0.1"))
    return f"{usd(_sum(those, span))} · {name} · {used or 'under 0.1'} machine hours · {state}"


def _said(used: Sequence[Use], span: Span, seen: str) -> str:
    unpriced = _unpriced(used)
    without = (
        f" {count(unpriced, 'machine is', 'machines are')} not counted, because the price is not known."
        if unpriced
        else ""
    )
    estimates = f"{_ends(used)}{_disks(used, span)}"
    return (
        f"From {moment(span.since)}, {seen}, at listed prices; spot machines at the price in force at each time."
        f"{estimates} The clouds' invoices also contain traffic and taxes.{without}"
    )


def _ends(used: Sequence[Use]) -> str:
    """How many ends are not by the cloud's time."""
    number = _estimated(used)
    return (
        f" ≈: the cloud did not report when {count(number, 'machine')} ended, so that time is by the bot's clock."
        if number
        else ""
    )


def _disks(used: Sequence[Use], span: Span) -> str:
    cost = sum((disk_cost(use, span.since, span.until) for use in used), Decimal(0))
    return f" Not included: boot disks, estimated at ≈ {usd(cost)}." if cost >= CENT else ""


def _estimated(used: Sequence[Use]) -> int:
    """Number of machines whose end is by our clock, and that cost something."""
    return sum(use.estimated and bool(use.booked.usd_per_hour) for use in used)


def _unpriced(used: Sequence[Use]) -> int:
    return sum(use.booked.usd_per_hour is None for use in used)


def _chart(used: Sequence[Use], span: Span) -> list[Block]:
    """A bar for each day or, of a long period, for several; none of a single day."""
    edges = _edges(span)
    if len(edges) <= 2 or not _sum(used, span):  # noqa: PLR2004 - one bar has two edges
        return []
    days = [(since, min(until, span.until)) for since, until in pairwise(edges)]
    of_month = len(days) > MAX_LONG_LABELS and edges[0].month == edges[-2].month
    labels = [_label(since, until.astimezone(span.zone), with_month=not of_month) for since, until in days]
    series = [
        {
            "name": name,
            "data": [_point(those, label, since, until) for label, (since, until) in zip(labels, days, strict=True)],
        }
        for name, those in (
            ("on demand", [use for use in used if not use.booked.spot]),
            ("spot", [use for use in used if use.booked.spot]),
        )
        if those
    ]
    axis = {"categories": labels, "y_label": "USD"}
    chart = {"type": "bar", "series": series, "axis_config": axis}
    step = _step(span)
    title = f"USD per {'day' if step == 1 else f'{step} days'}{f' of {edges[0]:%B}' if of_month else ''}"
    return [{"type": "data_visualization", "title": title, "chart": chart}]


def _point(used: Sequence[Use], label: str, since: datetime, until: datetime) -> dict[str, object]:
    amount = sum((use.cost(since, until) for use in used), Decimal(0))
    return {"label": label, "value": float(amount.quantize(CENT))}


def _edges(span: Span) -> list[datetime]:
    """The beginnings of the bars, and the end of the last one. A day begins at midnight of the zone."""
    edges, step = [span.since.astimezone(span.zone)], _step(span)
    while edges[-1] < span.until:
        edges.append(edges[-1] + timedelta(days=step))  # of the wall clock: a day may have 23 or 25 hours
    return edges


def _step(span: Span) -> int:
    days = (span.until - span.since) // timedelta(days=1) + 1
    return -(-days // MAX_BARS)


def _label(since: datetime, until: datetime, *, with_month: bool) -> str:
    last = until - timedelta(microseconds=1)
    days = f"{since.day}" if last.date() == since.date() else f"{since.day}-{last.day}"
    return f"{days} {last:%b}" if with_month else days


def _sum(uses: Sequence[Use], span: Span) -> Decimal:
    return sum((use.cost(span.since, span.until) for use in uses), Decimal(0))
