"""PURE: the ledger: which machine existed when, at which price, and for whom. It outlives the logs of deployments."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias, assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from workers.deployment.events import (
    AnyEvent,
    DeploymentId,
    LaunchIntended,
    MachineCreated,
    MachineGone,
    OfferRefused,
    Requested,
)
from workers.deployment.token_counts import Replica, Tokens, TokensCounted, book_tokens

LEDGER = "mixtral:ledger"
"""The stream of the entries. Events and their entries are appended by one script, so that none is missing."""

TOKENS = "mixtral:ledger:tokens"
"""The stream of the counts of tokens: by far the most entries, which no purchase needs."""


class DeploymentBooked(Struct, frozen=True, kw_only=True, tag=True):
    """A deployment was requested. Its machines are booked under its name, launcher and channel."""

    deployment: DeploymentId
    at: datetime
    name: str
    recipe: str
    user: str
    channel: str


class MachineReserved(Struct, frozen=True, kw_only=True, tag=True):
    """A machine will be requested. An hour of it is reserved until it is booked, refused or gone."""

    deployment: DeploymentId
    attempt: int
    usd_per_hour: Decimal | None
    """Of the most expensive offer that may be taken; None if a price is unknown."""
    at: datetime
    expires_at: datetime | None = None
    """When the machine's lease ends, which nobody extends before it is booked; None in entries of earlier versions."""


class ReservationReleased(Struct, frozen=True, kw_only=True, tag=True):
    """The cloud refused the machine; none exists."""

    deployment: DeploymentId
    attempt: int


class MachineBooked(Struct, frozen=True, kw_only=True, tag=True):
    """A machine exists since `began`, by the time of its cloud."""

    deployment: DeploymentId
    attempt: int
    machine: str
    """The cloud's id."""
    cloud: str
    region: str
    zone: str
    instance_type: str
    spot: bool
    usd_per_hour: Decimal | None
    on_demand_usd_per_hour: Decimal | None
    began: datetime
    disk_gib: int | None = None
    """Size of its boot disk; None in entries of earlier versions, and without a cloud's disk."""


class MachineRepriced(Struct, frozen=True, kw_only=True, tag=True):
    """The price of a spot machine from a time on. It has the last price read before that time until then."""

    deployment: DeploymentId
    attempt: int
    usd_per_hour: Decimal
    at: datetime
    """When the price was read. The cloud changed it some time before that."""


class MachineClosed(Struct, frozen=True, kw_only=True, tag=True):
    """The machine is gone."""

    deployment: DeploymentId
    attempt: int
    ended: datetime
    estimated: bool = True
    """Whether the end is by our clock: the cloud did not tell it, or had not yet. A later entry may correct it."""


LedgerEntry: TypeAlias = (
    DeploymentBooked
    | MachineReserved
    | ReservationReleased
    | MachineBooked
    | MachineRepriced
    | MachineClosed
    | TokensCounted
)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(LedgerEntry).decode


