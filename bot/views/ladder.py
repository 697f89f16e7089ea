"""PURE: the ladder as text: attempts and their outcomes, the next rungs, and the unusable rungs."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter

from msgspec import Struct

from bot.views import offers
from bot.views.amounts import count, duration
from bot.views.blocks import MAX_SECTION, listed
from bot.views.escape import clip, escape, inert
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.state import Deployment
from workers.placement.ladder import Rung
from workers.placement.refusals import blocking

MAX_TRIED = 6
MAX_NEXT = 3
MAX_REASON = 240

UNSUCCESSFUL = frozenset({Phase.REFUSED, Phase.FAILED, Phase.PREEMPTED})

REFUSED = "✕"
ASKED = "▸"
TAKEN = "✓"
NEXT = "○"
BARRED = "⊘"

_SHOWN_OFFER = attrgetter("cloud", "instance_type", "spot", "usd_per_hour")
_CODE_OR_VARIABLE = re.compile(r"`[^`]*`|\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


class Tried(Struct, frozen=True):
    """Consecutive attempts with the same outcome, shown as one line."""

    attempts: tuple[Attempt, ...]

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]


def tells_something(deployment: Deployment) -> bool:
    """Whether the ladder adds to the rest of the card: it has a refusal, several rungs, or an unusable one."""
    barred = any(not rung.usable for rung in deployment.rungs)
    return barred or len(deployment.rungs) > 1 or any(a.refusal for a in deployment.attempts)


def ladder(deployment: Deployment, now: datetime) -> str:
    """The whole ladder, long parts folded; mrkdwn."""
    open_, barred = _rest(deployment, now)
    title = "*The ladder, cheapest first*" if _in_order(deployment) else "*What was tried, then what comes next*"
    lines = [title, *_tried(deployment, now), *_next(open_), *cannot(barred)]
    old = offers.read_ago((rung.offer for rung in deployment.rungs), now)
    note = f"\n_The oldest of these prices was read {old}._" if old else ""
    return listed(lines, MAX_SECTION - len(note)) + note


def _in_order(deployment: Deployment) -> bool:
    """Whether the attempts are in price order: a replica that is added later starts at the cheapest rung again."""
    prices = [a.offer.usd_per_hour or 0 for a in deployment.attempts if a.phase is not Phase.ENDED]
    return prices == sorted(prices)


def refusals(deployment: Deployment) -> tuple[str, ...]:
    """The last refusals, one line each, after the number of earlier ones."""
    refused = [a for a in deployment.attempts if a.phase is Phase.REFUSED]
    folds = _fold_tried(refused)
    lines = tuple(_refused(tried) for tried in folds[-MAX_NEXT:])
    earlier = sum(len(tried.attempts) for tried in folds[:-MAX_NEXT])
    return (f"… {count(earlier, 'earlier refusal')}", *lines) if earlier else lines


def rungs(ladder_: Sequence[Rung], limit: int) -> tuple[str, ...]:
    """A ladder without attempts: the first `limit` usable rungs, then the unusable ones."""
    usable = [r for r in ladder_ if r.usable]
    folds = offers.by_price(usable)
    lines = [f"{number}. {_offer(fold)}" for number, fold in enumerate(folds[:limit], start=1)]
    rest = tuple(r for fold in folds[limit:] for r in fold.rungs)
    return (*lines, *_and_more(rest), *cannot(r for r in ladder_ if not r.usable))


def cannot(barred: Iterable[Rung]) -> tuple[str, ...]:
    """The unusable rungs, each with its reason."""
    folds = offers.by_kind(barred)
    lines = [f"{BARRED} {_offer(fold)}: {_reason(fold)}" for fold in folds[:12]]
    return (*lines, *_and_more(tuple(r for fold in folds[12:] for r in fold.rungs)))


def mends(ladder_: Iterable[Rung], *, over: bool = False) -> str:
    """How to make more rungs usable; empty if no fix is known. `over`: the deployment has ended."""
    known = dict.fromkeys((r.offer.cloud, r.mend) for r in ladder_ if not r.usable and r.mend)
    lines = [f"• {offers.cloud(cloud)}: {_variables(clip(inert(mend), 400))}" for cloud, mend in known]
    if not lines:
        return ""
    then = "\nThen launch it again." if over else ""
    return listed(["*How to fix it*", *lines], MAX_SECTION - len(then)) + then


def _variables(text: str) -> str:
    """The text with names of environment variables as code."""
    return _CODE_OR_VARIABLE.sub(lambda found: found[0] if found[0].startswith("`") else f"`{found[0]}`", text)


def _tried(deployment: Deployment, now: datetime) -> list[str]:
    """Unsuccessful attempts, older ones as a number, and current machines; not the attempts that ended normally."""
    folds = _fold_tried([a for a in deployment.attempts if a.phase is not Phase.ENDED])
    gone = [tried for tried in folds if tried.last.phase in UNSUCCESSFUL]
    earlier = gone[: -MAX_TRIED or None] if len(gone) > MAX_TRIED else []
    lines = [f"… {count(sum(len(tried.attempts) for tried in earlier), 'earlier attempt')}"] if earlier else []
    return [*lines, *(_outcome(tried, now) for tried in folds if tried not in earlier)]


def _outcome(tried: Tried, now: datetime) -> str:
    return _refused(tried) if tried.last.phase is Phase.REFUSED else _taken(tried.last, now)


def _fold_tried(attempts: Sequence[Attempt]) -> list[Tried]:
    folds: list[Tried] = []
    for attempt in attempts:
        if folds and _alike(folds[-1].last, attempt):
            folds[-1] = Tried((*folds[-1].attempts, attempt))
        else:
            folds.append(Tried((attempt,)))
    return folds


def _alike(one: Attempt, other: Attempt) -> bool:
    if one.refusal is None or other.refusal is None:
        return False
    return _SHOWN_OFFER(one.offer) == _SHOWN_OFFER(other.offer) and one.refusal.code == other.refusal.code


def _refused(tried: Tried) -> str:
    asked = [o for a in tried.attempts for o in a.request.offers]
    why = inert(clip((tried.last.why or "refused").rstrip("."), MAX_REASON))
    return f"{REFUSED} {_line(offers.prices(asked), offers.machine(asked[0]), offers.places(asked))}: {why}"


def _taken(attempt: Attempt, now: datetime) -> str:
    offer = attempt.offer
    line = _line(offers.price(offer), offers.machine(offer), offers.place(offer))
    elapsed = duration(now - attempt.since)
    match attempt.phase:
        case Phase.PROVISIONING:
            return f"{ASKED} {line}: asking now, {elapsed}"
        case Phase.STARTING:
            return f"{TAKEN} {line}: replica {attempt.replica} is starting, {elapsed}"
        case Phase.FAILED | Phase.PREEMPTED:
            return f"{REFUSED} {line}: {inert(clip(attempt.why, MAX_REASON)) or attempt.phase.value}"
        case _:
            return f"{TAKEN} {line}: replica {attempt.replica} is {attempt.phase.value}"


def _rest(deployment: Deployment, now: datetime) -> tuple[list[Rung], list[Rung]]:
    """The rungs that come next, and those that cannot be taken."""
    asked = {o for a in deployment.attempts for o in a.request.offers}
    refused = [a.refusal for a in deployment.attempts if a.refusal]
    coming, barred = [], []
    for rung in deployment.rungs:
        if not rung.usable:
            barred.append(rung)
        elif rung.offer not in asked:
            by = blocking(rung.offer, refused, now)
            if by is None:
                coming.append(rung)
            else:
                cause = by.sentence.partition(". ")[0]  # the attempt's own line has the mend
                reason = f"ruled out by the same refusal: {cause}"
                barred.append(Rung(offer=rung.offer, usable=False, reason=reason))
    return coming, barred


def _next(coming: Sequence[Rung]) -> list[str]:
    folds = offers.by_price(coming)
    lines = [f"{NEXT} {_offer(fold)}" for fold in folds[:MAX_NEXT]]
    return [*lines, *_and_more(tuple(r for fold in folds[MAX_NEXT:] for r in fold.rungs))]


def _and_more(rest: Sequence[Rung]) -> tuple[str, ...]:
    if not rest:
        return ()
    known = [r.offer for r in rest if r.offer.usd_per_hour is not None]
    up_to = f", up to {offers.price(max(known, key=lambda o: o.usd_per_hour or 0))}" if known else ""
    return (f"… and {len(rest)} more{up_to}",)


def _offer(fold: offers.Fold) -> str:
    return _line(offers.prices(fold.offers), offers.machine(fold.first.offer), offers.places(fold.offers))


def _line(price: str, machine: str, place: str) -> str:
    return f"*{price}* {machine}, {place}"


def _reason(fold: offers.Fold) -> str:
    reason = fold.first.reason or "cannot be taken"
    name = offers.cloud(fold.first.offer.cloud)
    # The line already names the cloud.
    return escape(clip(reason.removeprefix(f"{name}: ").rstrip("."), MAX_REASON))
