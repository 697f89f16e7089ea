"""PURE: the ladder as groups of rungs with one outcome and one reason, and what more quota would save."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from bot.views import offers
from bot.views.amounts import CENT, count
from workers.deployment.attempt import LIVE, MAY_COST, Attempt, Phase
from workers.deployment.state import Deployment
from workers.placement.ladder import Rung
from workers.placement.offer import Offer
from workers.placement.refusals import Refusal, blocking

_QUOTAS = re.compile(
    r"https://(?:[a-z0-9-]+\.)?console\.(?:aws\.amazon|cloud\.google)\.com/[\w./?=&:-]*quotas[\w./?=&:-]*"
)
"""The pages of the clouds on which more quota is requested."""


class RungOutcome(StrEnum):
    REFUSED = "refused"  # by the cloud, or ruled out by a refusal
    LOST = "lost"  # a machine was made, and failed
    ASKED = "asked"  # the cloud has not answered yet
    TAKEN = "taken"  # a machine exists
    NEXT = "next"  # not tried yet
    UNUSABLE = "unusable"  # known before any request


class RungGroup(Struct, frozen=True, kw_only=True):
    """Offers of one cloud with the same outcome, for the same reason."""

    outcome: RungOutcome
    offers: tuple[Offer, ...]
    cause: str = ""
    """Without a full stop; a cloud's text may be in it."""
    mend: str = ""
    """What a person can do about it, without the page of a quota."""
    quota: str = ""
    """The address at which more quota is requested; empty if quota is not the cause."""
    attempt: Attempt | None = None


class MissingQuota(Struct, frozen=True, kw_only=True):
    """The offer that would save most if its quota sufficed."""

    offer: Offer
    quota: str
    """The address at which more is requested."""
    saves: Decimal
    """USD per hour, for all replicas."""


def groups(deployment: Deployment, now: datetime) -> tuple[RungGroup, ...]:
    """What was tried, cheapest first, then the current machines, what comes next, and what cannot be taken."""
    answered, coming = _answered(deployment, now)
    current = [a for a in deployment.attempts if a.phase in MAY_COST]
    return (
        *_refused(answered),
        *_lost(deployment.attempts),
        *(_current(attempt) for attempt in current),
        *(RungGroup(outcome=RungOutcome.NEXT, offers=fold.offers) for fold in offers.by_price(coming)),
        *_unusable(r for r in deployment.rungs if not r.usable),
    )


def missing_quota(deployment: Deployment, now: datetime) -> MissingQuota | None:
    """None if no quota is missing for an offer that is cheaper than what is paid, or is asked for next."""
    answered, coming = _answered(deployment, now)
    priced = [
        (offer.usd_per_hour, offer, page)
        for offer, refusal in answered.items()
        if offer.usd_per_hour is not None and (page := quota_page(refusal.sentence))
    ]
    if not priced:
        return None
    price, offer, page = min(priced, key=lambda one: one[0])
    saves = sum((max(paid - price, Decimal(0)) for paid in _paid(deployment, coming)), Decimal(0))
    return MissingQuota(offer=offer, quota=page, saves=saves) if saves >= CENT else None


def quota_page(sentence: str) -> str:
    """The address in a refusal's sentence at which more quota is requested; empty if there is none."""
    found = _QUOTAS.search(sentence)
    return found[0] if found else ""


def _paid(deployment: Deployment, coming: Sequence[Rung]) -> list[Decimal]:
    """The prices of the replicas, or of the next offer for as many as are wanted."""
    live = [a.offer.usd_per_hour for a in deployment.live]
    if not live:
        price = coming[0].offer.usd_per_hour if coming else None
        live = [price] * deployment.wanted
    return [price for price in live if price is not None]


