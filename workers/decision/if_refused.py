"""PURE: the request that follows if a cloud refuses one, so that it can be prepared while that one is made."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from workers.decision.next_step import LaunchReplica, next_step
from workers.deployment.attempt import Attempt
from workers.deployment.events import EventId, OfferRefused
from workers.deployment.state import Deployment, fold
from workers.placement.refusals import Refusal, Scope

LASTS = timedelta(minutes=5)


def if_refused(
    state: Deployment, attempt: Attempt, now: datetime, asked: Mapping[int, timedelta]
) -> LaunchReplica | None:
    """The next request if none of the attempt's offers has capacity, or None. `asked`: the ages of the open calls."""
    dry = Refusal(offers=attempt.request.offers, sentence="no capacity", code="", scope=Scope.ZONE, lasts=LASTS)
    event = OfferRefused(event_id=EventId("if refused"), at=now, attempt=attempt.number, refusals=(dry,))
    refused = fold(state.id, [event], onto=state)
    if refused is None:
        return None
    others = {number: age for number, age in asked.items() if number != attempt.number}
    step = next_step(refused, now, asked=others)
    return step if isinstance(step, LaunchReplica) else None
