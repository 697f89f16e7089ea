"""SIGKILL of every process while a deployment scales 1, 5, 2, 0, 1: the gateway's table becomes correct again."""

import contextlib
import os
import random
import socket
import stat
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from redis.exceptions import RedisError

from tests.crash.test_kills import SEED, SETTLED_WITHIN, VICTIMS, Killer, command, engines
from tests.eye import Eye
from tests.line import Line
from tests.patience import PATIENCE
from tests.person import Person, words
from workers.gateway.errors import GatewayDown

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1500)]

ROUNDS = int(os.environ.get("MIXTRAL_GATEWAY_KILL_ROUNDS", "10"))
"""Rounds. Each kills six times: during the launch, four scales and `down`."""

STEPS = (
    ("launch scripted as {}", 1, 1.5),
    ("scale {} 5", 5, 1.2),
    ("scale {} 2", 2, 0.9),
    ("scale {} 0", 0, 0.6),
    ("scale {} 1", 1, 0.8),
    ("down {}", None, 0.5),
)
"""(command, replicas after it or None if it ends the deployment, approximate duration in seconds)"""

CARD = {None: "is down", 0: "is scaled to zero"}
STEADY = "steady"


@contextlib.contextmanager
def asked_continuously(eye, key):
    """Ask questions with a valid key, one after the other. Yields the number of answers by status."""
    seen, over = Counter(), threading.Event()

    def ask():
        while not over.wait(0.05):
            try:
                seen[eye.ask(key).status_code] += 1
            except httpx.HTTPError:
                seen["no connection"] += 1

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield seen
    finally:
        over.set()
        asker.join()


def mismatch(eye, name, replicas):
    """What differs from the expected state in engines, table, endpoint and card; empty if nothing does."""
    running = 1 + (replicas or 0)
    if (machines := len(eye.line.machines())) != running:
        return f"{machines} machines run, not {running}"
    if (there := len(engines(eye.line))) != running:
        return f"{there} engines run, not {running}"
    try:
        if not eye.table_is_right():
            return "the gateway's table differs from the log"
        if not endpoint_is_right(eye, name, replicas):
            return "the endpoint's answer is wrong"
    except (GatewayDown, RedisError, httpx.HTTPError) as error:
        return f"the check failed: {error!r}"
    said = CARD.get(replicas, f"{replicas} of {replicas} ready")
    shown = [words(card) for card in eye.cards(name)]
    return "" if len(shown) == 1 and said in shown[0] else f"cards: {shown}"


def endpoint_is_right(eye, name, replicas):
    if replicas is None:
        return name not in eye.log.names()
    answer = eye.ask(eye.key(name))
    if replicas == 0:
        return answer.status_code == 503 and "scaled to zero" in answer.text and int(answer.headers["retry-after"]) > 0
    return answer.status_code == 200


def left(folder):
    """The processes with a folder in their command line or environment, without this process."""
    mark, found = str(folder).encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if int(entry.name) != os.getpid() and (mark in command or mark in (entry / "environ").read_bytes()):
                found.append(command.replace(b"\0", b" ").decode(errors="replace") or entry.name)
    return found


def drafts(line):
    """Temporary files that were not renamed to their final name. They contain keys."""
    return list((line.home / "gateway").glob(".*"))


def listening(folder):
    """The sockets that a process answers at."""
    return [path for path in folder.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode) and answers(path)]


def answers(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


def test_whatever_is_killed_while_it_scales_the_table_comes_right_and_nothing_leaks(tmp_path):
    own_temporary = tmp_path / "t"
    own_temporary.mkdir()
    with Line(tmp_path, MIXTRAL_CONTROL_LEASE="3s", TMPDIR=str(own_temporary)) as line, Person(line.page) as person:
        eye, killer = Eye(line, person), Killer(line, random.Random(SEED))
        command(line, person, f"launch scripted as {STEADY}")
        line.wait(lambda: len(engines(line)) == 1, SETTLED_WITHIN, STEADY)
        key, [steady_engine] = eye.key(STEADY), engines(line)
        line.wait(lambda: eye.ask(key).is_success, SETTLED_WITHIN, f"an answer of {STEADY}")
        with asked_continuously(eye, key) as seen:
            for number in range(ROUNDS):
                one_round(eye, killer, f"kill-{number}")
        print(f"\n{len(killer.done)} kills, seed {SEED}; answers of {STEADY}: {dict(seen)}")
        assert steady_engine in engines(line)
        assert set(seen) <= {200, "no connection"}, seen
        command(line, person, f"down {STEADY}")
        line.wait(lambda: not line.machines() and not engines(line), SETTLED_WITHIN, "the end of all engines")
        line.wait(lambda: line.redis().hgetall("mixtral:names") == {}, SETTLED_WITHIN, "the end of all names")
        time.sleep(3)
        assert line.machines() == []
        assert engines(line) == []
        assert line.redis().hgetall("mixtral:names") == {}
    deadline = time.monotonic() + 5 * PATIENCE  # what was killed with its parent takes a moment to end
    while (running := left(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running == []
    assert listening(tmp_path) == []
    assert drafts(line) == []
    assert list(own_temporary.iterdir()) == []


def one_round(eye, killer, name):
    line = eye.line
    for text, replicas, within in STEPS:
        typed = text.format(name)
        began = time.monotonic()
        with killer.loose(typed, within):
            command(line, eye.person, typed)
        wrong = ["nothing was checked"]

        def right(wrong=wrong, replicas=replicas):
            wrong[0] = mismatch(eye, name, replicas)
            return not wrong[0]

        try:
            line.wait(right, SETTLED_WITHIN, f"{typed}; seed {SEED}; killed: {killer.done[-3:]}")
        except AssertionError as error:
            raise AssertionError(f"{wrong[0]}; {error}") from error
        print(f"{killer.done[-1]}: recovered after {time.monotonic() - began:.1f} s", flush=True)


def test_every_part_of_the_line_has_its_turn_among_the_victims():
    killer = Killer(None, random.Random(SEED))
    turns = Counter(killer._victim() for _ in range(6 * 10))
    assert set(turns) == set(VICTIMS)
    assert min(turns.values()) >= 60 // len(VICTIMS)
