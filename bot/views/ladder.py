"""PURE: the ladder as text: attempts and their outcomes, the next rungs, and the unusable rungs."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from bot.views import offers
from bot.views.amounts import duration, per_hour_and_day, usd_per_hour
from bot.views.blocks import MAX_SECTION, listed
from bot.views.escape import clip, inert, link
from bot.views.rungs import MissingQuota, RungGroup, RungOutcome, groups
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.state import Deployment
from workers.placement.ladder import Rung
from workers.placement.offer import Offer

MAX_NEXT = 3
MAX_REASON = 360
MAX_BRIEF = 4
MAX_REMEDIES = 3

REQUEST_QUOTA = "Request quota"

SIGNS = {
    RungOutcome.REFUSED: "✕",
    RungOutcome.LOST: "✕",
    RungOutcome.ASKED: "▸",
    RungOutcome.TAKEN: "✓",
    RungOutcome.NEXT: "○",
    RungOutcome.UNUSABLE: "⊘",
}

_CODE_OR_VARIABLE = re.compile(r"`[^`]*`|\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


def tells_something(deployment: Deployment) -> bool:
    """Whether the ladder adds to the rest of the card: it has a refusal, several rungs, or an unusable one."""
    barred = any(not rung.usable for rung in deployment.rungs)
    return barred or len(deployment.rungs) > 1 or any(a.refusal for a in deployment.attempts)


def ladder(deployment: Deployment, now: datetime, *, linked: bool = True) -> str:
    """The whole ladder, long parts folded; mrkdwn. `linked`: with the pages on which quota is requested."""
    title = "*The ladder, cheapest first*" if in_order(deployment) else "*What was tried, then what comes next*"
    found = groups(deployment, now)
    coming = [group for group in found if group.outcome is RungOutcome.NEXT]
    lines = [title]
    for group in found:
        if group.outcome is not RungOutcome.NEXT or group in coming[:MAX_NEXT]:
            lines.append(_line(group, now, linked=linked))
        elif group is coming[MAX_NEXT]:
            lines.extend(_and_more([o for later in coming[MAX_NEXT:] for o in later.offers]))
    old = offers.read_ago((rung.offer for rung in deployment.rungs), now)
    note = f"\n_The oldest of these prices was read {old}._" if old else ""
    return listed(lines, MAX_SECTION - len(note)) + note


def brief(deployment: Deployment, now: datetime) -> str:
    """The ladder in a few lines, where Slack shows no `plan` block."""
    return listed(ladder(deployment, now, linked=False).splitlines()[:MAX_BRIEF])


def in_order(deployment: Deployment) -> bool:
    """Whether the attempts are in price order: a replica that is added later starts at the cheapest rung again."""
    prices = [a.offer.usd_per_hour or 0 for a in deployment.attempts if a.phase is not Phase.ENDED]
    return prices == sorted(prices)


def rungs(ladder_: Sequence[Rung], limit: int) -> tuple[str, ...]:
    """A ladder without attempts: the first `limit` usable rungs with their price per day, then the unusable ones."""
    usable = [r for r in ladder_ if r.usable]
    folds = offers.by_price(usable)
    lines = [f"{number}. {_offer(fold)}" for number, fold in enumerate(folds[:limit], start=1)]
    rest = [o for fold in folds[limit:] for o in fold.offers]
    return (*lines, *_and_more(rest), *cannot(r for r in ladder_ if not r.usable))


def cannot(barred: Iterable[Rung]) -> tuple[str, ...]:
    """The unusable rungs, each with its reason."""
    folds = offers.by_kind(barred)
    lines = [f"{SIGNS[RungOutcome.UNUSABLE]} {_offer(fold)}: {_reason(fold)}" for fold in folds[:12]]
    return (*lines, *_and_more([o for fold in folds[12:] for o in fold.offers]))


def mends(ladder_: Iterable[Rung], *, over: bool = False) -> str:
    """How to make more rungs usable; empty if no fix is known. `over`: the deployment has ended."""
    known = dict.fromkeys((r.offer.cloud, r.mend) for r in ladder_ if not r.usable and r.mend)
    lines = [f"• {offers.cloud(cloud)}: {_variables(clip(inert(mend), 400))}" for cloud, mend in known]
    if not lines:
        return ""
    then = "\nThen launch it again." if over else ""
    return listed(["*How to fix it*", *lines], MAX_SECTION - len(then)) + then


def remedies(deployment: Deployment, now: datetime) -> str:
    """What a person can do about each reason, in a line for each cloud; empty if nothing is known."""
    found = [group for group in groups(deployment, now) if group.mend or group.quota]
    lines = dict.fromkeys(f"• {offers.cloud(group.offers[0].cloud)}: {_remedy(group)}" for group in found)
    if not lines:
        return ""
    then = ", then launch it again" if deployment.ended else ""
    return listed([f"*How to fix it*{then}:", *list(lines)[:MAX_REMEDIES]])


def _remedy(group: RungGroup) -> str:
    if group.quota:
        return link(group.quota, REQUEST_QUOTA)
    mend = _variables(clip(inert(group.mend), MAX_REASON))
    return f"{mend[:1].upper()}{mend[1:]}"


def lacking(missing: MissingQuota) -> str:
    """The offer that would save most if its quota sufficed, in one line with the page of the quota."""
    offer = missing.offer
    return (
        f"{offers.machine(offer)} at {offers.place(offer)} would cost {usd_per_hour(missing.saves)} less, "
        f"but quota is missing. {link(missing.quota, REQUEST_QUOTA)}"
    )


def label(offers_: Sequence[Offer]) -> str:
    """The kinds of machines, and their places."""
    return f"{offers.machines(offers_)}, {offers.places(offers_)}"


def outcome(attempt: Attempt) -> str:
    """What became of a machine, in a few words."""
    match attempt.phase:
        case Phase.PROVISIONING:
            return "asking now"
        case phase:
            return f"replica {attempt.replica} is {phase.value}"


def _variables(text: str) -> str:
    """The text with names of environment variables as code."""
    return _CODE_OR_VARIABLE.sub(lambda found: found[0] if found[0].startswith("`") else f"`{found[0]}`", text)


def _line(group: RungGroup, now: datetime, *, linked: bool) -> str:
    head = f"{SIGNS[group.outcome]} *{offers.prices(group.offers)}* {label(group.offers)}"
    if group.attempt and group.outcome in (RungOutcome.ASKED, RungOutcome.TAKEN):
        is_short = group.attempt.phase in (Phase.PROVISIONING, Phase.STARTING)
        elapsed = f", {duration(now - group.attempt.since)}" if is_short else ""
        return f"{head}: {outcome(group.attempt)}{elapsed}"
    said = inert(clip(group.cause, MAX_REASON))
    if group.outcome is RungOutcome.REFUSED and group.mend:
        said += f". {inert(clip(group.mend, MAX_REASON))}"
    if group.quota and linked:
        said += f". {link(group.quota, REQUEST_QUOTA)}"
    return f"{head}: {said}" if said else head


def _and_more(rest: Sequence[Offer]) -> tuple[str, ...]:
    if not rest:
        return ()
    known = [o for o in rest if o.usd_per_hour is not None]
    up_to = f", up to {offers.price(max(known, key=lambda o: o.usd_per_hour or 0))}" if known else ""
    return (f"… and {len(rest)} more{up_to}",)


def _offer(fold: offers.Fold) -> str:
    prices = {o.usd_per_hour for o in fold.offers}
    price = fold.first.offer.usd_per_hour
    uncertain = offers.UNCERTAIN if any(o.doubtful for o in fold.offers) else ""
    shown = f"{per_hour_and_day(price)}{uncertain}" if price and len(prices) == 1 else offers.prices(fold.offers)
    return f"*{shown}* {offers.machine(fold.first.offer)}, {offers.places(fold.offers)}"


def _reason(fold: offers.Fold) -> str:
    reason = fold.first.reason or "cannot be taken"
    name = offers.cloud(fold.first.offer.cloud)
    # The line already names the cloud.
    return inert(clip(reason.removeprefix(f"{name}: ").rstrip("."), MAX_REASON))
