"""PURE: the rate of requests to a deployment, computed from the gateway's counters."""

import itertools
from datetime import datetime, timedelta

from msgspec import Struct

QPS_WINDOW = timedelta(seconds=60)
"""Time over which the rate is averaged; SkyServe's value."""
STALE = timedelta(seconds=30)
"""Maximum age of an observation, and maximum time between two consecutive ones."""


class Tally(Struct, frozen=True, kw_only=True):
    """One reading of a counter of the gateway."""

    at: datetime
    requests: int
    """Number of requests since the gateway started; 0 after a restart."""


def kept(tallies: tuple[Tally, ...], newest: Tally) -> tuple[Tally, ...]:
    """The tallies to keep, oldest first: those in QPS_WINDOW, and the last one before them."""
    begin = newest.at - QPS_WINDOW
    before = [tally for tally in tallies if tally.at <= begin][-1:]
    return (*before, *(tally for tally in tallies if begin < tally.at < newest.at), newest)


def qps(tallies: tuple[Tally, ...]) -> float:
    """Requests per second over the time of `tallies`, oldest first, and at least over QPS_WINDOW; 0 for fewer than two.

    A tally that is lower than the previous one follows a restart, and counts the requests since then.
    """
    if len(tallies) < 2:  # noqa: PLR2004 - a rate is between two
        return 0.0
    arrived = 0
    for one, next_one in itertools.pairwise(tallies):
        arrived += next_one.requests - (one.requests if next_one.requests >= one.requests else 0)
    # Over a shorter time, one request in the first second of a gateway would be a high rate.
    return arrived / max(tallies[-1].at - tallies[0].at, QPS_WINDOW).total_seconds()
