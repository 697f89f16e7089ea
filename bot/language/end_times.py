"""PURE: when a launch is to end or to pause: `--for 8h`, `--until 18:00` and `--hours`."""

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from bot.language.command import Launch
from bot.language.values import InvalidValue, quoted
from recipes.hours import InvalidHours, hours_of

SHORTEST = timedelta(minutes=30)
"""Minimum time from a launch to its end: a large model needs minutes to start, and the end is announced before."""
LONGEST = timedelta(days=90)

_SPAN = re.compile(r"(?:([0-9]{1,4})d)?(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m(?:in)?)?")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}")


def lasts(text: str, flag: str = "--for") -> timedelta:
    """The duration of `--for`, or of another flag. Raises InvalidValue."""
    rule = f"{flag} takes days, hours and minutes, as in {flag} 8h, {flag} 90m or {flag} 1d12h"
    found = _SPAN.fullmatch(text.lower())
    if found is None or not text:
        raise InvalidValue(f"{rule}; {quoted(text)} is not one.")
    days, hours, minutes = (int(part or 0) for part in found.groups())
    span = timedelta(days=days, hours=hours, minutes=minutes)
    if not SHORTEST <= span <= LONGEST:
        raise InvalidValue(f"{rule}, from 30m to {LONGEST.days}d.")
    return span


def hours(text: str) -> str:
    """The hours of `--hours`, as `recipes.hours` writes them. Raises InvalidValue."""
    try:
        return hours_of(text).text
    except InvalidHours as wrong:
        raise InvalidValue(f"--hours: {wrong}") from wrong


def until(text: str) -> time | datetime:
    """The time of `--until`: of the day, or with a date, without a time zone. Raises InvalidValue."""
    rule = "--until takes a time of the day in your time zone, as in --until 18:00, or with a date: 2026-12-24T18:00"
    try:
        if found := _TIME.fullmatch(text):
            return time(int(found[1]), int(found[2]))
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidValue(f"{rule}; {quoted(text)} does not exist.") from error
    raise InvalidValue(f"{rule}; {quoted(text)} is not one.")


def end_of(launch: Launch, now: datetime, zone: tzinfo) -> datetime | None:
    """When the deployment is to end, in UTC; None if a person ends it. `zone`: of the person. Raises InvalidValue.

    A time of the day is the next one. One that a change of the clocks skips is an hour later.
    """
    if launch.lasts is not None:
        return now + launch.lasts
    if launch.until is None:
        return None
    at = _next(launch.until, now, zone) if isinstance(launch.until, time) else launch.until.replace(tzinfo=zone)
    try:
        end = at.astimezone(UTC)
    except OverflowError as error:
        raise InvalidValue(f"--until {written(launch.until)} does not exist. Give another time.") from error
    if end - now < SHORTEST:
        raise InvalidValue(f"--until {written(launch.until)} is less than 30 minutes away, or over. Give a later time.")
    if end - now > LONGEST:
        raise InvalidValue(
            f"--until {written(launch.until)} is more than {LONGEST.days} days away. Give an earlier one."
        )
    return end


def _next(at: time, now: datetime, zone: tzinfo) -> datetime:
    today = now.astimezone(zone).date()
    first = datetime.combine(today, at, zone)
    return first if first > now else datetime.combine(today + timedelta(days=1), at, zone)


def written(at: time | datetime) -> str:
    """As `until` reads it."""
    return at.strftime("%H:%M") if isinstance(at, time) else at.strftime("%Y-%m-%dT%H:%M")


def span(length: timedelta) -> str:
    """As `lasts` reads it: `8h`, `1d12h30m`."""
    minutes = int(length.total_seconds()) // 60
    parts = ((minutes // 1440, "d"), (minutes % 1440 // 60, "h"), (minutes % 60, "m"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
