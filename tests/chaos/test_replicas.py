"""Replicas are killed, frozen, added and drained under load. Measured is what the endpoint's clients receive."""

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.house import House
from tests.chaos.observed import Observed
from tests.line import Line
from tests.load import Fate, Load, of_fate, summary
from tests.patience import PATIENCE
from tests.person import Person
from workers.deployment.attempt import Phase
from workers.deployment.events import ReplicaDrained, ReplicaReady

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

STREAMS = 64
PER_SECOND = 60
SECONDS = 60
TOKENS = (12, 90)
"""Length of a stream in tokens: 2 to 15 seconds at the recipe's rate."""

KILLED, ADDED, DRAINED, FROZEN = 8, 18, 30, 42
"""Times after the start of the load, in seconds. The freeze is last: a drain prefers a replica that is not ready."""

TRAFFIC_WITHIN = 2.0
"""Seconds; 0.1 if nothing else computes. A gateway that reads the logs at its looks only takes up to 5."""

YOUNG = 0.5 * PATIENCE
"""Maximum time from the kill to the end of a stream that was too short to be seen at a look, in seconds."""


@pytest.fixture
def house(tmp_path):
    with Line(tmp_path, recipes=Path(__file__).parent / "recipes") as line, Person(line.page) as person:
        house = House(line, person)
        try:
            yield house
        finally:
            house.thaw()


def name_of(attempt):
    return f"r{attempt.number}"


def ready_at(house):
    """Server name -> time of its first ReplicaReady in the log, in seconds since 1970."""
    events = [e for e in house.events() if isinstance(e, ReplicaReady)]
    return {f"r{e.attempt}": e.at.timestamp() for e in reversed(events)}


def play(house):
    """Apply the disturbances. Returns {name: (server, time)}."""
    began, happened = time.time(), {}

    def until(second):
        time.sleep(max(0.0, began + second - time.time()))
        return time.time()

    first = house.state().ready
    happened["killed"] = (name_of(first[0]), until(KILLED))
    house.kill(first[0])
    house.wait(lambda s: len(s.ready) == 3 and first[0].number not in {a.number for a in s.ready}, "a replacement")

    until(ADDED)
    known = {a.number for a in house.state().attempts}
    house.scale(4)
    added = house.wait(lambda s: next((a for a in s.ready if a.number not in known), None), "a fourth replica")
    happened["added"] = (name_of(added), added.ready_at.timestamp())

    until(DRAINED)
    house.scale(3)
    drained = house.wait(lambda s: next((a for a in s.attempts if a.phase is Phase.DRAINING), None), "a drain")
    happened["drained"] = (name_of(drained), drained.since.timestamp())

    frozen = next(a for a in first[1:] if a.number != drained.number)
    happened["frozen"] = (name_of(frozen), until(FROZEN))
    house.freeze(frozen)
    until(SECONDS)
    return happened


def server_of(cut, observed, happened):
    """The server of a cut stream. One that no look saw is the killed replica's if it ended right after the kill."""
    killed, at = happened["killed"]
    return observed.server_of(cut) or (killed if at <= cut.ended <= at + YOUNG else None)


def tell(load, observed, happened, *, cuts, on_drained, after):
    """The summary of a run."""
    streams = [answer for answer in load.answers if answer.streamed]
    requests = [answer for answer in load.answers if not answer.streamed]
    by_server = ", ".join(f"{n} on {server}" for server, n in Counter(server for server, _ in cuts).items())
    traffic = ", ".join(f"{server} after {seconds:.2f} s" for server, seconds in after.items())
    print(f"\nstreams: {summary(streams)}")
    print(f"requests: {summary(requests)}; {load.late} sent late")
    print("; ".join(f"{server} was {what}" for what, (server, _) in happened.items()))
    print(f"cut: {by_server}; on {happened['drained'][0]} when its drain began: {summary(on_drained)}")
    print(f"first traffic after ready: {traffic}")
    for lost in of_fate(load.answers, Fate.LOST):
        when = lost.ended - happened["killed"][1]
        print(f"lost {when:.2f} s after the kill, after {lost.took:.2f} s, on {observed.server_of(lost)}: {lost.why}")


def test_what_happens_to_replicas_costs_no_request_and_a_drain_no_stream(house):
    before = ready_at(house)
    with Observed(house.line.home / "gateway") as observed:
        with Load(house.target(), streams=STREAMS, tokens=TOKENS, per_second=PER_SECOND) as load:
            happened = play(house)
        house.wait(lambda _: any(isinstance(e, ReplicaDrained) for e in house.events()), "the end of the drain")
    drained, since = happened["drained"]
    on_drained = observed.streams_on(drained, since, [answer for answer in load.answers if answer.streamed])
    cuts = [(server_of(cut, observed, happened), cut) for cut in of_fate(load.answers, Fate.CUT)]
    new = {server: at for server, at in ready_at(house).items() if server not in before}
    after = {server: observed.first.get(server, float("inf")) - at for server, at in new.items()}
    tell(load, observed, happened, cuts=cuts, on_drained=on_drained, after=after)

    # All bodies of this test fit the gateway's buffer. A longer one is sent once, and lost with its replica.
    assert of_fate(load.answers, Fate.LOST) == [], house.line.logs()
    assert {server for server, _ in cuts} <= {happened["killed"][0], happened["frozen"][0]}, cuts
    assert on_drained
    assert all(stream.fate is Fate.OK for stream in on_drained)
    assert observed.aborted[drained] == 0
    assert {happened["added"][0]} < set(after), "expected: the added replica, and the replacement of the killed one"
    assert all(seconds <= TRAFFIC_WITHIN for seconds in after.values()), after
