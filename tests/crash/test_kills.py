"""SIGKILL of every process, at seeded times of a launch, a scale and a down."""

import contextlib
import os
import random
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.line import Line
from tests.person import GENERAL, Person, words

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1500)]

SEED = int(os.environ.get("MIXTRAL_KILL_SEED", "2026"))
ROUNDS = int(os.environ.get("MIXTRAL_KILL_ROUNDS", "21"))
"""Rounds. Each kills three times: during the launch, the scale and `down`."""

VICTIMS = ("bot", "worker", "a process of the worker", "valkey", "gateway", "haproxy's master", "haproxy's worker")
WITHIN = {"launch": 2.0, "scale": 1.6, "down": 0.3}
"""Duration of a command's work in seconds, so that kills hit the work and not the time after it."""

SETTLED_WITHIN = 60


class Killer:
    """Kills one process, a given time after the command."""

    def __init__(self, line, rng):
        self.line = line
        self.rng = rng
        self.done = []
        self._next = []

    @contextlib.contextmanager
    def loose(self, phase, within):
        victim = self._victim()
        after = self.rng.uniform(0, within)
        moment = threading.Timer(after, self.kill, [victim])
        moment.start()
        try:
            yield
        finally:
            moment.join()
            self.done.append(f"{phase}: {victim} after {after:.2f} s")

    def kill(self, victim):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it ended with an earlier victim
            match victim:
                case "a process of the worker":
                    pid = self.rng.choice(descendants(self.line.children.pid("worker")))
                case "haproxy's master":
                    pid = descendants(self.line.children.pid("gateway"))[0]
                case "haproxy's worker":
                    pid = descendants(self.line.children.pid("gateway"))[-1]
                case _:
                    pid = self.line.children.pid(victim)
            os.kill(pid, signal.SIGKILL)

    def _victim(self):
        """Every victim is chosen once before any is chosen again."""
        self._next = self._next or self.rng.sample(VICTIMS, len(VICTIMS))
        return self._next.pop()


def descendants(pid):
    """The ids of all processes below a process; its own id if there are none."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # children of each of its threads
    below = sorted(int(word) for listed in lists for word in listed.read_text().split())
    return [each for child in below for each in dict.fromkeys((child, *descendants(child)))] or [pid]


def command(line, person, text):
    """Type a command. Repeat it until it is acknowledged and Redis is available, as a person would."""

    def acked():
        try:
            before = len(person.ephemerals(GENERAL))
            word, _, name = text.partition(" ")
            typed = person.end(GENERAL, name) if word == "down" else person.command(GENERAL, f"/mixtral {text}")
            done = typed.get("acked")
            return done and not any("Redis" in words(m) for m in person.ephemerals(GENERAL)[before:])
        except (httpx.HTTPError, AssertionError):
            return False

    line.wait(acked, SETTLED_WITHIN, f"the acknowledgement of {text}")


def cards(person, name):
    """The cards that show a deployment's name."""
    found = [m for m in person.messages(GENERAL) if (m.get("metadata") or {}).get("event_type") == "mixtral_card"]
    return [m for m in found if name in words(m)]


def engines(line):
    """The running engine processes of this test, from the operating system's list."""
    mark = f"MIXTRAL_MACHINE={line.home}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes() and b"workers.serving" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def settled(line, person, name, replicas):
    """Whether this number of engines runs, and a card shows it."""
    if len(line.machines()) != replicas or len(engines(line)) != replicas:
        return False
    said = "Down" if replicas == 0 else f"{replicas} of {replicas}"
    return any(said in words(card) for card in cards(person, name))


@pytest.fixture
def line(tmp_path):
    with Line(tmp_path, MIXTRAL_CONTROL_LEASE="3s") as started:
        yield started


def test_commands_reach_their_end_whatever_is_killed_and_when(line):
    killer = Killer(line, random.Random(SEED))
    with Person(line.page) as person:
        for number in range(ROUNDS):
            name = f"kill-{number}"
            for text, replicas in ((f"launch scripted as {name}", 1), (f"scale {name} 2", 2), (f"down {name}", 0)):
                with killer.loose(text, WITHIN[text.split()[0]]):
                    command(line, person, text)
                line.wait(
                    lambda name=name, replicas=replicas: settled(line, person, name, replicas),
                    SETTLED_WITHIN,
                    f"{replicas} replicas of {name}; seed {SEED}; killed: {killer.done[-3:]}",
                )
                assert len(cards(person, name)) == 1, killer.done[-3:]
        assert len(killer.done) == 3 * ROUNDS
        time.sleep(3)
        assert line.machines() == []
        assert engines(line) == []
        print(f"\n{len(killer.done)} kills, seed {SEED}")
