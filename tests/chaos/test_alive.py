"""Engines that are busy are neither cut nor replaced, and one that is dead is. Longer: `--minutes 10` (see docs)."""

import asyncio
import csv
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recipes.loader import load as read_recipe
from tests.chaos.house import House
from tests.line import Line
from tests.load import Fate, Load, ask, of_fate, summary
from tests.person import Person
from workers.deployment.attempt import Phase
from workers.deployment.events import ReplicaNotReady
from workers.gateway.haproxy import SOCKET
from workers.gateway.haproxy_cli import Cli
from workers.serving.probe import probe

RECIPES = Path(__file__).parent / "recipes"

STREAMS = 3
"""One more than the engine has slots, so that none is ever free for the probe."""
TOKENS = (25, 45)
"""Length of a stream in tokens, one a second: longer than two probes."""
REPLACED_WITHIN = 300.0
"""Maximum time from an engine's death to its replacement, in seconds. It is 200 on the clock of
`tests/contract/test_control_loop.py`; here, probes are late when the computer is busy.
"""


@pytest.fixture
def line(tmp_path):
    with Line(tmp_path, recipes=RECIPES) as started:
        yield started


@pytest.fixture
def person(line):
    with Person(line.page) as person:
        yield person


def servers(line):
    """HAProxy's counters of each replica."""
    table = Cli(line.home / "gateway" / SOCKET).ask("show stat -1 4 -1").removeprefix("# ")
    rows = csv.DictReader(table.splitlines())
    return [row for row in rows if row["pxname"].startswith("b") and row["svname"].startswith("r")]


def not_ready(house):
    return [event for event in house.events() if isinstance(event, ReplicaNotReady)]


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_an_engine_without_a_free_slot_loses_no_stream_and_no_machine_and_is_replaced_once_it_is_dead(
    line, person, request
):
    house = House(line, person, "busy", name="busy", replicas=1)
    first = house.state().ready[0]
    asked = read_recipe(RECIPES / "busy.yaml", {}).service.readiness_probe
    try:
        with Load(house.target(), streams=STREAMS, tokens=TOKENS) as load:
            time.sleep(5)
            unready = asyncio.run(probe(first.address, asked, key=house.log.secrets(house.id).replica))
            time.sleep(request.config.getoption("--minutes") * 60 - 20)
        print(f"\nstreams: {summary(load.answers)}")
        assert unready is not None, "no probe failed, so nothing was tested"
        assert unready.silent
        assert of_fate(load.answers, Fate.CUT) == of_fate(load.answers, Fate.LOST) == [], line.logs()
        assert not_ready(house) == []
        assert [a.number for a in house.state().attempts] == [first.number]

        with Load(house.target(), streams=STREAMS, tokens=TOKENS):
            time.sleep(8)
            house.freeze(first)
            died = time.monotonic()
            house.wait(lambda s: any(a.machine and a.number != first.number for a in s.attempts), "a new machine", 300)
            replaced = time.monotonic() - died
            house.wait(lambda s: first.number not in {a.number for a in s.ready} and s.ready, "its replacement")
        print(f"replaced {replaced:.0f} s after its engine froze")
        assert replaced <= REPLACED_WITHIN
    finally:
        house.thaw()


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_an_engine_that_computes_in_its_event_loop_is_asked_once_and_not_cut(line, person):
    house = House(line, person, "blocked", name="blocked", replicas=1)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(ask, house.target(), tokens=3, streamed=streamed) for streamed in (False, True)]
    answers = [each.result() for each in both]
    print("\n" + "; ".join(f"{answer.fate} after {answer.took:.1f} s" for answer in answers))
    assert [answer.fate for answer in answers] == [Fate.OK, Fate.OK], line.logs()
    assert max(answer.took for answer in answers) > 35, "the engine did not compute for 20 s each"
    assert not_ready(house) == []
    [server] = servers(line)
    assert (server["chkdown"], server["wretr"], server["wredis"]) == ("0", "0", "0")
    assert [a.phase for a in house.state().attempts] == [Phase.READY]
