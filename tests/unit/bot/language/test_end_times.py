"""When a launch is to end, in the time zone of the person."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.language.command import Launch
from bot.language.end_times import LONGEST, SHORTEST, end_of, lasts, span, until
from bot.language.values import InvalidValue

PARIS = ZoneInfo("Europe/Paris")
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("8h", timedelta(hours=8)),
        ("90m", timedelta(minutes=90)),
        ("45min", timedelta(minutes=45)),
        ("2d", timedelta(days=2)),
        ("1D12H", timedelta(days=1, hours=12)),
    ],
)
def test_a_duration_is_read(text, length):
    assert lasts(text) == length


@pytest.mark.parametrize(
    "text", ["", "8", "h", "eight hours", "-8h", "8h8h", "1.5h", "29m", "91d", "0h", "٨h", "9999d"]
)
def test_a_duration_that_is_none_or_out_of_range_is_refused_with_the_rule(text):
    with pytest.raises(InvalidValue, match="--for takes days, hours and minutes, as in --for 8h"):
        lasts(text)


@given(st.integers(SHORTEST // timedelta(minutes=1), LONGEST // timedelta(minutes=1)))
def test_a_duration_is_written_as_it_is_read(minutes):
    assert lasts(span(timedelta(minutes=minutes))) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "18", "25:00", "18:60", "6pm", "2026-13-01T10:00", "tomorrow"])
def test_a_time_that_is_none_is_refused_with_the_rule(text):
    with pytest.raises(InvalidValue, match="--until takes a time of the day in your time zone"):
        until(text)


@pytest.mark.parametrize(
    ("text", "now", "end"),
    [
        # In winter, Paris is one hour ahead of UTC.
        ("18:00", NOON, "2026-11-30T17:00"),
        ("09:00", NOON, "2026-12-01T08:00"),
        ("13:45", NOON, "2026-11-30T12:45"),
        ("2026-12-24T18:00", NOON, "2026-12-24T17:00"),
        # The clocks go forward at 02:00 on 28 March 2027: there is no 02:30, and 18:00 is one hour earlier in UTC.
        ("02:30", datetime(2027, 3, 27, 20, tzinfo=UTC), "2027-03-28T01:30"),
        ("18:00", datetime(2027, 3, 27, 20, tzinfo=UTC), "2027-03-28T16:00"),
        # They go back at 03:00 on 25 October 2026: of the two 02:30, the first.
        ("02:30", datetime(2026, 10, 24, 20, tzinfo=UTC), "2026-10-25T00:30"),
        ("18:00", datetime(2026, 10, 24, 20, tzinfo=UTC), "2026-10-25T17:00"),
    ],
)
def test_a_time_of_the_day_is_the_next_one_in_the_zone_of_the_person(text, now, end):
    found = end_of(Launch(until=until(text)), now, PARIS)
    assert found == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize("at", [time(13, 15), datetime(2026, 11, 29, 18), datetime(2026, 11, 30, 13, 29)])  # noqa: DTZ001
def test_an_end_that_is_too_near_or_over_is_refused(at):
    with pytest.raises(InvalidValue, match="less than 30 minutes away, or over"):
        end_of(Launch(until=at), NOON, PARIS)


def test_an_end_that_is_too_far_away_is_refused():
    with pytest.raises(InvalidValue, match="more than 90 days away"):
        end_of(Launch(until=datetime(2027, 11, 29, 18)), NOON, PARIS)  # noqa: DTZ001


def test_a_launch_that_says_nothing_of_its_end_has_none():
    assert end_of(Launch(), NOON, PARIS) is None


@pytest.mark.parametrize(
    ("text", "zone"), [("9999-12-31T23:59", "America/Los_Angeles"), ("0001-01-01T00:00", "Asia/Tokyo")]
)
def test_an_end_that_no_calendar_has_is_refused(text, zone):
    with pytest.raises(InvalidValue, match="does not exist"):
        end_of(Launch(until=until(text)), NOON, ZoneInfo(zone))
