"""PURE: hours of the week in a time zone: `mon-fri 09:00-19:00 Europe/Paris`."""

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Struct

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
RULE = 'Hours are days, times and a time zone, as in "mon-fri 09:00-19:00 Europe/Paris"'

_TIMES = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_MIDNIGHT = 24 * 60
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_SEARCHED = 16
"""Days in which the next change is searched: two weeks, because the change of the clocks may skip the hours of the
first, and a day on each side for the time zone."""
_COVERED = timedelta(days=8)
"""Time in the hours from which they cover the whole week."""


class InvalidHours(ValueError):
    """Hours that are not valid. The message is one or two sentences: the cause, and how to mend it."""


class Window(Struct, frozen=True, order=True):
    """A time of one weekday, in minutes since midnight."""

    day: int
    opens: int
    closes: int

    def __str__(self) -> str:
        return f"{DAYS[self.day]} {_clock(self.opens)}-{_clock(self.closes)}"


class Hours(Struct, frozen=True, kw_only=True):
    """When a deployment is to run. Windows are in order and do not overlap."""

    text: str
    windows: tuple[Window, ...]
    zone: str


@lru_cache(maxsize=256)
def hours_of(text: str) -> Hours:
    """The hours that a text gives. Raises InvalidHours."""
    *words, zone = text.replace(",", " ").split() or [""]
    if not words:
        raise InvalidHours(f"{RULE}.")
    _check_zone(zone)
    windows = tuple(sorted(_windows(words)))
    for one, following in itertools.pairwise(windows):
        if one.day == following.day and following.opens < one.closes:
            raise InvalidHours(f"The hours {one} and {following} overlap. Join them, or leave one of them out.")
    return Hours(text=f"{' '.join(words).lower()} {zone}", windows=windows, zone=zone)


def opens_after(hours: Hours, at: datetime) -> datetime:
    """The first moment from `at` on that is in the hours, in UTC; `at` itself if it is."""
    at = at.astimezone(UTC)
    return next((max(opens, at) for opens, closes in _intervals(hours, at) if closes > at), at + _SEARCHED * _DAY)


def closes_after(hours: Hours, at: datetime) -> datetime | None:
    """The first moment from `at` on that is outside the hours, in UTC; None if they cover the whole week."""
    at = at.astimezone(UTC)
    closes = next((closes for opens, closes in _intervals(hours, at) if opens <= at < closes), at)
    return None if closes - at > _COVERED else closes


def is_open(hours: Hours, at: datetime) -> bool:
    return next((opens <= at for opens, closes in _intervals(hours, at) if closes > at), False)


def in_zone(at: datetime, hours: Hours) -> str:
    """A moment for people who may be anywhere: `Mon 2026-11-30 09:00 Europe/Paris`."""
    return f"{at.astimezone(ZoneInfo(hours.zone)):%a %Y-%m-%d %H:%M} {hours.zone}"


def _intervals(hours: Hours, at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The times in the hours around `at` and in two weeks after it, in UTC, in order; those that touch are joined."""
    zone = ZoneInfo(hours.zone)
    first = at.astimezone(zone).date() - _DAY
    begun: tuple[datetime, datetime] | None = None
    for number in range(_SEARCHED + 1):
        day = first + number * _DAY
        for window in hours.windows:
            if window.day != day.weekday():
                continue
            opens, closes = _moment(day, window.opens, zone, fold=0), _moment(day, window.closes, zone, fold=1)
            if opens == closes:
                continue  # the change of the clocks skips it
            if begun is not None and opens <= begun[1]:
                begun = begun[0], max(begun[1], closes)
                continue
            if begun is not None:
                yield begun
            begun = opens, closes
    if begun is not None:
        yield begun


def _moment(day: date, minutes: int, zone: ZoneInfo, *, fold: int) -> datetime:
    """A time of a day in UTC. One that the change of the clocks skips is the moment of the change.

    One that it repeats is its first occurrence where hours open (`fold` 0), and its last where they close (1).
    """
    local = datetime.combine(day, time()) + minutes * _MINUTE
    while True:
        moment = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == local:
            return moment
        local += _MINUTE


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """Read once: the list is read from the files of all zones, which takes 15 ms."""
    return frozenset(available_timezones())


def _check_zone(zone: str) -> None:
    known = _zones()
    if zone in known:
        return
    if _TIMES.fullmatch(zone) or zone.lower()[:3] in DAYS:
        raise InvalidHours(f"The time zone is missing at the end. {RULE}.")
    near = get_close_matches(zone, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Give one as in Europe/Paris, America/New_York or UTC."
    raise InvalidHours(f"There is no time zone {zone[:60]}. {hint}")


def _windows(words: list[str]) -> Iterator[Window]:
    """Times hold for the days before them: `mon-thu 09:00-19:00 fri 09:00-12:00 13:00-17:00`; without days, for all."""
    days: list[int] = []
    after_times = False
    for word in map(str.lower, words):
        if found := _TIMES.fullmatch(word):
            opens, closes = _span(word, [int(part) for part in found.groups()])
            yield from (Window(day, opens, closes) for day in days or range(len(DAYS)))
            after_times = True
        else:
            days = [*([] if after_times else days), *_days(word)]
            after_times = False
    if not after_times:
        raise InvalidHours(f"The times are missing after {words[-1][:60]}. {RULE}.")


def _days(word: str) -> list[int]:
    first, _, last = word.partition("-")
    if first not in DAYS or (last or first) not in DAYS or word.endswith("-"):
        raise InvalidHours(f"{word[:60]} is neither a day (mon, tue-thu) nor a time (09:00-19:00). {RULE}.")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return [day % len(DAYS) for day in range(begin, end + 1 + (len(DAYS) if end < begin else 0))]


def _span(word: str, parts: list[int]) -> tuple[int, int]:
    opens, closes = parts[0] * 60 + parts[1], parts[2] * 60 + parts[3]
    if max(parts[1], parts[3]) > 59 or closes > _MIDNIGHT or opens >= _MIDNIGHT:  # noqa: PLR2004 - minutes of an hour
        raise InvalidHours(f"{word} is no time of a day. Times are from 00:00 to 24:00.")
    if opens >= closes:
        split = f"{_clock(opens)}-24:00 and, for the next days, 00:00-{_clock(closes)}"
        raise InvalidHours(f"{word} closes before it opens. If it is to run over midnight, give {split}.")
    return opens, closes


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
