"""Attempts at machines in any phase, told without a log."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from tests.builders.machines import request
from workers.clouds.driver import Machine, Refusal, Scope
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.events import EventId, Failure, OfferRefused
from workers.placement.offer import Offer, Rung

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def offer(zone, usd, *, spot=True, on_demand=None, **more):
    """One A100 machine; its zone's region is the zone without its last two letters."""
    plain = {"cloud": "gcp", "region": zone[:-2], "instance_type": "t", "accelerator": "A100", "count": 8}
    return Offer(
        zone=zone,
        spot=spot,
        usd_per_hour=Decimal(str(usd)),
        on_demand_usd_per_hour=None if on_demand is None else Decimal(str(on_demand)),
        **plain | more,
    )


def ladder(*offers):
    return tuple(Rung(offer=one, usable=True) for one in offers)


def attempt(number, taken, phase=Phase.READY, *, at=START, age=timedelta(0)):
    """Whose last change was at `at`, and whose machine was made `age` earlier."""
    began = at - age
    asked = request(f"d-{number}", (taken,), attempt=number, replica=number)
    has_machine = phase not in (Phase.PROVISIONING, Phase.REFUSED)
    machine = Machine(
        token=asked.token, id=f"m{number}", cloud=taken.cloud, offer=taken, address=None, created_at=began
    )
    gone = phase in (Phase.PREEMPTED, Phase.FAILED, Phase.ENDED)
    return Attempt(
        request=asked,
        phase=phase,
        since=at,
        intended_at=began,
        expires_at=asked.expires_at,
        machine=machine if has_machine else None,
        ready_at=began if phase in (Phase.READY, Phase.NOT_READY, Phase.DRAINING, Phase.PREEMPTED) else None,
        gone_at=at if gone else None,
        failure=Failure.CRASHED if phase is Phase.FAILED else None,
    )


def refused(number, offers, *, at=START, lasts=timedelta(minutes=5), scope=Scope.ZONE):
    refusal = Refusal(offers=tuple(offers), sentence="no capacity", code="SHORT", scope=scope, lasts=lasts)
    event = OfferRefused(event_id=EventId(f"e{number}"), at=at, attempt=number, refusals=(refusal,))
    return replace(attempt(number, offers[0], Phase.REFUSED, at=at), refusal=event)
