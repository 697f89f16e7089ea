"""Fold the log of a deployment and print each state: `python -m tests.replay tests/logs/failover.jsonl`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec
from msgspec import Struct
from redis.exceptions import RedisError

from recipes.schema import Recipe
from tests.recorded import Header, decoded, offer_in_words, plain_lines, read, states, step_in_words
from workers.decision.next_step import next_step
from workers.deployment.attempt import Attempt
from workers.deployment.condition import condition_of
from workers.deployment.events import AnyEvent, DeploymentId, NewerEvent
from workers.deployment.log import Log, _encode
from workers.deployment.state import Deployment
from workers.machines import Machine, MachineRequest
from workers.placement.ladder import Rung
from workers.placement.offer import Offer
from workers.placement.refusals import Refusal
from workers.run import connect

MAX_SHOWN = 3
"""Maximum number of items of a sequence that are printed; the others are counted."""

MAX_TEXT = 90
"""Maximum number of characters of a text that are printed."""

ENVELOPE = {"event_id", "at"}
"""Fields of every event, which are not printed again."""

UNTOLD = ("", None, ())
"""Field values that are not printed; False is omitted, too, but 0 is printed."""


def in_words(value: object) -> str:
    """A field of an event, in at most one line."""
    match value:
        case Recipe():
            return value.name
        case Offer():
            return offer_in_words(value)
        case Rung():
            return offer_in_words(value.offer) + ("" if value.usable else " (not usable)")
        case Machine():
            return f"{value.id} ({offer_in_words(value.offer)})"
        case MachineRequest():
            return f"attempt {value.attempt} for replica {value.replica} on {in_words(value.offers)}"
        case Refusal():
            return f"{value.code} of {in_words(value.offers)}"
        case Struct():
            fields = ((name, getattr(value, name)) for name in value.__struct_fields__ if name not in ENVELOPE)
            told = ((name, in_words(one)) for name, one in fields if one not in UNTOLD and one is not False)
            return " ".join(f"{name}={words}" for name, words in told if words)
        case list() | tuple():
            rest = f" and {len(value) - MAX_SHOWN} more" if len(value) > MAX_SHOWN else ""
            return (", ".join(map(in_words, value[:MAX_SHOWN])) or "none") + rest
        case float():
            return f"{value:.3g}"
        case _:
            text = " ".join(str(value).split())
            return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def state_in_words(state: Deployment) -> str:
    """Status, replicas, price, and the phase of each attempt."""
    groups = [(phase.value, list(alike)) for phase, alike in groupby(state.attempts, key=lambda a: a.phase)]
    attempts = ", ".join(f"{_numbers(alike)} {phase}" for phase, alike in groups)
    ready = f"{len(state.ready)} of {state.wanted} ready"
    return f"{condition_of(state).status.value} · {ready} · {state.usd_per_hour:.2f} USD/h" + (
        f" · {attempts}" if attempts else ""
    )


def _numbers(attempts: Sequence[Attempt]) -> str:
    first, last = attempts[0].number, attempts[-1].number
    return str(first) if first == last else f"{first}-{last}"


def told(deployment: DeploymentId, events: Sequence[AnyEvent], *, whole: bool = False) -> Iterator[str]:
    """The lines to print for a log. `whole`: also the last state with all its fields."""
    state = None
    for version, (event, state) in enumerate(states(deployment, events), 1):
        yield f"{version:>4} {event.at:%Y-%m-%d %H:%M:%S.%f} {type(event).__name__} {in_words(event)}".rstrip()
        yield " " * 5 + (state_in_words(state) if state else "no state: the log does not begin with Requested")
    if state is None:
        return
    if whole:
        yield msgspec.json.format(msgspec.json.encode(state), indent=2).decode()
    for when, now in (("At the last event", state.updated_at), ("Now", datetime.now(UTC))):
        yield f"{when} the control loop would: {step_in_words(next_step(state, now))}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a log. Exits with status 2 and a sentence if the log cannot be read."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        header, events = _log(parser, asked)
    except (OSError, ValueError, msgspec.DecodeError, RedisError) as error:
        parser.error(f"the log cannot be read: {error}")
    events = events[: asked.at]
    if not events:
        parser.error(f"the log of {header.deployment} holds no event up to there")
    if asked.plain:
        sys.stdout.writelines(line.decode() + "\n" for line in plain_lines(header.deployment, events))
    elif asked.export:
        sys.stdout.writelines(_encode(line).decode() + "\n" for line in (header, *events))
    else:
        sys.stdout.writelines(f"{line}\n" for line in told(header.deployment, events, whole=asked.state))


def _log(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> tuple[Header, list[AnyEvent]]:
    from_redis = asked.redis is not None and asked.deployment is not None
    if from_redis == (asked.file is not None):
        parser.error("name a log file, or give both --redis URL and --deployment ID")
    if from_redis:
        header = Header(deployment=DeploymentId(asked.deployment))
        logged = Log(connect(asked.redis)).read(header.deployment)
        if newer := next((event for event in logged if isinstance(event, NewerEvent)), None):
            raise ValueError(f"a newer version wrote {newer.type}")
        return header, [event for event in logged if not isinstance(event, NewerEvent)]
    header, lines = read(asked.file)
    return header, decoded(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="a log file, as in tests/logs")
    parser.add_argument("--redis", metavar="URL", help="read the log from this Redis instead; nothing is written")
    parser.add_argument("--deployment", metavar="ID", help="whose log to read from Redis")
    parser.add_argument("--at", metavar="VERSION", type=int, help="fold no further than to this version")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--state", action="store_true", help="print the last state with all its fields, too")
    shape.add_argument("--plain", action="store_true", help="print only the states, as the lines of NAME.states.jsonl")
    shape.add_argument("--export", action="store_true", help="print only the log, as a log file")
    return parser


if __name__ == "__main__":
    main()
