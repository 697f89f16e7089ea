"""Builders of attempts in any phase, without a log."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from tests.builders.events import BEGIN
from tests.builders.machines import machine, refusal, request
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.events import EventId, Failure, OfferRefused
from workers.placement.offer import Offer


def attempt(
    number: int, taken: Offer, phase: Phase = Phase.READY, *, at: datetime = BEGIN, age: timedelta = timedelta(0)
) -> Attempt:
    """An attempt whose phase began at `at` and whose machine was created `age` earlier."""
    began = at - age
    asked = request(f"d-{number}", (taken,), attempt=number, replica=number)
    has_machine = phase not in (Phase.PROVISIONING, Phase.REFUSED)
    gone = phase in (Phase.PREEMPTED, Phase.FAILED, Phase.ENDED)
    return Attempt(
        request=asked,
        phase=phase,
        since=at,
        intended_at=began,
        expires_at=asked.expires_at,
        machine=machine(asked, created_at=began) if has_machine else None,
        ready_at=began if phase in (Phase.READY, Phase.NOT_READY, Phase.DRAINING, Phase.PREEMPTED) else None,
        gone_at=at if gone else None,
        failure=Failure.CRASHED if phase is Phase.FAILED else None,
    )


def refused(number: int, offers: Sequence[Offer], *, at: datetime = BEGIN, **more: Any) -> Attempt:
    """An attempt that was refused at `at`; `more` are fields of Refusal."""
    event = OfferRefused(event_id=EventId(f"e{number}"), at=at, attempt=number, refusals=(refusal(offers, **more),))
    return replace(attempt(number, offers[0], Phase.REFUSED, at=at), refusal=event)
