"""PURE: the audit: who did what, where and why, and how it came out. No key, no prompt and no text of a model."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from workers.deployment.events import (
    AnyEvent,
    Approval,
    Autoscaled,
    Clock,
    ClockHeld,
    ControlLost,
    DeploymentEnded,
    DeploymentId,
    EndAnnounced,
    EndScheduled,
    KeepTryingRequested,
    KeyIssued,
    KeyRevoked,
    LadderExhausted,
    LaunchIntended,
    MachineCreated,
    MachineGone,
    OfferRefused,
    ReplicaGivenUp,
    ReplicasAbandoned,
    Requested,
    ScaleRequested,
    Shared,
    StopRequested,
    Unshared,
)
from workers.placement.offer import Offer

CONTROL = "mixtral-bot"
"""Who did what no person did: the control loop."""

OPERATOR = "the operator"
"""Who did what was done on the command line; also on the card and in the log. With a space, it is no id in Slack."""

COMMAND_LINE = "command line"

LONGEST = 300
"""Maximum length of a cause, which may quote a cloud."""


class AuditOutcome(StrEnum):
    DONE = "done"
    DENIED = "denied"  # the person may not
    REFUSED = "refused"  # it is not possible
    UNKNOWN = "unknown"  # Redis did not answer, or an unexpected error occurred


class AuditEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One deed. Its id in the stream is the number of the entry."""

    at: datetime
    who: str
    """Slack's id of a person, `the operator`, or CONTROL."""
    what: str
    outcome: AuditOutcome = AuditOutcome.DONE
    where: str = ""
    """Slack's id of the channel, or `command line`."""
    deployment: str = ""
    name: str = ""
    """Of the deployment; only in the entry of its launch."""
    how: str = ""
    """The command, button or modal of which this is the effect."""
    detail: str = ""
    why: str = ""
    request: str = ""
    """The end of Slack's id of the request, as the bot's log has it."""


class Source(Struct, frozen=True, kw_only=True):
    """The request in the course of which an event is appended."""

    who: str
    where: str
    how: str
    request: str = ""


def audit_of(deployment: DeploymentId, event: AnyEvent, source: Source | None = None) -> AuditEntry | None:
    """The entry that is appended together with an event; None if the event is no deed."""
    if (found := _deed(event)) is None:
        return None
    entry = replace(found, deployment=deployment)
    if source is None:
        return entry
    of_another = entry.who not in (source.who, CONTROL)
    detail = ", ".join(filter(None, (entry.detail, f"on behalf of {entry.who}" if of_another else "")))
    where = source.where or entry.where
    return replace(entry, who=source.who, where=where, how=source.how, request=source.request, detail=detail)


def _deed(event: AnyEvent) -> AuditEntry | None:
    return _deed_of_a_person(event) or _deed_of_the_control_loop(event)


def _deed_of_a_person(event: AnyEvent) -> AuditEntry | None:
    match event:
        case Requested(at=at, name=name, recipe=recipe, place=place, replicas=replicas):
            most = _ceiling(event.ceiling) + (f", until {event.until.isoformat()}" if event.until else "")
            detail = f"recipe {recipe.name}, replicas {replicas}{most}"
            why = _approved(event.approved)
            where = place.channel
            return AuditEntry(at=at, who=place.user, what="launch", where=where, name=name, detail=detail, why=why)
        case ScaleRequested(at=at, by=by, replicas=replicas):
            detail, why = f"replicas {replicas}{_ceiling(event.ceiling)}", _approved(event.approved)
            return AuditEntry(at=at, who=by, what="scale", detail=detail, why=why)
        case KeyIssued(at=at, by=by, key=key, user=user):
            return AuditEntry(at=at, who=by, what="issue a key", detail=f"{key} for {user}")
        case KeyRevoked(at=at, by=by, key=key):
            return AuditEntry(at=at, who=by, what="revoke a key", detail=key)
        case Shared(at=at, by=by, user=user):
            return AuditEntry(at=at, who=by, what="share", detail=f"with {user}")
        case Unshared(at=at, by=by, user=user):
            return AuditEntry(at=at, who=by, what="unshare", detail=f"with {user}")
        case EndScheduled(at=at, by=by, until=until):
            return AuditEntry(at=at, who=by or CONTROL, what="set the end", detail=f"until {until.isoformat()}")
        case ClockHeld(at=at, by=by, until=until, clock=clock, why=why):
            detail = f"until {until.isoformat()}"
            return AuditEntry(at=at, who=by or CONTROL, what=f"hold its clock: {clock.value}", detail=detail, why=why)
        case StopRequested(at=at, by=by, clock=clock):
            because = "no request came" if clock is Clock.IDLE else "the time of its end has come"
            return AuditEntry(at=at, who=by or CONTROL, what="end", why="" if by else because)
        case KeepTryingRequested(at=at, by=by, until=until):
            return AuditEntry(at=at, who=by, what="keep trying", detail=f"until {until.isoformat()}")
        case _:
            return None


