"""One deployment from 1 to 5 to 2 to 0 to 1 replicas, by command and by load, as card and endpoint show it."""

import json
import threading
import time
from contextlib import contextmanager, nullcontext

import httpx
import pytest

from tests.eye import CHAT, Eye
from tests.line import Line
from tests.person import GENERAL, Person, words

HOLD = 20
"""Seconds that a request waits for a replica, which a busy machine takes long to start."""

BUFFER = 16_384

WORDS = 120
"""Of an answer of the recipe `streaming`."""


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    environ = {"MIXTRAL_GATEWAY_HOLD": f"{HOLD}s", "MIXTRAL_GATEWAY_BUFFER": str(BUFFER)}
    with Line(tmp_path_factory.mktemp("line"), **environ) as started:
        yield started


@pytest.fixture
def eye(line):
    with Person(line.page) as robin:
        yield Eye(line, robin)


@pytest.fixture
def launch(eye):
    """Launch a recipe under a name, wait for its first replica, and end it after the test."""
    names = []

    def launched(recipe, name, *, ready=1, awake=False):
        """`awake`: with a request once a second, without which it may scale to zero before it was seen."""
        eye.person.command(GENERAL, f"/mixtral launch {recipe} as {name} --replicas {max(ready, 1)}")
        names.append(name)
        if ready:
            key = eye.key(name) if awake else None
            stands(eye, name, ready, "is ready", "Test completion", asking=key)
        return eye.key(name)

    yield launched
    for name in names:
        eye.person.end(GENERAL, name)
        eye.line.wait(lambda name=name: eye.card(name, "is down"), 30, f"the end of {name}")


def stands(eye, name, replicas, *said, within=30, asking=None):
    """Wait until so many machines run, the gateway has them, and the card says so; what it says.

    `asking`: a key with which it is asked meanwhile, so that it does not scale to zero before a busy machine shows it.
    """
    said = ("is scaled to zero", *said) if replicas == 0 else (f"{replicas} of {replicas} ready", *said)

    def right():
        there = len(eye.line.machines()) == replicas and eye.table_is_right()
        return eye.card(name, *said) if there else None

    with kept_awake(eye, asking) if asking else nullcontext():
        return eye.line.wait(right, within, f"{replicas} replicas of {name}")


@contextmanager
def kept_awake(eye, key):
    """Asks once in two seconds, which is too seldom for a second replica."""
    with Asking(eye, key) as asking:
        asking.pace(0.5)
        yield


def refused(answer, *said):
    """Whether an answer is a 503 that a client can go by: when to come again, and why, as OpenAI's errors are made."""
    message = answer.json()["error"]["message"]
    return answer.status_code == 503 and int(answer.headers["retry-after"]) > 0 and all(s in message for s in said)


def test_by_command_card_and_endpoint_are_right_at_each_step(eye, launch):
    key = launch("scripted", "steps")
    for replicas in (5, 2, 0, 1):
        assert eye.person.command(GENERAL, f"/mixtral scale steps {replicas}")["acked"]
        card = stands(eye, "steps", replicas)
        assert f"{eye.line.gateway}/v1" in card  # the endpoint stays where it is, whatever becomes of the replicas
        answer = eye.ask(key)
        if replicas:
            assert answer.status_code == 200
        else:
            assert refused(answer, "steps is scaled to zero", "/mixtral scale steps 1")


def test_a_stream_on_a_replica_that_is_scaled_away_is_not_cut(eye, launch):
    key = launch("streaming", "river", ready=2)
    first, second = Stream(eye, key), Stream(eye, key)
    eye.line.wait(lambda: [s.sessions for s in eye.haproxy.actual().servers] == [1, 1], 5, "a stream on each replica")
    eye.person.command(GENERAL, "/mixtral scale river 1")
    eye.line.wait(lambda: eye.card("river", "its last requests"), 5, "the card to tell of the drain")
    assert eye.ask(key, max_tokens=1).status_code == 200
    assert len(eye.line.machines()) == 2
    assert first.whole()
    assert second.whole()
    stands(eye, "river", 1)

    # To zero: what streams goes on, what comes anew is told so at once.
    last = Stream(eye, key)
    eye.person.command(GENERAL, "/mixtral scale river 0")
    eye.line.wait(lambda: eye.card("river", "its last requests"), 5, "the card to tell of the drain")
    # The card and the gateway follow the log independently.
    eye.line.wait(lambda: eye.ask(key, max_tokens=1).status_code == 503, 2, "new requests to be refused")
    assert refused(eye.ask(key), "scaled to zero")
    assert last.whole()
    stands(eye, "river", 0)


