"""PURE: the snapshot that replaces the events of a log that has grown long, and what is still known of them."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from workers.deployment.events import (
    SNAPSHOT_SCHEMA,
    DeploymentId,
    EventId,
    LoggedEvent,
    Snapshotted,
    Version,
)
from workers.deployment.state import Deployment, fold

SNAPSHOT_AFTER = 1000
"""Number of events since the last snapshot after which a log is long. A climb of a dry ladder writes about 100."""

EVENTS_PER_ATTEMPT = 2
"""A log is not long before this number of events for each attempt in its state: a snapshot repeats all of them."""

REQUESTS_KEPT = 200
"""Number of ids of requests that a snapshot keeps, so that a repetition of one has no effect."""

_RANDOM = re.compile("[0-9a-f]{16}")
"""The ids of `log.new_event_id`. Others identify a request."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Deployment).decode


def is_long(state: Deployment) -> bool:
    """Whether the log of this state is to be replaced by a snapshot. It is not if a newer version decides here."""
    since = state.version - state.snapshot
    long = since >= max(SNAPSHOT_AFTER, EVENTS_PER_ATTEMPT * len(state.attempts))
    return long and state.ended is None and not state.newer


def snapshot_of(
    deployment: DeploymentId, events: Sequence[LoggedEvent], event_id: EventId, at: datetime
) -> Snapshotted | None:
    """The snapshot of a log; None if its state cannot be read back as it is."""
    state = fold(deployment, events)
    if state is None or not is_long(state):
        return None
    encoded = _encode(state)
    if _decode(encoded) != state:
        return None
    return Snapshotted(
        event_id=event_id,
        at=at,
        version=Version(state.version + 1),
        schema=SNAPSHOT_SCHEMA,
        state=msgspec.Raw(encoded),
        requests=tuple(id_ for id_ in ids_in(events) if not _RANDOM.fullmatch(id_))[-REQUESTS_KEPT:],
    )


def ids_in(events: Sequence[LoggedEvent]) -> Iterator[EventId]:
    """The ids of all events, oldest first; of those before a snapshot, the ones that show that a request was done."""
    for event in events:
        if isinstance(event, Snapshotted):
            yield from event.requests
        yield event.event_id
