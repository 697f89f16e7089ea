"""The memory of each process after its start and after load: PSS, its own and its share of what is common."""

import tempfile
import time
from pathlib import Path

from tests.cloudy_line import CloudyLine
from tests.load import Target, ask
from tests.measured import show
from tests.person import GENERAL, MIXTRAL, Person, words
from tests.soak import footprint

RECIPES = Path(__file__).parent / "soak" / "recipes"
NAMES = ("one", "two", "three")
QUESTIONS = 60
REQUESTS = 300
RESTS = 10.0
"""Seconds between the end of the load, or the start, and the measurement."""


def rows():
    """Rows (name, value, reference) for `make bench`."""
    with (
        tempfile.TemporaryDirectory(prefix="mxp-") as folder,
        CloudyLine(Path(folder), recipes=RECIPES) as line,
        Person(line.page) as person,
    ):
        time.sleep(RESTS)
        started = measured(line)
        load(line, person)
        time.sleep(RESTS)
        loaded = measured(line)
    for name, part in started.items():
        after = loaded[name]
        number = f", {len(after.pids)} processes" if len(after.pids) > 1 else ""
        yield f"PSS of {name}{number}: after the start, after load", f"{part.pss:.0f} MiB, {after.pss:.0f} MiB", ""
    total, then = (sum(part.pss for part in parts.values()) for parts in (started, loaded))
    yield (
        f"sum; load: {len(NAMES)} launches, {QUESTIONS} questions, {REQUESTS} requests at the gateway",
        f"{total:.0f} MiB, {then:.0f} MiB",
        "without the stand-ins, the engines, and the processes of jobs while they run",
    )


def measured(line):
    return {name: footprint.of_processes(pids) for name, pids in footprint.parts(line).items()}


def load(line, person):
    for name in NAMES:
        person.command(GENERAL, f"/mixtral launch either as {name}")
    for name in NAMES:
        person.wait_for_message(GENERAL, lambda m, name=name: f"*{name}* is ready" in words(m), timeout=60)
    for number in range(QUESTIONS):
        person.say(MIXTRAL, f"@mixtral {NAMES[number % len(NAMES)]}: question {number}?")
    person.wait_for(lambda _: line.redis().hlen("mixtral:questions") == 0, 120)
    names = {id_: name.decode() for name, id_ in line.redis().hgetall("mixtral:names").items()}
    for id_, key in line.redis().hgetall("mixtral:keys").items():
        target = Target(url=line.gateway, key=key.decode(), model=names[id_])
        for _ in range(REQUESTS // len(NAMES)):
            ask(target, tokens=5)


if __name__ == "__main__":
    show("memory", rows())
