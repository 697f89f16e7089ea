"""PURE: what is observed of a deployment's load."""

import itertools
from datetime import datetime, timedelta

from msgspec import Struct

QPS_WINDOW = timedelta(seconds=60)
"""SkyServe's: the rate is a mean over so long."""
STALE = timedelta(seconds=30)
"""An older observation says nothing of now, and a longer gap between two ends what was seen in a row."""


class Tally(Struct, frozen=True, kw_only=True):
    """A counter of the gateway, as read once."""

    at: datetime
    requests: int
    """Requests since the gateway started; a restart begins again at 0."""


def kept(tallies: tuple[Tally, ...], newest: Tally) -> tuple[Tally, ...]:
    """The tallies to remember, oldest first: those of the window, and the one at or before its beginning."""
    begin = newest.at - QPS_WINDOW
    before = [tally for tally in tallies if tally.at <= begin][-1:]
    return (*before, *(tally for tally in tallies if begin < tally.at < newest.at), newest)


def qps(tallies: tuple[Tally, ...]) -> float:
    """Requests per second over the last QPS_WINDOW of tallies, oldest first; over what there is of it, if less.

    A tally below the one before it tells of a restart, and what it counts came since. One tally alone says 0.
    """
    if len(tallies) < 2:  # noqa: PLR2004 - a rate is between two
        return 0.0
    arrived = 0
    for one, next_one in itertools.pairwise(tallies):
        arrived += next_one.requests - (one.requests if next_one.requests >= one.requests else 0)
    # A rate over the first second of a gateway would make a single request look like a crowd.
    return arrived / max(tallies[-1].at - tallies[0].at, QPS_WINDOW).total_seconds()
