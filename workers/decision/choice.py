"""PURE: which offers to request next, and why there is none."""

from collections import Counter
from collections.abc import Container, Iterable
from datetime import datetime
from decimal import Decimal

from workers.decision.ceiling import is_over, room
from workers.decision.mix import Lack, mix_of, open_offers
from workers.decision.retry_policy import failures_in_a_row
from workers.decision.zones import Region, region_of
from workers.deployment.state import Deployment
from workers.placement.offer import Offer
from workers.placement.refusals import MISCONFIGURED, blocking, in_force


def launchable(
    state: Deployment, lacking: Iterable[Lack], now: datetime, without: Container[Region] = ()
) -> tuple[Offer, ...]:
    """The offers for the next call: those of the first of `lacking` that has an open offer; empty if none has one.

    None of them is in a place of `without`, or takes the replicas over the deployment's ceiling.
    """
    mix, failures, left = mix_of(state.recipe, spot=state.limits.spot), failures_in_a_row(state), room(state)
    rungs = [rung for rung in state.rungs if not is_over(rung, left) and region_of(rung.offer) not in without]

    def offers(lack: Lack) -> tuple[Offer, ...]:
        return open_offers(
            lack, mix,
            rungs=rungs, attempts=state.attempts, failures=failures, refusals=state.refusals, now=now,
        )  # fmt: skip

    return next((found for lack in lacking if (found := offers(lack))), ())


def is_misconfigured(state: Deployment, now: datetime) -> bool:
    """Whether every usable rung needs another recipe, so that neither time nor the cloud's settings help."""
    refusals = in_force(state.refusals, now)
    against = [blocking(r.offer, refusals, now) for r in state.rungs if r.usable]
    return bool(against) and all(refusal is not None and refusal.code in MISCONFIGURED for refusal in against)


def why_dry(state: Deployment, lack: Lack, now: datetime) -> str:
    """Why no rung of the ladder can be tried now: each cause with its number of offers, and how to fix it."""
    if not state.rungs:
        return (
            state.why_no_rungs or "No machine in the price table and none here satisfies this recipe with these limits."
        )
    refusals = in_force(state.refusals, now)
    against = [(r, blocking(r.offer, refusals, now)) for r in state.rungs if r.usable]
    causes = Counter(refusal.sentence for _, refusal in against if refusal is not None)
    causes.update(r.reason for r in state.rungs if not r.usable and r.reason)
    mends = dict.fromkeys(r.mend for r in state.rungs if not r.usable and r.mend)
    left = room(state)
    if left is not None and (over := sum(is_over(r, left) for r, refusal in against if refusal is None)):
        causes[_over(state, left)] = over
        mends[_higher(state)] = None
    if not causes:
        return f"No machine on the ladder can be {lack}. Wider limits on price, GPUs or clouds may help."
    counted = "; ".join(f"{times} offer{'s' * (times > 1)}: {why}" for why, times in causes.most_common())
    sentence = f"No machine is available. {counted}."
    return sentence + (" To fix it: " + "; or ".join(mends) + "." if mends else "")


def _over(state: Deployment, left: Decimal) -> str:
    return (
        f"the ceiling of {state.ceiling:.2f} USD/h leaves {max(left, Decimal(0)):.2f} USD/h for a further replica, "
        "and each costs more"
    )


def _higher(state: Deployment) -> str:
    if state.live or state.established:
        return f"a higher ceiling, which `/mixtral scale {state.name} {state.wanted}` sets by the present prices"
    return "another launch, whose ceiling is set by the present prices"