def _deed_of_the_control_loop(event: AnyEvent) -> AuditEntry | None:
    match event:
        case Autoscaled(at=at, replicas=replicas, why=why):
            return AuditEntry(at=at, who=CONTROL, what="autoscale", detail=f"replicas {replicas}", why=_short(why))
        case EndAnnounced(at=at, until=until, clock=clock):
            what = "announce the pause" if clock is Clock.HOURS else "announce the end"
            return AuditEntry(at=at, who=CONTROL, what=what, detail=f"until {until.isoformat()}")
        case LaunchIntended(at=at, request=request):
            offers = "; ".join(_offer(offer) for offer in request.offers[:3])
            more = f" and {len(request.offers) - 3} more" if len(request.offers) > 3 else ""  # noqa: PLR2004 - as above
            return AuditEntry(at=at, who=CONTROL, what="buy", detail=f"attempt {request.attempt}: {offers}{more}")
        case OfferRefused(at=at, attempt=attempt):
            why = _short(f"{event.code}: {event.sentence}")
            outcome = AuditOutcome.REFUSED
            return AuditEntry(at=at, who=CONTROL, what="bought", outcome=outcome, detail=f"attempt {attempt}", why=why)
        case LadderExhausted(at=at, why=why):
            return AuditEntry(at=at, who=CONTROL, what="buy", outcome=AuditOutcome.REFUSED, why=_short(why))
        case MachineCreated(at=at, attempt=attempt, machine=machine):
            detail = f"attempt {attempt}: {machine.id}, {_offer(machine.offer)}"
            return AuditEntry(at=at, who=CONTROL, what="bought", detail=detail)
        case MachineGone(at=at, attempt=attempt, why=why):
            return AuditEntry(at=at, who=CONTROL, what="machine gone", detail=f"attempt {attempt}", why=_short(why))
        case ReplicaGivenUp(at=at, attempt=attempt, failure=failure):
            why = failure.value if failure else "no longer needed"
            return AuditEntry(at=at, who=CONTROL, what="give a replica up", detail=f"attempt {attempt}", why=why)
        case ReplicasAbandoned(at=at):
            return AuditEntry(at=at, who=CONTROL, what="buy no more", why="replicas failed too often in a row")
        case ControlLost(at=at, attempt=attempt, what=what, why=why):
            detail = f"attempt {attempt}: {what.value}"
            outcome = AuditOutcome.REFUSED
            return AuditEntry(at=at, who=CONTROL, what="control", outcome=outcome, detail=detail, why=_short(why))
        case DeploymentEnded(at=at, failed=failed):
            return AuditEntry(at=at, who=CONTROL, what="ended", why=_short(failed or ""))
        case _:
            return None


def _offer(offer: Offer) -> str:
    price = "price unknown" if offer.usd_per_hour is None else f"{offer.usd_per_hour} USD/h"
    spot = " spot" if offer.spot else ""
    return f"{offer.cloud} {offer.zone} {offer.instance_type}{spot} at {price}"


def _ceiling(ceiling: object) -> str:
    return "" if ceiling is None else f", at most {ceiling} USD/h"


def _approved(approval: Approval | None) -> str:
    return "" if approval is None else _short(f"approved by {approval.by}: {approval.reason}")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def gaps(ids: Iterable[int], *, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The ranges of numbers that are missing, of those that must be there. The numbers ascend."""
    expected = first
    for number in ids:
        if number > expected:
            yield expected, number - 1
        expected = number + 1
    if expected <= last:
        yield expected, last


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(AuditEntry).decode
