"""PURE: the ledger: which machine existed when, at which price, and for whom. It outlives the logs of deployments."""

from collections.abc import Collection, Iterable
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


class MachineClosed(Struct, frozen=True, kw_only=True, tag=True):
    """The machine is gone."""

    deployment: DeploymentId
    attempt: int
    ended: datetime
    estimated: bool = True
    """Whether the end is by our clock: the cloud did not tell it, or had not yet. A later entry may correct it."""


LedgerEntry: TypeAlias = (
    DeploymentBooked | MachineReserved | ReservationReleased | MachineBooked | MachineClosed | TokensCounted
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

    def cost(self, since: datetime | None, until: datetime) -> Decimal:
        """USD for the part of its life between two times; 0 if its price is unknown.

        `since` None: from its creation.
        """
        return _for(self.booked.usd_per_hour, self.seconds(since, until))

    def saved(self, since: datetime | None, until: datetime) -> Decimal:
        """USD that spot has saved compared with on demand; 0 if a price is unknown."""
        spot, usual = self.booked.usd_per_hour, self.booked.on_demand_usd_per_hour
        if not self.booked.spot or spot is None or usual is None:
            return Decimal(0)
        return _for(usual - spot, self.seconds(since, until))

    def seconds(self, since: datetime | None, until: datetime) -> Decimal:
        """Length of the part of its life between two times, in seconds."""
        began = self.booked.began if since is None else max(self.booked.began, since)
        ended = until if self.ended is None else min(self.ended, until)
        # In UTC: Python subtracts two times of the same zone by its wall clock, whose days may have 23 or 25 hours.
        return Decimal(max((ended.astimezone(UTC) - began.astimezone(UTC)).total_seconds(), 0))


class Book(Struct, frozen=True, kw_only=True):
    """The fold of the ledger."""

    owners: dict[DeploymentId, DeploymentBooked] = {}
    uses: dict[tuple[DeploymentId, int], Use] = {}
    """By deployment and attempt."""
    counts: dict[Replica, TokensCounted] = {}
    """The newest count of each replica."""
    tokens: dict[tuple[DeploymentId, datetime], Tokens] = {}
    """By deployment and hour."""
    reserved: dict[tuple[DeploymentId, int], MachineReserved] = {}
    """By deployment and attempt: the machines that were requested, and of which nothing is known yet."""

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
            return MachineReserved(deployment=deployment, attempt=request.attempt, usd_per_hour=most, at=at)
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
    book = onto or Book()
    owners, uses, reserved = dict(book.owners), dict(book.uses), dict(book.reserved)
    counts, tokens = dict(book.counts), dict(book.tokens)
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
                uses.setdefault(
                    (entry.deployment, entry.attempt), Use(booked=entry, owner=owners.get(entry.deployment))
                )
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
    return Book(owners=owners, uses=uses, reserved=reserved, counts=counts, tokens=tokens)


def _for(usd_per_hour: Decimal | None, seconds: Decimal) -> Decimal:
    return Decimal(0) if usd_per_hour is None else usd_per_hour * seconds / 3600
