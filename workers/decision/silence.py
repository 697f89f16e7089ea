"""PURE: calls without an answer: when the next offer is requested beside one, and which attempt then counts.

Since a call was made   What happens
----------------------  --------------------------------------------------------------------------------------------
15 s without an answer  the next offer in another place is requested beside it, if budget and ceiling allow both
an answer               with a machine: of the two machines, the less ready one ends, or the more expensive one
60 s without an answer  the call counts as unanswered. If another attempt has taken its place, or could take it, it is
                        given up: its machine is looked for by its token, and ended; else it is requested again
"""

from collections.abc import Collection, Container, Iterable, Mapping
from datetime import datetime, timedelta

from workers.decision.zones import Region, region_of
from workers.deployment.attempt import LIVE, Attempt, Phase
from workers.deployment.state import Deployment

ASKED_BESIDE_AFTER = timedelta(seconds=15)
"""Age of a call without an answer at which it no longer delays the launch. Most calls of GCE take 5 to 30 s."""

UNKNOWN_AFTER = timedelta(seconds=60)
"""Age of a call at which its answer is not waited for any more. Whether it made a machine is unknown."""

NO_ANSWER = f"its cloud gave no answer for {UNKNOWN_AFTER.total_seconds():.0f} s"

MAX_UNANSWERED = 3
"""Maximum number of attempts without an answer beside which another one is requested."""

MAX_AT_ONCE = 8
"""Maximum number of replicas of a deployment that are requested at the same time."""


def superseded(attempts: Collection[Attempt]) -> frozenset[int]:
    """The numbers of the attempts without an answer whose place another live attempt has taken, by the log."""
    beside = {a.number: a.beside for a in attempts}
    taken: set[int] = set()
    for attempt in attempts:
        number = attempt.beside if attempt.phase in LIVE else 0
        while number and number not in taken:
            taken.add(number)
            number = beside.get(number, 0)
    return frozenset(a.number for a in attempts if a.number in taken and a.phase is Phase.PROVISIONING)


def late(
    attempts: Iterable[Attempt], asked: Mapping[int, timedelta], silent: Container[int], now: datetime
) -> tuple[Attempt, ...]:
    """The attempts whose cloud has not answered in time, the oldest first. A local machine is never late.

    `asked`: the age of each open call. `silent`: numbers of the attempts whose call has just failed.
    """
    return tuple(
        a
        for a in attempts
        if a.phase is Phase.PROVISIONING
        and a.offer.cloud != "local"
        and (
            asked.get(a.number, timedelta()) >= ASKED_BESIDE_AFTER
            or (a.number in silent and now - a.since >= ASKED_BESIDE_AFTER)
        )
    )


def silent_places(attempts: Iterable[Attempt], late: Container[int]) -> frozenset[Region]:
    """The places where a call has no answer, or where it is not known whether one made a machine."""
    return frozenset(
        region_of(a.offer)
        for a in attempts
        if a.machine is None and (a.number in late or a.phase is Phase.SHUTTING_DOWN)
    )


def is_unsettled(state: Deployment) -> bool:
    """Whether it is not known yet if a call made a machine. The deployment is not ended meanwhile.

    After its end, only a list of its cloud would show the machine, and nothing would release its reservation.
    """
    return any(a.phase is Phase.SHUTTING_DOWN and a.machine is None for a in state.attempts)


def is_settled_since(state: Deployment, at: datetime, now: datetime) -> bool:
    """Whether a call was found to have made no machine after this time: what was reserved for it is free again."""
    return any(a.machine is None and a.gone_at is not None and at < a.gone_at <= now for a in state.attempts)


def is_climbing(state: Deployment) -> bool:
    """Whether the newest answer of a cloud is a refusal: then one replica at a time looks for an offer."""
    answered = [a for a in state.attempts if a.machine is not None or a.phase is Phase.REFUSED]
    return bool(answered) and max(answered, key=lambda a: a.number).phase is Phase.REFUSED
