"""Reports of a boot: which ones the log keeps, in any order of arrival."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workers.deployment.boot_stages import REPORTED_EVERY, Stage, is_news, reported
from workers.machines import BootPhase, BootReport

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PULL = BootReport(phase=BootPhase.PULLING, done=10, total=1000)
REPORTS = st.builds(
    BootReport, phase=st.sampled_from(BootPhase), done=st.integers(0, 10**12), total=st.integers(0, 10**12)
)


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def test_the_same_percent_is_no_news_and_neither_is_another_one_within_ten_seconds():
    stages = reported((), PULL, NOON)
    assert not is_news(stages, BootReport(phase=BootPhase.PULLING, done=19, total=1000), after(60))
    assert not is_news(stages, BootReport(phase=BootPhase.PULLING, done=500, total=1000), after(9))
    assert is_news(stages, BootReport(phase=BootPhase.PULLING, done=20, total=1000), after(10))
    assert is_news(stages, BootReport(phase=BootPhase.LOADING), after(1))
    assert is_news(stages, BootReport(phase=BootPhase.INSTALLING), after(1)), "the recipe's setup, in the image"
    assert not is_news(stages, None, after(60))


def test_after_a_reboot_no_phase_begins_again():
    stages = reported(reported((), BootReport(phase=BootPhase.BOOTING), NOON), PULL, after(60))
    assert not is_news(stages, BootReport(phase=BootPhase.BOOTING), after(99))
    loading = reported(stages, BootReport(phase=BootPhase.LOADING), after(120))
    assert reported(loading, BootReport(phase=BootPhase.INSTALLING), after(130)) == loading


def test_bytes_of_an_unknown_total_are_news_by_the_gigabyte():
    stages = reported((), BootReport(phase=BootPhase.LOADING), NOON)
    assert not is_news(stages, BootReport(phase=BootPhase.LOADING, done=999_999_999), after(60))
    assert is_news(stages, BootReport(phase=BootPhase.LOADING, done=10**9), after(60))


def test_an_engine_that_is_started_again_has_made_no_progress_until_more_is_there_than_before():
    begun, most = BootReport(phase=BootPhase.LOADING), BootReport(phase=BootPhase.LOADING, done=90 * 10**9)
    stages = reported(reported((), begun, NOON), most, after(300))
    assert not is_news(stages, begun, after(400))
    stages = reported(reported(stages, begun, after(400)), most, after(420))
    assert stages[-1].moved_at == after(300)


def test_more_bytes_than_there_are_make_no_more_than_a_hundred_percent():
    [stage] = reported((), BootReport(phase=BootPhase.PULLING, done=30, total=10), NOON)
    assert stage.percent == 100


@given(st.lists(st.tuples(st.integers(0, 100), REPORTS), max_size=60))
def test_in_any_order_each_phase_begins_at_most_once_and_a_report_that_is_no_news_changes_no_start(told):
    stages: tuple[Stage, ...] = ()
    now = NOON
    for seconds, report in told:
        now += timedelta(seconds=seconds)
        news = is_news(stages, report, now)
        later = reported(stages, report, now)
        assert [s.since for s in later[: len(stages)]] == [s.since for s in stages]
        assert news or len(later) == len(stages)
        stages = later
    assert len({stage.phase for stage in stages}) == len(stages)
    assert BootPhase.LOADING not in [stage.phase for stage in stages[:-1]]


@given(st.lists(st.tuples(st.integers(0, 3), REPORTS), max_size=200))
def test_reports_of_one_phase_are_kept_ten_seconds_apart(told):
    stages: tuple[Stage, ...] = ()
    now, kept = NOON, []
    for seconds, report in told:
        now += timedelta(seconds=seconds)
        if is_news(stages, report, now):
            if stages and stages[-1].phase is report.phase:
                kept.append(now - stages[-1].reported_at)
            stages = reported(stages, report, now)
    assert all(pause >= REPORTED_EVERY for pause in kept)