def _answered(deployment: Deployment, now: datetime) -> tuple[dict[Offer, Refusal], list[Rung]]:
    """The refusal of each offer that is ruled out, and the rungs that are next."""
    found: dict[Offer, Refusal] = {}
    for attempt in deployment.attempts:
        for refusal in attempt.refusal.refusals if attempt.refusal else ():
            found.update(dict.fromkeys(refusal.offers, refusal))
    asked = {o for a in deployment.attempts for o in a.request.offers}
    recorded = [a.refusal for a in deployment.attempts if a.refusal]
    coming = []
    for rung in deployment.rungs:
        if not rung.usable or rung.offer in asked:
            continue
        if by := blocking(rung.offer, recorded, now):
            found[rung.offer] = by
        else:
            coming.append(rung)
    current = {o for a in deployment.attempts if a.phase in LIVE for o in a.request.offers if a.machine is None}
    current |= {a.offer for a in deployment.attempts if a.phase in LIVE}
    return {offer: refusal for offer, refusal in found.items() if offer not in current}, coming


def _refused(answered: dict[Offer, Refusal]) -> list[RungGroup]:
    """One group for each reason: a code of a cloud, or any quota of it."""
    by_reason: dict[tuple[str, str, bool], list[tuple[Offer, Refusal]]] = {}
    for offer, refusal in answered.items():
        code = "quota" if quota_page(refusal.sentence) else refusal.code
        by_reason.setdefault((offer.cloud, code, offer.spot), []).append((offer, refusal))
    found = [_of_group(sorted(group, key=lambda one: _price(one[0]))) for group in by_reason.values()]
    return sorted(found, key=lambda one: _price(one.offers[0]))


def _of_group(group: Sequence[tuple[Offer, Refusal]]) -> RungGroup:
    sentences = [refusal.sentence.rstrip(".").partition(". ") for _, refusal in group]
    causes = list(dict.fromkeys(cause for cause, _, _ in sentences))
    page = quota_page(group[0][1].sentence)
    if len(causes) > 1:
        others = len(causes) - 1
        alike = count(others, "other quota is", "other quotas are") + " too small, too"
        causes[0] += f"; {alike if page else count(others, 'similar refusal')}"
    return RungGroup(
        outcome=RungOutcome.REFUSED,
        offers=tuple(offer for offer, _ in group),
        cause=causes[0] or "refused",
        mend="" if page else sentences[0][2],
        quota=page,
    )


def _lost(attempts: Iterable[Attempt]) -> list[RungGroup]:
    by_reason: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts:
        if attempt.phase in (Phase.FAILED, Phase.PREEMPTED):
            why = attempt.why.rstrip(".") or attempt.phase.value
            by_reason.setdefault((attempt.offer.cloud, why), []).append(attempt)
    return [
        RungGroup(
            outcome=RungOutcome.LOST, offers=tuple(dict.fromkeys(a.offer for a in group)), cause=why, attempt=group[-1]
        )
        for (_, why), group in by_reason.items()
    ]


def _current(attempt: Attempt) -> RungGroup:
    if attempt.phase is Phase.PROVISIONING:
        return RungGroup(outcome=RungOutcome.ASKED, offers=attempt.request.offers, attempt=attempt)
    return RungGroup(outcome=RungOutcome.TAKEN, offers=(attempt.offer,), attempt=attempt)


def _unusable(rungs: Iterable[Rung]) -> list[RungGroup]:
    by_reason: dict[tuple[str, str, str], list[Rung]] = {}
    for rung in rungs:
        by_reason.setdefault((rung.offer.cloud, rung.reason or "", rung.mend or ""), []).append(rung)
    return [
        RungGroup(
            outcome=RungOutcome.UNUSABLE,
            offers=tuple(rung.offer for rung in group),
            # The group names the cloud already.
            cause=reason.removeprefix(f"{offers.cloud(cloud)}: ").rstrip(".") or "cannot be taken",
            mend=mend.rstrip("."),
        )
        for (cloud, reason, mend), group in by_reason.items()
    ]


def _price(offer: Offer) -> Decimal:
    return Decimal("Infinity") if offer.usd_per_hour is None else offer.usd_per_hour
