"""PURE: what the control loop cannot do with the machines of a deployment: since when, why, and the consequence."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never

from msgspec import Struct

from bot.views import offers
from bot.views.amounts import moment, usd_per_hour
from bot.views.escape import clip, inert
from workers.deployment.attempt import Attempt
from workers.deployment.condition import without_lease
from workers.deployment.events import Control, ControlLost
from workers.deployment.state import Deployment

MAX_WHY = 400
NAMED = 4

MENTIONED_AFTER = timedelta(minutes=1)
"""Time after which people are mentioned in the thread."""


class Loss(Struct, frozen=True, kw_only=True):
    """One kind of control over some machines in one place, lost for one reason."""

    first: ControlLost
    attempts: tuple[Attempt, ...]


def losses(deployment: Deployment) -> tuple[Loss, ...]:
    """What the control loop cannot do, ends first."""
    found: dict[tuple[Control, str], list[tuple[ControlLost, Attempt]]] = {}
    for attempt in deployment.attempts:
        for one in attempt.lost:
            found.setdefault((one.what, offers.place(attempt.offer)), []).append((one, attempt))
    order = (Control.END, Control.EXTEND, Control.LIST)
    return tuple(
        Loss(first=min((one for one, _ in group), key=lambda one: one.since), attempts=tuple(a for _, a in group))
        for (what, _), group in sorted(found.items(), key=lambda item: order.index(item[0][0]))
    )


def lines(deployment: Deployment, now: datetime) -> list[str]:
    """The warnings, one per line; empty if the control loop can list, extend and end every machine."""
    over = without_lease(deployment, now)
    return [*([lease_over(over)] if over else []), *(sentence(loss) for loss in losses(deployment))]


def sentence(loss: Loss) -> str:
    """What has failed and since when, the cloud's error, and the consequence."""
    where, which = offers.place(loss.attempts[0].offer), replicas(loss.attempts)
    since, why = moment(loss.first.since), inert(clip(loss.first.why.rstrip("."), MAX_WHY))
    lease = f"Without an extension of the lease, {which} will end {_until(loss.attempts)}."
    match loss.first.what:
        case Control.LIST:
            late = f"An end of {which} would be noticed late"
            return f"{where} has not listed its machines since {since}: {why}. {late}. {lease}"
        case Control.EXTEND:
            return f"Requests to extend the lease of {which} in {where} have failed since {since}: {why}. {lease}"
        case Control.END:
            return (
                f"Requests to end {which} in {where} have failed since {since}: {why}. {_cost(loss.attempts)}. {lease}"
            )
        case _ as never:
            assert_never(never)


def lease_over(attempts: tuple[Attempt, ...]) -> str:
    """The warning that leases have run out and that the log contains no extension."""
    ran_out = f"The lease of {replicas(attempts)} ran out {_until(attempts)}, and no worker has extended it"
    return f"{ran_out}. The machine has probably ended. Check that `mixtral-bot worker` runs."


def replicas(attempts: Iterable[Attempt]) -> str:
    """`replica 1`, `replicas 1 and 2`, `5 replicas`."""
    numbers = sorted({a.replica for a in attempts})
    if len(numbers) > NAMED:
        return f"{len(numbers)} replicas"
    head, last = ", ".join(map(str, numbers[:-1])), str(numbers[-1])
    return f"replicas {head} and {last}" if head else f"replica {last}"


def _cost(attempts: tuple[Attempt, ...]) -> str:
    made = [a for a in attempts if a.machine is not None]
    prices = [a.offer.usd_per_hour for a in made if a.offer.usd_per_hour is not None]
    if not made:
        return "Whether a machine was made is not known"
    return f"This costs {usd_per_hour(sum(prices, start=Decimal(0)))}" if prices else "The price is not known"


def _until(attempts: Iterable[Attempt]) -> str:
    return moment(min(a.expires_at for a in attempts))
