"""Appends what a gateway would append, for tests without HAProxy: routes and ended drains."""

from datetime import datetime

from workers.deployment.attempt import Phase
from workers.deployment.events import EndpointPublished, ReplicaDrained
from workers.deployment.log import Log, stamp
from workers.deployment.state import Deployment

URL = "http://gateway.example"


def route(log: Log, state: Deployment | None, now: datetime) -> None:
    """Append the events that a gateway would have appended for this state."""
    if state is None or state.ended or state.stopped_by is not None:
        return
    if state.ready and state.endpoint is None:
        log.append(state.id, state.version, [EndpointPublished(**stamp(now), url=URL)])
        return
    for attempt in state.attempts:
        if attempt.phase is Phase.DRAINING:
            log.record(state.id, state.version, [ReplicaDrained(**stamp(now), attempt=attempt.number)])
