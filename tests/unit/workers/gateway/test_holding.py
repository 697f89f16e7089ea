"""Where requests wait: who is let go, when, and with what to go by."""

import contextlib
import http.client
import json
import shutil
import socket
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.builders.story import Timeline
from tests.patience import PATIENCE
from workers.gateway.holding import Holding
from workers.gateway.outlook import Outlook, outlook

LIMIT = timedelta(seconds=60)
COMING = Outlook(ready=False, coming=True, sentence="A replica is starting.")
READY = Outlook(ready=True, coming=True, sentence="It did not answer.")
NONE = Outlook(ready=False, coming=False, sentence="There is none.", retry_after=timedelta(minutes=5))


class Place:
    """A holding server, and what it is told of the one deployment that there is."""

    def __init__(self, folder, at_once=10):
        self.path = folder / "hold.sock"
        self.seen = COMING
        self.ahead = timedelta()
        """How far the clock of the host is ahead."""
        self.holding = Holding(self.path, LIMIT, lambda _: self.seen, at_once, now=self.now)
        self.answers = []
        self._asked = []

    def now(self):
        return datetime.now(UTC) + self.ahead

    def close(self):
        self.holding.close()
        for connection, thread in self._asked:
            with contextlib.suppress(OSError, AttributeError):  # it may be answered and closed
                connection.sock.shutdown(socket.SHUT_WR)
            thread.join()
            connection.close()

    def ask(self, **headers):
        """A request in a thread of its own; returns its connection once it is sent."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(self.path))
        connection.request("POST", "/v1/completions", b"{}", {"x-mixtral-deployment": "d1", **headers})
        thread = threading.Thread(target=self._take, args=(connection,))
        thread.start()
        self._asked.append((connection, thread))
        return connection

    def _take(self, connection):
        try:
            answer = connection.getresponse()
            self.answers.append((answer.status, answer.headers["Retry-After"], json.loads(answer.read())))
        except (OSError, http.client.HTTPException, AttributeError):
            self.answers.append(None)

    def wait_at(self, deployment, left):
        """Hold a request with `left` of its time left, in a thread; returns the list that will contain its outlook."""
        arrived = self.now() - LIMIT + left
        outlooks = []
        thread = threading.Thread(target=lambda: outlooks.append(self.holding.wait(deployment, arrived)), daemon=True)
        thread.start()
        self.wait(lambda: self.holding.held() == 1)
        return outlooks

    def wait(self, holds, seconds=3):
        deadline = time.monotonic() + seconds * PATIENCE
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def place():
    folder = Path(tempfile.mkdtemp(prefix="hold-"))  # short: a socket lives in it
    made = Place(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def test_a_request_is_held_until_a_replica_is_seen_after_it_came(place):
    place.seen = READY  # as of a look before the request came: it came because that replica has gone
    place.ask()
    place.wait(lambda: place.holding.held() == 1)
    time.sleep(0.3)
    assert place.answers == []
    place.holding.look_again()
    place.wait(lambda: place.answers)
    assert place.answers[0][0] == 503


def test_a_request_that_has_nothing_to_hope_for_is_told_so_at_once(place):
    place.seen = NONE
    place.ask()
    place.wait(lambda: place.answers)
    status, retry_after, body = place.answers[0]
    assert (status, retry_after) == (503, "300")
    assert body["error"]["message"] == "There is none."


def test_above_its_number_nobody_is_held(place):
    for _ in range(10):
        place.ask()
    place.wait(lambda: place.holding.held() == 10)
    place.ask()
    place.wait(lambda: place.answers)
    assert "maximum number of waiting requests" in place.answers[0][2]["error"]["message"]
    assert place.holding.held() == 10


UNFINISHED = {"content-length": "1000"}


def test_requests_whose_body_has_not_arrived_count_as_held(place):
    for _ in range(10):
        place.ask(**UNFINISHED)
    place.wait(lambda: place.holding.held() == 10)
    place.ask(**UNFINISHED)
    place.wait(lambda: place.answers)
    assert "maximum number of waiting requests" in place.answers[0][2]["error"]["message"]
    assert place.holding.held() == 10


def test_a_body_that_goes_on_arriving_is_read_no_longer_than_the_limit(place):
    arrived = datetime.now(UTC) - LIMIT + timedelta(seconds=1)
    connection = place.ask(**UNFINISHED | {"x-mixtral-asked": f"{arrived.timestamp() * 1000:.0f}"})
    place.wait(lambda: place.holding.held() == 1)
    ends = time.monotonic() + 5 * PATIENCE
    while not place.answers and time.monotonic() < ends:
        with contextlib.suppress(OSError, AttributeError):  # it may have been answered and closed
            connection.sock.sendall(b"x")
        time.sleep(0.05)
    assert place.answers[0][0] == 503
    assert place.holding.held() == 0


def test_a_client_that_hangs_up_is_no_news(place, capsys):
    connection = place.ask()
    place.wait(lambda: place.holding.held() == 1)
    connection.sock.shutdown(socket.SHUT_RDWR)
    place.holding.look_again()
    place.seen = NONE
    place.wait(lambda: place.holding.held() == 0)
    assert "Traceback" not in capsys.readouterr().err


def test_nobody_is_held_longer_than_the_limit(place):
    came = datetime.now(UTC) - LIMIT + timedelta(seconds=0.2)
    began = time.monotonic()
    assert place.holding.wait("d1", came) == COMING
    assert time.monotonic() - began < LIMIT.total_seconds() / 2


def test_a_clock_that_steps_back_makes_no_wait_longer(place):
    outlooks = place.wait_at("d1", left=timedelta(seconds=1))
    place.ahead = timedelta(hours=-2)
    place.wait(lambda: outlooks, seconds=10)


def test_an_arrival_in_the_future_is_held_no_longer_than_the_limit(place):
    place.holding._limit = timedelta(seconds=1)
    outlooks = place.wait_at("d1", left=timedelta(hours=2))
    place.wait(lambda: outlooks, seconds=10)


def test_nothing_is_kept_of_deployments_that_have_ended(place):
    place.seen = NONE
    for n in range(1000):
        place.holding.wait(f"d{n}", datetime.now(UTC))
    assert not place.holding._held
    place.holding.keep_only({"d7"})
    assert place.holding._last.keys() == {"d7"}


def said(story, *, serving=False):
    return outlook(story.state, serving=serving)


def test_what_a_request_can_hope_for_is_what_the_log_and_haproxy_say():
    ready = Timeline().served()
    assert said(ready, serving=True).ready
    dead = said(ready)
    assert not dead.ready
    assert dead.coming  # it is going to be replaced
    assert said(Timeline().planned().asked().created()).coming
    assert not said(Timeline().served().scaled(0).gone()).coming
    assert not said(Timeline().served().gone().exhausted("dry")).coming
    given_up = said(Timeline().served().gone().abandoned("they crash"))
    assert not given_up.coming
    assert "failed too often" in given_up.sentence
    assert not said(Timeline().served().stopped()).coming
    assert not outlook(None, serving=False).coming
