"""Hours of the week: their grammar, and when they open and close, also when the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.hours import InvalidHours, closes_after, hours_of, in_zone, is_open, opens_after

PARIS = ZoneInfo("Europe/Paris")
OFFICE = hours_of("mon-fri 09:00-19:00 Europe/Paris")


def paris(text, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("mon-fri 09:00-19:00 Europe/Paris", ["mon 09:00-19:00", "fri 09:00-19:00"]),
        ("Mon,Wed 9:00-12:00, 13:00-19:00, Europe/Paris", ["mon 09:00-12:00", "wed 13:00-19:00"]),
        ("mon-thu 09:00-19:00 fri 09:00-17:00 UTC", ["mon 09:00-19:00", "fri 09:00-17:00"]),
        ("fri-mon 00:00-24:00 UTC", ["mon 00:00-24:00", "sun 00:00-24:00"]),
        ("09:00-19:00 Asia/Tokyo", ["mon 09:00-19:00", "sun 09:00-19:00"]),
    ],
)
def test_hours_are_read(text, windows):
    hours = hours_of(text)
    assert [str(hours.windows[0]), str(hours.windows[-1])] == windows
    assert hours_of(hours.text).windows == hours.windows


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Hours are days, times and a time zone"),
        ("Europe/Paris", "Hours are days, times and a time zone"),
        ("mon-fri 09:00-19:00", "The time zone is missing"),
        ("mon-fri 09:00-19:00 Europe/Pari", "There is no time zone Europe/Pari. Did you mean Europe/Paris?"),
        ("mon-fri 09:00-19:00 ../../etc/passwd", "There is no time zone"),
        ("mon-fri 19:00-09:00 Europe/Paris", "19:00-09:00 closes before it opens"),
        ("mon-fri 09:00-09:00 Europe/Paris", "closes before it opens"),
        ("mon-fri 09:00-25:00 Europe/Paris", "no time of a day"),
        ("mon-fri 09:60-10:00 Europe/Paris", "no time of a day"),
        ("mon-fri 09:00-12:00 wed 11:00-13:00 Europe/Paris", "wed 09:00-12:00 and wed 11:00-13:00 overlap"),
        ("monday 09:00-12:00 Europe/Paris", "monday is neither a day"),
        ("mon-fri Europe/Paris", "The times are missing after mon-fri"),
        ("mon 09:00-12:00 tue Europe/Paris", "The times are missing after tue"),
    ],
)
def test_hours_that_cannot_be_meant_are_refused_with_a_sentence(text, sentence):
    with pytest.raises(InvalidHours, match=sentence):
        hours_of(text)


def test_an_office_opens_and_closes_on_weekdays():
    assert is_open(OFFICE, paris("2026-11-30T09:00"))
    assert not is_open(OFFICE, paris("2026-11-30T08:59:59"))
    assert not is_open(OFFICE, paris("2026-11-30T19:00"))
    assert closes_after(OFFICE, paris("2026-11-30T12:00")) == paris("2026-11-30T19:00")
    assert opens_after(OFFICE, paris("2026-12-04T19:00")) == paris("2026-12-07T09:00")
    assert closes_after(OFFICE, paris("2026-12-05T12:00")) == paris("2026-12-05T12:00")
    assert in_zone(utc("2026-12-07T08:00"), OFFICE) == "Mon 2026-12-07 09:00 Europe/Paris"


def test_hours_that_touch_at_midnight_are_one():
    night = hours_of("mon 20:00-24:00 tue 00:00-06:00 Europe/Paris")
    assert closes_after(night, paris("2026-11-30T21:00")) == paris("2026-12-01T06:00")


def test_hours_that_cover_the_week_never_close():
    assert closes_after(hours_of("00:00-24:00 Europe/Paris"), paris("2026-11-30T21:00")) is None


def test_after_the_clocks_change_the_hours_follow_the_wall():
    assert opens_after(OFFICE, paris("2026-10-23T20:00")) == utc("2026-10-26T08:00")  # winter time from the 25th on
    assert opens_after(OFFICE, paris("2027-03-26T20:00")) == utc("2027-03-29T07:00")  # summer time from the 28th on


@pytest.mark.parametrize(
    ("window", "opens", "closes"),
    [
        ("02:30-05:00", "2027-03-28T01:00", "2027-03-28T03:00"),  # opens in the gap: when it ends
        ("00:30-02:30", "2027-03-27T23:30", "2027-03-28T01:00"),  # closes in the gap
        ("02:30-03:15", "2027-03-28T01:00", "2027-03-28T01:15"),
        ("01:00-04:00", "2027-03-28T00:00", "2027-03-28T02:00"),  # two hours long
    ],
)
def test_hours_around_the_hour_that_spring_skips(window, opens, closes):
    hours = hours_of(f"sun {window} Europe/Paris")
    assert opens_after(hours, paris("2027-03-27T12:00")) == utc(opens)
    assert closes_after(hours, utc(opens)) == utc(closes)


def test_hours_within_the_hour_that_spring_skips_do_not_open_on_that_day():
    hours = hours_of("sun 02:10-02:50 Europe/Paris")
    assert opens_after(hours, paris("2027-03-27T12:00")) == paris("2027-04-04T02:10")
    assert opens_after(hours, paris("2027-03-21T03:00")) == paris("2027-04-04T02:10")


@pytest.mark.parametrize(
    ("window", "opens", "closes"),
    [
        ("02:30-05:00", "2026-10-25T00:30", "2026-10-25T04:00"),  # opens at the first 02:30
        ("00:30-02:30", "2026-10-24T22:30", "2026-10-25T01:30"),  # closes at the second
        ("02:15-02:45", "2026-10-25T00:15", "2026-10-25T01:45"),  # one time, not two with a pause of 30 minutes
        ("02:10-02:20 02:30-02:40", "2026-10-25T00:10", "2026-10-25T01:40"),
        ("01:00-04:00", "2026-10-24T23:00", "2026-10-25T03:00"),  # four hours long
    ],
)
def test_hours_around_the_hour_that_autumn_repeats(window, opens, closes):
    hours = hours_of(f"sun {window} Europe/Paris")
    assert opens_after(hours, paris("2026-10-24T12:00")) == utc(opens)
    assert closes_after(hours, utc(opens)) == utc(closes)


TEXTS = st.sampled_from(
    ["mon-fri 09:00-19:00", "sun 02:30-02:45", "sat-sun 00:00-24:00", "20:00-24:00 00:00-03:00", "tue 02:00-03:00"]
)
ZONES = st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "UTC"])


@settings(deadline=None)  # the first use of a time zone reads its file
@given(TEXTS, ZONES, st.integers(0, 365 * 24 * 60))
def test_each_change_is_the_next_one(text, zone, minutes):
    """Before the next change nothing changes, and at it everything does."""
    hours, at = hours_of(f"{text} {zone}"), utc("2026-06-01T00:00") + timedelta(minutes=minutes)
    opened = is_open(hours, at)
    change = closes_after(hours, at) if opened else opens_after(hours, at)
    assert change is not None
    assert change > at
    assert is_open(hours, change) is not opened
    assert is_open(hours, change - timedelta(seconds=1)) is opened
    local = at.astimezone(ZoneInfo(zone))
    if opened and not (text.startswith("sun 02") or local.utcoffset() != (local - timedelta(days=1)).utcoffset()):
        assert f"{local:%a}".lower() in _days(text) or text[0].isdigit()


def _days(text):
    return {str(window).split(" ")[0] for window in hours_of(f"{text} UTC").windows}
