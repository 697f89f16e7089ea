"""PURE: when to send what has come: as often as Slack's tiers let all open answers together."""

from datetime import timedelta

from msgspec import Struct


class Pace(Struct, frozen=True, kw_only=True):
    """How often one Slack method may be called."""

    least: timedelta
    """Between two calls of one answer, however few are open."""
    per_minute: int
    """Calls of all open answers together."""


STREAMED = Pace(least=timedelta(seconds=0.6), per_minute=80)
"""chat.appendStream: tier 4, 100 and more a minute for a workspace."""

UPDATED = Pace(least=timedelta(seconds=1.2), per_minute=30)
"""chat.update: tier 3, 50 and more a minute for a workspace, of which the cards need some."""

FOR_CARDS = 4
"""Number of calls of chat.update that stay available to the cards of deployments."""

ENOUGH = 40
"""So many characters are worth a call; fewer may wait for another interval."""

ROTATE_AFTER = timedelta(minutes=4)
"""Slack ends a stream after about five minutes, however busy it is."""


def interval(pace: Pace, open_answers: int) -> timedelta:
    """Between two calls of one answer while so many are open."""
    return max(pace.least, timedelta(minutes=1) * max(open_answers, 1) / pace.per_minute)


def wait(pace: Pace, *, open_answers: int, pending: int, since: timedelta | None) -> timedelta:
    """How long to wait before the next call, when `pending` characters have not been sent.

    `since` is the time from the last call, None before the first: a first word is shown at once.
    """
    every = interval(pace, open_answers)
    if not pending:
        return pace.least
    if since is None:
        return timedelta()
    due = every if pending >= ENOUGH else every * 2
    return max(due - since, timedelta())
