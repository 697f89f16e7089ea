"""A snapshot in place of the events before it: the events after it lead to the same state."""

from datetime import timedelta

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.builders.long_logs import ID, dry_after_a_loss, wandering
from tests.ladder_bench import largest_by_day
from tests.recorded import decoded, plain, read, recorded
from workers.deployment import snapshot
from workers.deployment.attempt import Attempt
from workers.deployment.events import SNAPSHOT_SCHEMA, EventId, NewerEvent, Snapshotted
from workers.deployment.log import _encode, decode
from workers.deployment.snapshot import SNAPSHOT_AFTER, ids_in, snapshot_of
from workers.deployment.state import Deployment, fold
from workers.deployment.working_set import Left
from workers.errors import UnreadableLog

REQUIRED = {
    Deployment: {
        "id", "version", "name", "recipe", "place", "limits", "wanted", "requested_at", "updated_at", "tries_from",
    },
    Attempt: {"request", "phase", "since", "intended_at", "expires_at"},
    Left: set(),
}  # fmt: skip
"""The fields without a default, by type."""


@pytest.fixture
def short(monkeypatch):
    """Every log is long."""
    monkeypatch.setattr(snapshot, "SNAPSHOT_AFTER", 1)
    monkeypatch.setattr(snapshot, "EVENTS_PER_ATTEMPT", 0)


def of(id_, events):
    made = snapshot_of(id_, events, EventId("5" * 16), events[-1].at + timedelta(seconds=1))
    assert made is not None
    return decode(_encode(made))


def alike(state):
    """A state without what a snapshot adds: its own event."""
    return replace(state, version=0, snapshot=0)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("seed", range(12))
def test_the_events_after_a_snapshot_lead_to_the_state_that_the_whole_log_leads_to(seed):
    log = wandering(seed)
    events = [event for event in log.events if event is not log.events[-1] or not log.state.ended]
    for cut in range(1, len(events), 7):
        shortened = [of(ID, events[:cut]), *events[cut:]]
        after = fold(ID, shortened)
        assert alike(after) == alike(fold(ID, events))
        assert after.version == len(events) + 1
        # A reader that had an earlier state goes on from the snapshot, whatever it had not read.
        assert fold(ID, shortened, onto=fold(ID, events[: cut // 2])) == after
        assert fold(ID, [*events[:cut], *shortened]) == after


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.stem)
def test_a_recorded_log_is_continued_from_a_snapshot_at_each_version(path):
    header, lines = read(path)
    events = decoded(lines)
    whole = fold(header.deployment, events)
    for cut in range(1 + isinstance(events[0], Snapshotted), len(events)):
        if fold(header.deployment, events[:cut]).ended is not None:
            break
        state = fold(header.deployment, [of(header.deployment, events[:cut]), *events[cut:]])
        assert plain(state, events[-1].at) | {"version": 0} == plain(whole, events[-1].at) | {"version": 0}


def test_the_log_of_a_dry_ladder_is_smaller_than_two_megabytes_on_each_day_and_does_not_grow():
    log = dry_after_a_loss(timedelta(days=3))
    days = largest_by_day(log)
    assert SNAPSHOT_AFTER < 2000
    assert max(days) < 2_000_000
    assert days[2] < 1.1 * days[1]


@pytest.mark.usefixtures("short")
def test_what_was_requested_once_is_known_after_two_snapshots():
    log = wandering(1)
    first = replace(log.events[0], event_id=EventId("once-trigger"))
    events = [first, *log.events[1:20]]
    again = [of(ID, [of(ID, events[:9]), *events[9:]])]
    assert EventId("once-trigger") in ids_in(again)
    assert set(ids_in(again)) == {EventId("once-trigger"), again[0].event_id}


@pytest.mark.usefixtures("short")
def test_a_snapshot_of_a_higher_schema_is_an_event_of_a_newer_version():
    log = wandering(1)
    newer = replace(of(ID, log.events[:9]), schema=SNAPSHOT_SCHEMA + 1)
    found = decode(_encode(newer))
    assert isinstance(found, NewerEvent)
    assert fold(ID, [*log.events[:9], found]).newer == "Snapshotted"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("state", [b"{}", b'"x"', b'{"id": 1}'])
def test_a_snapshot_that_cannot_be_read_is_ignored_where_the_events_before_it_are_known(state):
    log = wandering(1)
    broken = replace(of(ID, log.events[:9]), state=Raw(state))
    assert alike(fold(ID, [*log.events[:9], broken])) == alike(fold(ID, log.events[:9]))
    with pytest.raises(UnreadableLog, match=f"mixtral:d:{ID}"):
        fold(ID, [broken, *log.events[9:]])
    with pytest.raises(UnreadableLog):  # the log was shortened since these events were read
        fold(ID, [broken, *log.events[9:]], onto=fold(ID, log.events[:5]))


@pytest.mark.usefixtures("short")
def test_a_state_with_an_event_of_a_newer_version_is_not_replaced():
    log = wandering(1)
    events = [*log.events[:9], NewerEvent(type="MachineAdopted")]
    assert snapshot_of(ID, events, EventId("5" * 16), log.now) is None


@pytest.mark.parametrize("kind", [Deployment, Attempt, Left])
def test_a_field_that_is_new_has_a_default_since_snapshots_of_earlier_versions_lack_it(kind):
    """If earlier versions would decide otherwise without the field, raise SNAPSHOT_SCHEMA, too: see decision 14."""
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    assert required == REQUIRED[kind]
