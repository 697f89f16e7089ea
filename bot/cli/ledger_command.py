"""`mixtral-bot ledger`: what the machines have cost, by deployment, or each machine as CSV."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TextIO

from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bot.views.amounts import CENT, count
from workers.deployment.disk_cost import disk_cost
from workers.deployment.ledger import Use
from workers.deployment.ledger_reader import Ledger
from workers.redis_failures import failure_of
from workers.run import connect
from workers.settings import from_environ

COLUMNS = (
    *("deployment", "name", "recipe", "launcher", "channel", "attempt"),
    *("cloud", "region", "zone", "instance_type", "machine", "spot", "usd_per_hour"),
    *("began", "ended", "hours", "usd", "saved_usd"),
    *("ended_is", "disk_usd_estimated"),
)
"""Of the CSV. Times are UTC; `ended` is empty while the machine runs; amounts and hours are those since `--since`.

`usd_per_hour`: the last price; `usd` and `saved_usd` are by the price in force at each time.
`ended_is`: `cloud` if the cloud told the end, `estimated` if it is by our clock; empty while the machine runs.
"""


def run(environ: Mapping[str, str], out: TextIO, err: TextIO, *, since: datetime | None, as_csv: bool) -> int:
    """Print the use of machines since a time, and return 0; return 1 with a line on `err` if Redis does not answer."""
    now = datetime.now(UTC)
    try:
        book = Ledger(connect(from_environ(environ).redis_url)).book()
    except RedisError as error:
        err.write(f"mixtral-bot: {failure_of(error).report()}\n")
        return 1
    uses = sorted(
        book.used(since, now),
        key=lambda use: (use.booked.began, use.booked.attempt),
    )
    if as_csv:
        csv.writer(out).writerows([COLUMNS, *(_row(use, since, now) for use in uses)])
    else:
        console = Console(file=out, highlight=False, emoji=False)
        console.print(_table(uses, since, now) if uses else "No machine was used.")
        if unpriced := sum(use.booked.usd_per_hour is None for use in uses):
            console.print(
                f"{count(unpriced, 'machine is', 'machines are')} not counted, because the price is not known."
            )
    return 0


def _row(use: Use, since: datetime | None, now: datetime) -> Iterable[object]:
    booked, owner = use.booked, use.owner
    price = "" if use.usd_per_hour is None else use.usd_per_hour
    yield from (booked.deployment, *((owner.name, owner.recipe, owner.user, owner.channel) if owner else [""] * 4))
    yield from (booked.attempt, booked.cloud, booked.region, booked.zone, booked.instance_type, booked.machine)
    yield from (booked.spot, price, booked.began.isoformat(), use.ended.isoformat() if use.ended else "")
    yield from (_hours(use, since, now), _usd(use.cost(since, now)), _usd(use.saved(since, now)))
    yield from (_ended_is(use), _usd(disk_cost(use, since, now)))


def _ended_is(use: Use) -> str:
    if use.ended is None:
        return ""
    return "estimated" if use.estimated else "cloud"


def _table(uses: Iterable[Use], since: datetime | None, now: datetime) -> Table:
    of: defaultdict[str, list[Use]] = defaultdict(list)
    for use in uses:
        of[use.booked.deployment].append(use)
    table = Table(
        "name",
        "launched by",
        *(Column(name, justify="right") for name in ("machines", "hours", "USD", "saved by spot")),
        box=None,
    )
    for those in of.values():
        owner = those[0].owner
        table.add_row(
            *(Text(text) for text in (owner.name, owner.user)) if owner else ("?", "?"), *_sums(those, since, now)
        )
    table.add_row("all", "", *_sums([use for those in of.values() for use in those], since, now))
    return table


def _sums(uses: list[Use], since: datetime | None, now: datetime) -> tuple[str, str, str, str]:
    return (
        str(len(uses)),
        str(sum((_hours(use, since, now) for use in uses), Decimal(0))),
        str(_usd(sum((use.cost(since, now) for use in uses), Decimal(0)))),
        str(_usd(sum((use.saved(since, now) for use in uses), Decimal(0)))),
    )


def _hours(use: Use, since: datetime | None, now: datetime) -> Decimal:
    return (use.seconds(since, now) / 3600).quantize(CENT)


def _usd(amount: Decimal) -> Decimal:
    return amount.quantize(CENT)
