"""Recorded logs: reads them, folds them event by event, and renders each state as plain data."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, assert_never

import msgspec
from msgspec import Struct

from workers.decision.next_step import (
    Abandon,
    AnnounceEnd,
    Create,
    Drain,
    EndDeployment,
    Exhaust,
    GiveUp,
    Keep,
    LaunchReplica,
    PlanLadder,
    Step,
    Stop,
    Terminate,
    Test,
    Wait,
    next_step,
)
from workers.decision.opening import AnnouncePause, Pause, Resume
from workers.deployment.condition import condition_of
from workers.deployment.events import AnyEvent, DeploymentId
from workers.deployment.log import _decode
from workers.deployment.state import Deployment, fold
from workers.placement.offer import Offer

LOGS = Path(__file__).parent / "logs"
STATES = ".states.jsonl"
"""Suffix of the golden file of a log."""


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line of a log file. Each further line is one event, byte for byte as in the Redis stream."""

    deployment: DeploymentId
    what: str = ""
    """What happens in the log, in one sentence."""


def recorded() -> list[Path]:
    """All log files in tests/logs."""
    return sorted(path for path in LOGS.glob("*.jsonl") if not path.name.endswith(STATES))


def read(path: Path) -> tuple[Header, list[bytes]]:
    """The header of a log file and its encoded events. Raises OSError, ValueError, msgspec.DecodeError."""
    first, *lines = path.read_bytes().splitlines()
    return msgspec.json.decode(first, type=Header), lines


def decoded(lines: Iterable[bytes]) -> list[AnyEvent]:
    """Decode the events with the product's decoder. Raises msgspec.DecodeError."""
    return [_decode(line) for line in lines]


def states(deployment: DeploymentId, events: Iterable[AnyEvent]) -> Iterator[tuple[AnyEvent, Deployment | None]]:
    """Each event with the state after it; None before the first event that can begin a state."""
    state = None
    for event in events:
        state = fold(deployment, [event], onto=state)
        yield event, state


def plain(state: Deployment, now: datetime) -> dict[str, Any]:
    """A state at a time as plain data, without class names. USD are text; times are as in the log."""
    return {
        "version": state.version,
        "status": condition_of(state).status.value,
        "wanted": state.wanted,
        "live": len(state.live),
        "ready": len(state.ready),
        "usd_per_hour": f"{state.usd_per_hour:.2f}",
        "spent": f"{state.spent(now):.6f}",
        "saved": f"{state.saved(now):.6f}",
        "established": state.established,
        "rungs": len(state.rungs),
        "dry": state.exhausted is not None,
        "dry_in_a_row": state.dry_in_a_row,
        "abandoned": state.abandoned is not None,
        "out_since": state.out_since,
        "keys": [key.id for key in state.keys],
        "open_to_all": state.key_not_enforced,
        "endpoint": state.endpoint and state.endpoint.url,
        "tested": state.test is not None,
        "stopped_by": state.stopped_by,
        "ended": state.ended is not None,
        "attempts": [
            {
                "number": attempt.number,
                "replica": attempt.replica,
                "phase": attempt.phase.value,
                "since": attempt.since,
                "expires_at": attempt.expires_at,
                "offer": offer_in_words(attempt.offer),
                "address": attempt.address,
                "failure": attempt.failure and attempt.failure.value,
                "engine_ends": attempt.engine_ends,
                "stumbles": attempt.stumbles,
                "cost": f"{attempt.cost(now):.6f}",
            }
            for attempt in state.attempts
        ],
        "next": step_in_words(next_step(state, now)),
        "an_hour_later": step_in_words(next_step(state, now + timedelta(hours=1))),
    }


def plain_lines(deployment: DeploymentId, events: Iterable[AnyEvent]) -> list[bytes]:
    """The state after each event, at the event's time: the lines of NAME.states.jsonl."""
    return [msgspec.json.encode(plain(state, event.at)) for event, state in states(deployment, events) if state]


def step_in_words(step: Step) -> str:
    """The next step of the control loop, and its attempt. Without the step's sentence, which may change."""
    match step:
        case PlanLadder():
            return "plan"
        case LaunchReplica(attempt, replica, offers):
            return f"launch attempt {attempt} for replica {replica} on {', '.join(map(offer_in_words, offers))}"
        case Create(attempt):
            return f"create the machine of attempt {attempt.number}"
        case Drain(number):
            return f"drain attempt {number}"
        case Keep(number):
            return f"keep attempt {number}"
        case GiveUp(number, _, failure):
            return f"give up attempt {number}" + (f": {failure.value}" if failure else "")
        case Abandon():
            return "abandon"
        case Terminate(attempt):
            return f"terminate the machine of attempt {attempt.number}"
        case AnnounceEnd(until):
            return f"announce the end at {until}"
        case AnnouncePause() | Pause() | Resume():
            return {AnnouncePause: "announce the pause", Pause: "pause", Resume: "resume"}[type(step)]
        case Stop():
            return "stop"
        case Test(url):
            return f"test {url}"
        case Exhaust():
            return "report that the ladder is dry"
        case EndDeployment(failed):
            return "end as failed" if failed else "end"
        case Wait(until):
            return f"wait until {until.isoformat()}" if until else "wait"
        case _:
            assert_never(step)


def offer_in_words(offer: Offer) -> str:
    """Zone, machine type and lifecycle."""
    lifecycle = "spot" if offer.spot else "on demand"
    return " ".join(part for part in (offer.cloud, offer.zone or offer.region, offer.instance_type, lifecycle) if part)
