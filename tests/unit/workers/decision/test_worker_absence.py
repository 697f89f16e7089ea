"""Whether workers answer: only what an observer has seen for a minute counts, and not the age of a heartbeat."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from workers.decision.worker_absence import WorkersAway, answers, away, away_by_age, seen
from workers.heartbeats import Heartbeat, WorkerPart

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def beats(sweeper=0, jobs=0, age=0):
    parts = {WorkerPart.SWEEPER: sweeper, WorkerPart.JOBS: jobs}
    return [
        Heartbeat(part=part, host="h", at=NOON + timedelta(seconds=at), age=timedelta(seconds=age))
        for part, at in parts.items()
        if at is not None
    ]


def looked(*looks, swept=False):
    """What is seen after looks at (monotonic seconds, heartbeats)."""
    found = None
    for now, there in looks:
        found = seen(found, there, now, swept=swept)
    return found


def test_a_part_is_away_after_a_minute_without_a_change_and_the_sweeper_is_said_first():
    assert away(looked((0, beats()), (59, beats())), 59.9) is None
    assert away(looked((0, beats()), (59, beats())), 60) == WorkersAway(since=NOON, observed=False)
    assert away(looked((0, beats()), (59, beats(sweeper=50))), 89.9) is None
    assert away(looked((0, beats()), (59, beats(sweeper=50))), 90) == WorkersAway(since=NOON, observed=True)
    assert away(looked((0, beats()), (59, beats(sweeper=50, jobs=50))), 90) is None


def test_machines_are_not_called_observed_if_both_parts_froze_and_the_last_job_was_earlier():
    frozen = (15, beats(sweeper=15))
    verdicts = [away(looked((0, beats()), frozen, (now, beats(sweeper=15))), now) for now in range(15, 200)]
    assert [v.observed for v in verdicts if v] == [False] * 125


def test_it_is_known_that_workers_answer_only_once_both_have_moved():
    assert not answers(looked((0, beats())), 1)
    assert not answers(looked((0, beats()), (5, beats(sweeper=5))), 5)
    assert answers(looked((0, beats()), (5, beats(sweeper=5, jobs=5)), (8, beats(sweeper=5, jobs=5))), 8)
    assert not answers(None, 8)


def test_a_host_that_was_removed_before_the_clock_of_redis_was_set_back_hides_no_other():
    def there(at):
        gone = [msgspec.structs.replace(beat, host="gone") for beat in beats(sweeper=7200, jobs=7200)]
        return [*gone, *beats(sweeper=at, jobs=at)]

    seen_so_far = looked(*((now, there(now)) for now in range(0, 300, 5)))
    assert away(seen_so_far, 295) is None
    assert answers(seen_so_far, 295)
    assert away(looked((0, there(0)), (300, there(0))), 300) is not None


def test_the_age_of_a_heartbeat_alone_raises_no_alarm():
    assert away(looked((0, beats(age=3600))), 1) is None
    assert away(None, 1) is None


def test_without_heartbeats_the_lease_decides():
    none = beats(None, None)
    assert away(looked((0, none), (100, none), swept=True), 100) is None
    assert away(looked((0, none), (100, none)), 100) == WorkersAway(since=None, observed=False)
    assert away_by_age(none, swept=True) is None
    assert away_by_age(none, swept=False) == WorkersAway(since=None, observed=False)


def test_one_who_asks_is_told_by_age():
    assert away_by_age(beats(age=59), swept=True) is None
    assert away_by_age(beats(age=60), swept=True) == WorkersAway(since=NOON, observed=False)
    late = [b for b in beats(age=90) if b.part is WorkerPart.JOBS]
    assert away_by_age([*late, *beats(jobs=None)], swept=True) == WorkersAway(since=NOON, observed=True)


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), max_size=40))
def test_a_part_is_away_exactly_if_no_look_of_its_time_saw_it_move(steps):
    now, at, found, moved = 0, [0, 0], None, [0, 0]
    found = seen(found, beats(*at), now, swept=False)
    for length, *beat in steps:
        now += length
        for n in (0, 1):
            if beat[n]:
                at[n], moved[n] = now, now
        found = seen(found, beats(*at), now, swept=False)
        expected = [now - moved[0] >= 60, now - moved[1] >= 90]
        verdict = away(found, now)
        assert (verdict is not None) == any(expected)
        if verdict is not None:
            assert verdict.observed == (not expected[0])
