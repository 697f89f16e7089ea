"""PURE: that no worker answers: the consequence for each deployment, its cost, and what to do."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from bot.slack.message import Message
from bot.views import lost_control
from bot.views.amounts import count, duration, moment, usd, usd_per_hour
from bot.views.blocks import section
from bot.views.escape import escape
from workers.decision.worker_absence import WorkersAway
from workers.deployment.attempt import MAY_COST, Attempt
from workers.deployment.condition import without_lease
from workers.deployment.state import Deployment

WARNING = "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}"
MAX_LINES = 12
MEND = "The operator has to start `mixtral-bot worker`. If it runs already, end it with SIGKILL first."


def costs(deployment: Deployment) -> bool:
    """Whether it has a machine that may cost."""
    return bool(_machines(deployment))


def told(affected: Sequence[Deployment], away: WorkersAway, now: datetime) -> Message:
    """The message that no worker answers, for one channel. `affected`: its deployments with machines."""
    sentence = f"{WARNING} *{_cause(away)}* {_consequence(away)}"
    return Message(sentence, (section(sentence), section(lines(affected, now, ends=not away.observed)), section(MEND)))


def lines(affected: Sequence[Deployment], now: datetime, *, ends: bool) -> str:
    """A line for each deployment with its price. `ends`: its machines end themselves, because no lease is extended."""
    found = [f"• {_line(deployment, now, ends=ends)}" for deployment in affected[:MAX_LINES]]
    if left := len(affected) - len(found):
        found.append(f"• … and {count(left, 'more deployment')}")
    return "\n".join(found)


def back(away_for: timedelta | None) -> Message:
    """The message that the workers answer again."""
    after = f" after {duration(away_for)}" if away_for is not None else ""
    sentence = (
        f"*A worker answers again*{after}. Machines are observed, and their leases are extended. What was requested "
        "meanwhile is carried out now, and replicas whose machines have ended are replaced."
    )
    return Message(sentence, (section(sentence),))


def on_card(deployment: Deployment, away: WorkersAway | None, now: datetime) -> str:
    """The warning on a card; empty if workers answer, the deployment has ended, or the card reports lost leases."""
    if away is None or deployment.ended is not None or without_lease(deployment, now):
        return ""
    ends = _ends(_machines(deployment), now) if not away.observed else ""
    then = f" {ends[0].upper()}{ends[1:]}." if ends else ""
    return f"{_cause(away)} {_consequence(away)}{then} {MEND}"


def is_unobserved(deployment: Deployment, away: WorkersAway | None) -> bool:
    """Whether nobody knows if its replicas still answer."""
    return away is not None and not away.observed and deployment.ended is None and costs(deployment)


def in_list(away: WorkersAway | None) -> str:
    """The warning above a list of deployments; empty if workers answer."""
    return f"{WARNING} {_cause(away)} {_consequence(away)} {MEND}" if away else ""


def _cause(away: WorkersAway) -> str:
    since = f" since {moment(away.since)}" if away.since else ""
    return f"No worker has done a job{since}." if away.observed else f"No worker has answered{since}."


def _consequence(away: WorkersAway) -> str:
    if away.observed:
        return "Machines are observed and kept, but nothing is launched, scaled or ended. Endpoints go on answering."
    return (
        "Nothing is launched, scaled or ended, failures are not noticed, and no lease is extended. Endpoints answer "
        "as long as their machines run."
    )


def _line(deployment: Deployment, now: datetime, *, ends: bool) -> str:
    price = f" ({usd_per_hour(deployment.usd_per_hour)})" if deployment.usd_per_hour else ""
    name = f"*{escape(deployment.name)}*{price}"
    if not ends:
        return f"{name}: runs and costs until a worker does jobs again, even if you end it"
    return f"{name}: {_ends(_machines(deployment), now)}"


def _ends(machines: Sequence[Attempt], now: datetime) -> str:
    """When the machines end themselves, and what they cost until then."""
    over = [a for a in machines if a.expires_at <= now]
    left = [a for a in machines if a.expires_at > now]
    said = []
    if over:
        said.append(
            f"the lease of {lost_control.replicas(over)} has run out, and the machine has probably ended itself"
        )
    if left:
        first, last = (moment(pick(a.expires_at for a in left)) for pick in (min, max))
        when = first if first == last else f"between {first} and {last}"
        ends = "its machine ends itself" if len(machines) == 1 else f"{count(len(left), 'machine')} end themselves"
        ends = "1 machine ends itself" if len(left) == 1 < len(machines) else ends
        cost = sum((_price(a) * _hours(a.expires_at - now) for a in left), start=Decimal(0))
        costs_ = "costs" if len(left) == 1 else "cost"
        said.append(f"{ends} {when}{f', and {costs_} up to {usd(cost)} until then' if cost else ''}")
    return "; ".join(said)


def _price(attempt: Attempt) -> Decimal:
    return attempt.offer.usd_per_hour or Decimal(0)


def _hours(length: timedelta) -> Decimal:
    return Decimal(length.total_seconds()) / 3600


def _machines(deployment: Deployment) -> list[Attempt]:
    return [a for a in deployment.attempts if a.phase in MAY_COST and a.machine is not None]