class Use(Struct, frozen=True, kw_only=True):
    """The use of one machine, from its creation to its end, or until now."""

    booked: MachineBooked
    owner: DeploymentBooked | None
    """None if the ledger begins after the request."""
    ended: datetime | None = None
    estimated: bool = False
    """Whether `ended` is by our clock, not by the cloud's."""
    repriced: tuple[MachineRepriced, ...] = ()
    """Later prices, in the order of their times."""

    @property
    def usd_per_hour(self) -> Decimal | None:
        """The price in force: the last one, or the one at its end; None if it is unknown."""
        return self._periods()[-1][1]

    def cost(self, since: datetime | None, until: datetime) -> Decimal:
        """USD for the part of its life between two times; 0 if its price is unknown.

        `since` None: from its creation.
        """
        return self._sum(since, until, lambda price: price)

    def saved(self, since: datetime | None, until: datetime) -> Decimal:
        """USD that spot has saved compared with on demand; 0 if a price is unknown."""
        usual = self.booked.on_demand_usd_per_hour
        if not self.booked.spot or usual is None:
            return Decimal(0)
        return self._sum(since, until, lambda price: usual - price)

    def seconds(self, since: datetime | None, until: datetime) -> Decimal:
        """Length of the part of its life between two times, in seconds."""
        began = self.booked.began if since is None else max(self.booked.began, since)
        ended = until if self.ended is None else min(self.ended, until)
        # In UTC: Python subtracts two times of the same zone by its wall clock, whose days may have 23 or 25 hours.
        return Decimal(max((ended.astimezone(UTC) - began.astimezone(UTC)).total_seconds(), 0))

    def _periods(self) -> list[tuple[datetime, Decimal | None]]:
        """When each price of its life began, and the price."""
        ended = None if self.ended is None else self.ended.astimezone(UTC)
        later = [(p.at, p.usd_per_hour) for p in self.repriced if ended is None or p.at.astimezone(UTC) < ended]
        return [(self.booked.began, self.booked.usd_per_hour), *later]

    def _sum(self, since: datetime | None, until: datetime, amount: Callable[[Decimal], Decimal]) -> Decimal:
        """USD of `amount` per hour of each price. An unknown price counts 0."""
        if not self.repriced:
            price = self.booked.usd_per_hour
            return Decimal(0) if price is None else amount(price) * self.seconds(since, until) / 3600
        first, last = self.booked.began if since is None else since.astimezone(UTC), until.astimezone(UTC)
        periods, total = self._periods(), Decimal(0)
        ends = [at.astimezone(UTC) for at, _ in periods[1:]]
        for (began, price), ended in zip(periods, [*ends, last], strict=True):
            if price is not None:
                total += amount(price) * self.seconds(max(first, began.astimezone(UTC)), min(last, ended))
        return total / 3600


class Book(Struct, frozen=True, kw_only=True):
    """The fold of the ledger."""

    owners: dict[DeploymentId, DeploymentBooked] = {}
    uses: dict[tuple[DeploymentId, int], Use] = {}
    """By deployment and attempt."""
    counts: dict[Replica, TokensCounted] = {}
    """The newest count of each replica."""
    tokens: dict[tuple[DeploymentId, datetime], Tokens] = {}
    """By deployment and hour, of the last weeks."""
    reserved: dict[tuple[DeploymentId, int], MachineReserved] = {}
    """By deployment and attempt: the machines that were requested, and of which nothing is known yet."""
    early: dict[tuple[DeploymentId, int], tuple[MachineRepriced, ...]] = {}
    """By deployment and attempt: prices of machines that are not booked yet."""

    def total(self, since: datetime | None, until: datetime) -> Decimal:
        """USD of all machines between two times."""
        return sum((use.cost(since, until) for use in self.uses.values()), Decimal(0))

    def used(self, since: datetime | None, until: datetime) -> list[Use]:
        """Of the machines that existed between two times. Those that ended before are passed over cheaply."""
        begin = None if since is None else since.astimezone(UTC)
        return [
            use
            for use in self.uses.values()
            if (begin is None or use.ended is None or use.ended > begin) and use.seconds(since, until)
        ]

    def tokens_of(self, deployments: Collection[DeploymentId], since: datetime, until: datetime) -> Tokens | None:
        """The tokens of deployments between two times, by whole hours; None if no engine has reported any."""
        if not any(deployment in deployments for deployment, _ in self.counts):
            return None
        first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        found = [n for (of, hour), n in self.tokens.items() if of in deployments and first <= hour < until]
        return Tokens(sum(n.prompt for n in found), sum(n.generated for n in found))


