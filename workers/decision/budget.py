"""PURE: what is used and reserved of each budget, and whether a machine may be bought."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from workers.deployment.events import DeploymentId
from workers.deployment.ledger import Book, DeploymentBooked, MachineReserved
from workers.deployment.ownership import ENDED_ITSELF
from workers.deployment.state import Deployment
from workers.placement.offer import Offer
from workers.policy.budgets import Budget, BudgetPeriod, BudgetPolicy, BudgetScope, Then

HOURS = Decimal(1)
"""Hours of its price that a machine reserves from the intent on, less what it has used."""

WARNED_AT = (100, 80, 50)
"""Percentages of a limit."""

NOBODY = ""
"""The id of the installation, of which there is one."""


class Owner(Struct, frozen=True, kw_only=True):
    """Whose budgets a deployment uses."""

    name: str
    user: str
    channel: str

    def id(self, scope: BudgetScope) -> str:
        """Its id in a scope."""
        return {
            BudgetScope.INSTALLATION: NOBODY,
            BudgetScope.PERSON: self.user,
            BudgetScope.CHANNEL: self.channel,
            BudgetScope.DEPLOYMENT: self.name,
        }[scope]


class BudgetWindow(Struct, frozen=True, kw_only=True):
    """A day or a month in the zone of the budgets."""

    since: datetime
    until: datetime


class BudgetStanding(Struct, frozen=True, kw_only=True):
    """How much of one limit is used and reserved in the present window."""

    scope: BudgetScope
    id: str
    """Of the person, channel or deployment; empty for the installation."""
    period: BudgetPeriod
    limit: Decimal
    then: Then
    window: BudgetWindow
    used: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        """USD that purchases may still reserve; negative if what runs has used more than the limit."""
        return self.limit - self.used - self.reserved

    @property
    def key(self) -> str:
        """Identifies the limit and the window, also after the amount was changed."""
        return f"{self.scope}:{self.id}:{self.period}:{self.window.since.astimezone(UTC):%Y%m%dT%H%M}"


class Purchase(Struct, frozen=True, kw_only=True):
    """The offers that the budgets allow, or the standing that allows none."""

    offers: tuple[Offer, ...] = ()
    refused_by: BudgetStanding | None = None
    price: Decimal | None = None
    """Of the cheapest offer, if refused; None if no price is known."""


def window_of(period: BudgetPeriod, zone: str, now: datetime) -> BudgetWindow:
    """The day or month that contains `now`. A day may have 23 or 25 hours."""
    there = ZoneInfo(zone)
    first = now.astimezone(there).date()
    if period is BudgetPeriod.DAY:
        after = first + timedelta(days=1)
    else:
        first = first.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    since, until = (datetime.combine(day, time(), there).astimezone(UTC) for day in (first, after))
    return BudgetWindow(since=since.astimezone(there), until=until.astimezone(there))


def standings_of(owner: Owner, budgets: BudgetPolicy, book: Book, now: datetime) -> list[BudgetStanding]:
    """Of each limit that holds for a deployment."""
    return [
        _standing(budget, owner.id(budget.scope), period, book, (window_of(period, budgets.zone, now), now))
        for budget, period in _limits(budgets)
        if _holds(budget, period, owner.id(budget.scope), budgets)
    ]


def all_standings(budgets: BudgetPolicy, book: Book, now: datetime) -> list[BudgetStanding]:
    """Of each limit, for each person, channel and deployment that used something in the present window."""
    found = []
    for budget, period in _limits(budgets):
        window = window_of(period, budgets.zone, now)
        present = _present(book, window)
        owners = {owner_of(use.owner) for use in present.used(window.since, now) if use.owner}
        owners |= {owner_of(booked) for key in book.reserved if (booked := book.owners.get(key[0]))}
        ids = {NOBODY} if _is_whole(budget) else {owner.id(budget.scope) for owner in owners}
        found += [
            _standing(budget, id_, period, present, (window, now))
            for id_ in sorted(ids)
            if _holds(budget, period, id_, budgets)
        ]
    return found


def _present(book: Book, window: BudgetWindow) -> Book:
    """Without the machines that ended before a window: most did, and each standing would look at them again."""
    begin = window.since.astimezone(UTC)
    return replace(book, uses={key: u for key, u in book.uses.items() if u.ended is None or u.ended > begin})


def owner_of(booked: DeploymentBooked) -> Owner:
    return Owner(name=booked.name, user=booked.user, channel=booked.channel)


def owner_of_state(state: Deployment) -> Owner:
    return Owner(name=state.name, user=state.place.user, channel=state.place.channel)


def is_to_stop(standing: BudgetStanding, ends: datetime) -> bool:
    """Whether what runs on a limit is to end at `ends`: it is used up, and its window lasts longer than that."""
    return standing.then is Then.STOP and standing.used >= standing.limit and ends < standing.window.until


def purchase(offers: Sequence[Offer], standings: Iterable[BudgetStanding]) -> Purchase:
    """Decide which of the offers may be requested; the price of each that is left fits into every limit.

    An offer without a known price is left out: nobody can say whether it fits. What is free always fits.
    """
    prices = [offer.usd_per_hour for offer in offers if offer.usd_per_hour is not None]
    tightest = min(standings, key=lambda standing: standing.left, default=None)
    if tightest is None:
        return Purchase(offers=tuple(offers))
    fitting = tuple(o for o in offers if o.usd_per_hour is not None and _fits(o.usd_per_hour, tightest.left))
    if fitting:
        return Purchase(offers=fitting)
    return Purchase(refused_by=tightest, price=min(prices, default=None))


def used_up(standings: Iterable[BudgetStanding]) -> BudgetStanding | None:
    """The first limit of which nothing is left; None if there is none."""
    return next((standing for standing in standings if standing.left <= 0), None)


def percent_used(standing: BudgetStanding) -> int:
    """The last of the percentages at which people are warned that is used; 0 before the first."""
    reached = (percent for percent in WARNED_AT if standing.used * 100 >= standing.limit * percent)
    return next(reached, 0) if standing.used > 0 else 0


def why_refused(by: BudgetStanding, price: Decimal | None) -> str:
    """The sentences for people about a purchase that a limit does not allow."""
    if price is None:
        cause = "no price is known for the machines that could be requested, so nothing can be reserved"
    else:
        cause = f"an hour of the cheapest machine costs {_usd(price)}"
    return f"{says(by)}; {cause}. Nothing further is bought. {mend(by)}"


def says(standing: BudgetStanding) -> str:
    """What is used and reserved of a limit, without a full stop."""
    return (
        f"Of the budget of {whose(standing)} ({_usd(standing.limit)} per {standing.period}), "
        f"{_usd(standing.used)} are used and {_usd(standing.reserved)} reserved"
    )


def mend(standing: BudgetStanding) -> str:
    until = standing.window.until
    return (
        f"The {standing.period} ends on {until:%Y-%m-%d at %H:%M} ({until.tzinfo}). Before that, the admins of the bot "
        "can raise the budget in the policy file (section `budgets`)."
    )


def whose(standing: BudgetStanding) -> str:
    """The person, channel or deployment of a limit, in words without ids."""
    return {
        BudgetScope.INSTALLATION: "the installation",
        BudgetScope.PERSON: "the launcher",
        BudgetScope.CHANNEL: "the channel",
        BudgetScope.DEPLOYMENT: f"the deployments called {standing.id}",
    }[standing.scope]


def is_of(standing: BudgetStanding, owner: Owner) -> bool:
    """Whether the costs of a deployment are added up in this limit."""
    return owner.id(standing.scope) == standing.id


def _fits(price: Decimal, left: Decimal) -> bool:
    return price == 0 or price * HOURS <= left


def _limits(budgets: BudgetPolicy) -> Iterator[tuple[Budget, BudgetPeriod]]:
    for budget in budgets.limits:
        yield from ((budget, period) for period in BudgetPeriod if budget.limit(period) is not None)


def _holds(budget: Budget, period: BudgetPeriod, id_: str, budgets: BudgetPolicy) -> bool:
    """Whether a limit holds for this id: it names it, or names none and no other limit names it."""
    if budget.of:
        return id_ in budget.of
    others = (b for b in budgets.limits if b.scope is budget.scope and b.limit(period) is not None)
    return not any(id_ in other.of for other in others)


def _is_whole(budget: Budget) -> bool:
    return budget.scope is BudgetScope.INSTALLATION


def _standing(
    budget: Budget, id_: str, period: BudgetPeriod, book: Book, span: tuple[BudgetWindow, datetime]
) -> BudgetStanding:
    limit = budget.limit(period)
    assert limit is not None  # noqa: S101 - `_limits` yields no others
    window, now = span
    used, reserved = Decimal(0), Decimal(0)
    begin = window.since.astimezone(UTC)
    for use in book.uses.values():
        if use.ended is not None and use.ended <= begin:
            continue  # most have ended long ago
        if _is_whole(budget) or (use.owner and owner_of(use.owner).id(budget.scope) == id_):
            used += use.cost(window.since, now)
            if use.ended is None:
                left = max(HOURS - use.seconds(None, now) / 3600, Decimal(0))
                reserved += (use.usd_per_hour or Decimal(0)) * left  # by the price in force
    for key, reservation in book.reserved.items():
        if _is_whole(budget) or _is_reserved_by(id_, budget.scope, book.owners, key[0]):
            reserved += (reservation.usd_per_hour or Decimal(0)) * _reserved_hours(reservation, window, now)
    return BudgetStanding(
        scope=budget.scope,
        id=id_,
        period=period,
        limit=limit,
        then=budget.then,
        window=window,
        used=used,
        reserved=reserved,
    )


def _reserved_hours(reservation: MachineReserved, window: BudgetWindow, now: datetime) -> Decimal:
    """At least HOURS, and what its machine may have used: if its answer was lost, it may exist until its lease ends."""
    since = max(reservation.at, window.since).astimezone(UTC)
    lapses = reservation.expires_at and (reservation.expires_at + ENDED_ITSELF).astimezone(UTC)
    until = now.astimezone(UTC)
    if lapses and lapses <= until:
        return max(Decimal((lapses - since).total_seconds()) / 3600, Decimal(0))
    return max(Decimal((until - since).total_seconds()) / 3600, HOURS)


def _is_reserved_by(
    id_: str, scope: BudgetScope, owners: dict[DeploymentId, DeploymentBooked], deployment: DeploymentId
) -> bool:
    booked = owners.get(deployment)
    return booked is not None and owner_of(booked).id(scope) == id_


def _usd(amount: Decimal) -> str:
    return f"{amount.quantize(Decimal('0.01')):,} USD"