def test_a_replica_that_drains_is_taken_back_where_one_is_wanted_again(eye, launch):
    key = launch("streaming", "tide")  # no word of another card
    [before] = eye.line.machines()
    stream = Stream(eye, key)
    eye.person.command(GENERAL, "/mixtral scale tide 0")
    eye.line.wait(lambda: eye.card("tide", "its last requests"), 5, "the card to tell of the drain")
    eye.person.command(GENERAL, "/mixtral scale tide 1")
    stands(eye, "tide", 1, "is ready")
    assert eye.ask(key, max_tokens=1).status_code == 200
    assert [m.machine.token for m in eye.line.machines()] == [before.machine.token]
    assert stream.whole()


def test_a_request_that_finds_no_replica_wakes_one_and_is_answered_by_it(eye, launch):
    key = launch("elastic", "sleeper", awake=True)
    stands(eye, "sleeper", 0, "no request for 4 s", "The next request starts one")
    assert eye.ask(key, timeout=HOLD + 10).status_code == 200
    stands(eye, "sleeper", 1, asking=key)

    # A body that does not fit the buffer cannot be asked a second time: its client has to, and finds the replica.
    stands(eye, "sleeper", 0)
    long = "word " * BUFFER
    assert refused(eye.ask(key, question=long, timeout=HOLD + 10), "Try again")
    eye.line.wait(lambda: eye.state("sleeper").ready, 20, "the replica that it woke")
    eye.line.wait(lambda: eye.ask(key, question=long).status_code == 200, 5, "an answer to the same body")


def test_a_request_waits_no_longer_for_a_replica_than_the_limit(eye, launch):
    launch("drowsy", "yawn", ready=0)
    eye.line.wait(lambda: eye.card("yawn", "is starting"), 20, "its start")
    began = time.monotonic()
    answer = eye.ask(eye.key("yawn"), timeout=HOLD + 20)
    assert refused(answer, "A replica of yawn is starting")
    assert time.monotonic() - began >= HOLD - 1


@pytest.mark.parametrize(("replicas", "said"), [(6, "at most 5 replicas"), (-1, "0"), (1000, "5")])
def test_a_number_out_of_bounds_is_refused_with_the_bounds(eye, launch, replicas, said):
    launch("elastic", f"bound{abs(replicas)}", awake=True)
    before = {m["ts"] for m in eye.person.ephemerals(GENERAL)}
    eye.person.command(GENERAL, f"/mixtral scale bound{abs(replicas)} {replicas}")
    eye.person.wait_for_ephemeral(lambda m: m["ts"] not in before and said in words(m), channel=GENERAL)
    assert len(eye.line.machines()) <= 1


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_by_load_card_and_endpoint_are_right_at_each_step(eye, launch):
    key = launch("elastic", "tide")
    with Asking(eye, key) as asking:
        asking.pace(20)
        stands(eye, "tide", 5, "0 to 5 by load", within=60)
        asking.pace(1.2)  # the rate is a mean over a minute, which the burst has to leave
        stands(eye, "tide", 2, within=120)
        asking.pace(0)
        stands(eye, "tide", 0, "no request for 4 s")
        time.sleep(15)  # until one replica is enough for what the minute remembers
        assert eye.ask(key, timeout=HOLD + 10).status_code == 200
        stands(eye, "tide", 1)
    assert asking.seen == {200}


class Asking:
    """Asks at a pace, and keeps the kinds of answers that it got."""

    def __init__(self, eye, key):
        self.seen = set()
        self._eye, self._key = eye, key
        self._rate = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def pace(self, rate):
        """Requests a second from now on; 0 for none."""
        self._rate = rate

    def _ask(self):
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic() - 1)  # what was missed in a second is made up for, and no more
            if self._rate:
                try:
                    self.seen.add(self._eye.ask(self._key).status_code)
                except httpx.HTTPError as error:
                    self.seen.add(repr(error))
            due += 1 / (self._rate or 10)


class Stream:
    """An answer as it comes, in a thread of its own; made once its first word is there."""

    def __init__(self, eye, key):
        self.words, self.why = [], ""
        self._thread = threading.Thread(target=self._read, args=(f"{eye.line.gateway}{CHAT}", key))
        self._thread.start()
        eye.line.wait(lambda: self.words or self.why, 10, "a stream to begin")

    def whole(self):
        """Wait for its end: whether all of it came."""
        self._thread.join(60)
        assert len(self.words) == WORDS, (len(self.words), self.why)
        return self.why == "[DONE]"

    def _read(self, url, key):
        body = {"messages": [{"role": "user", "content": "Tell me."}], "stream": True}
        try:
            with httpx.stream("POST", url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=20) as answer:
                for event in answer.iter_lines():
                    self._take(event.removeprefix("data: "))
        except httpx.HTTPError as error:
            self.why = repr(error)

    def _take(self, data):
        if data == "[DONE]":
            self.why = data
        elif data:
            choices = json.loads(data)["choices"]
            self.words += [c["delta"]["content"] for c in choices if c["delta"].get("content")]
