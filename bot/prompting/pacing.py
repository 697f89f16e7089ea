"""PURE: when to send new text, so that all open answers together stay within Slack's rate limits."""

from datetime import timedelta

from msgspec import Struct


class Pace(Struct, frozen=True, kw_only=True):
    """How often one Slack method may be called."""

    least: timedelta
    """Minimum time between two calls for one answer."""
    per_minute: int
    """Maximum number of calls of all open answers together."""


STREAMED = Pace(least=timedelta(seconds=0.6), per_minute=80)
"""chat.appendStream: tier 4, 100 and more a minute for a workspace."""

UPDATED = Pace(least=timedelta(seconds=1.2), per_minute=30)
"""chat.update: tier 3, 50 and more a minute for a workspace. The cards need some of them."""

THINKING_SHOWN_AFTER = timedelta(seconds=2)
"""Time for which a model thinks before its answer shows that it thinks."""
THINKING_EVERY = timedelta(seconds=5)
"""Minimum interval at which an answer shows for how long its model has been thinking."""

FOR_CARDS = 4
"""Number of calls of chat.update that stay available to the cards of deployments."""

ENOUGH = 40
"""Minimum number of unsent characters that justifies an API call; fewer wait for one more interval."""

ROTATE_AFTER = timedelta(minutes=4)
"""Maximum age of a stream. Slack ends a stream after about five minutes, even while text is appended."""


def interval(pace: Pace, open_answers: int) -> timedelta:
    """Return the time between two calls for one answer while `open_answers` are being written."""
    return max(pace.least, timedelta(minutes=1) * max(open_answers, 1) / pace.per_minute)


def wait(pace: Pace, *, open_answers: int, pending: int, since: timedelta | None) -> timedelta:
    """Return how long to wait before the next call, with `pending` unsent characters.

    `since` is the time since the last call; None before the first call, which is made immediately.
    """
    every = interval(pace, open_answers)
    if not pending:
        return pace.least
    if since is None:
        return timedelta()
    due = every if pending >= ENOUGH else every * 2
    return max(due - since, timedelta())