def entry_of(deployment: DeploymentId, event: AnyEvent) -> LedgerEntry | None:
    """The entry that is appended together with an event; None if the event changes no cost."""
    match event:
        case Requested(at=at, name=name, recipe=recipe, place=place):
            return DeploymentBooked(
                deployment=deployment, at=at, name=name, recipe=recipe.name, user=place.user, channel=place.channel
            )
        case LaunchIntended(at=at, request=request):
            prices = [offer.usd_per_hour for offer in request.offers]
            known = [price for price in prices if price is not None]
            most = max(known) if len(known) == len(prices) else None
            return MachineReserved(
                deployment=deployment,
                attempt=request.attempt,
                usd_per_hour=most,
                at=at,
                expires_at=request.expires_at,
            )
        case OfferRefused(attempt=attempt):
            return ReservationReleased(deployment=deployment, attempt=attempt)
        case MachineCreated(attempt=attempt, machine=machine, disk_gib=disk_gib):
            offer = machine.offer
            return MachineBooked(
                deployment=deployment,
                attempt=attempt,
                machine=machine.id,
                cloud=offer.cloud,
                region=offer.region,
                zone=offer.zone,
                instance_type=offer.instance_type,
                spot=offer.spot,
                usd_per_hour=offer.usd_per_hour,
                on_demand_usd_per_hour=offer.on_demand_usd_per_hour,
                began=machine.created_at,
                disk_gib=disk_gib,
            )
        case MachineGone(attempt=attempt, at=at, ended_at=told):
            return MachineClosed(deployment=deployment, attempt=attempt, ended=told or at, estimated=not told)
        case _:
            return None


def fold(entries: Iterable[LedgerEntry], onto: Book | None = None) -> Book:
    """The book after further entries, in their order. An entry that is repeated has no effect.

    A deployment may be booked after its machines: a bot of an earlier version did not book it.
    """
    book, entries = onto or Book(), tuple(entries)
    owners, uses, reserved, early = dict(book.owners), dict(book.uses), dict(book.reserved), dict(book.early)
    counts, tokens = book.counts, book.tokens
    if any(isinstance(entry, TokensCounted) for entry in entries):  # they are many, and each purchase reads entries
        counts, tokens = dict(counts), dict(tokens)
    for entry in entries:
        match entry:
            case DeploymentBooked():
                owners.setdefault(entry.deployment, entry)
            case MachineReserved():
                if (entry.deployment, entry.attempt) not in uses:
                    reserved.setdefault((entry.deployment, entry.attempt), entry)
            case ReservationReleased():
                reserved.pop((entry.deployment, entry.attempt), None)
            case MachineBooked():
                reserved.pop((entry.deployment, entry.attempt), None)
                key = entry.deployment, entry.attempt
                uses.setdefault(key, Use(booked=entry, owner=owners.get(entry.deployment)))
                for price in early.pop(key, ()):
                    uses[key] = _repriced(uses[key], price)
            case MachineRepriced():
                key = entry.deployment, entry.attempt
                if key in uses:
                    uses[key] = _repriced(uses[key], entry)
                else:
                    early[key] = (*early.get(key, ()), entry)
            case MachineClosed():
                reserved.pop((entry.deployment, entry.attempt), None)
                use = uses.get((entry.deployment, entry.attempt))
                if use is not None and (use.ended is None or (use.estimated and not entry.estimated)):
                    closed = replace(use, ended=entry.ended, estimated=entry.estimated)
                    uses[entry.deployment, entry.attempt] = closed
            case TokensCounted():
                book_tokens(entry, counts, tokens)
            case _:
                assert_never(entry)
    if len(owners) > len(book.owners):
        late = {key: use for key, use in uses.items() if use.owner is None and key[0] in owners}
        uses |= {key: replace(use, owner=owners[key[0]]) for key, use in late.items()}
    return Book(owners=owners, uses=uses, reserved=reserved, counts=counts, tokens=tokens, early=early)


def _repriced(use: Use, entry: MachineRepriced) -> Use:
    """The use with a further price. Of two prices of one time, the higher counts, in whichever order they come."""
    at = entry.at.astimezone(UTC)
    if at <= use.booked.began.astimezone(UTC):
        return use
    prices = {price.at.astimezone(UTC): price for price in use.repriced}
    known = prices.get(at)
    if known is not None and known.usd_per_hour >= entry.usd_per_hour:
        return use
    return replace(use, repriced=tuple(price for _, price in sorted((prices | {at: entry}).items())))
