"""Slack's SDK against the stand-in: one socket for one end, nothing lost, and no stampede where Slack refuses."""

import socket
import threading
import time
from typing import Any, cast

import pytest
from slack_sdk.errors import SlackClientNotConnectedError
from slack_sdk.socket_mode.builtin.connection import ConnectionState

from bot.sandbox import limits
from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.slack.client import socket_url
from bot.slack.connections import app_of, serve_sockets
from bot.slack.failures import SlackAway
from bot.slack.lockout import Lockout
from bot.slack.sockets import Sockets
from tests.patience import PATIENCE
from tests.person import MIXTRAL, Person
from workers.sandbox.valkey import free_port

OPEN = "apps.connections.open"
REPLACED_WITHIN = 4.0
"""Seconds that Slack gives for the replacement of a socket. It gives about ten."""


@pytest.fixture
def slack():
    with start(Settings(rate_scale=0)) as running:
        yield running


@pytest.fixture
def robin(slack):
    with Person(slack.url) as person:
        yield person


@pytest.fixture
def ended():
    return []


@pytest.fixture
def served(slack, robin, ended):
    app = app_of(BOT_TOKEN, slack.api_url)
    app.command("/mixtral")(lambda ack: (time.sleep(0.1), ack("here")))
    close = serve_sockets(app, APP_TOKEN, Lockout(ended.append))
    robin.wait_connected()
    yield cast(Any, close).__self__
    close()


def opened(person):
    return person.state()["socket"]["opened"]


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "bot.slack.sockets" and r.levelname == "WARNING"]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("kind", ["refresh_socket", "warn_socket"])
def test_a_socket_that_slack_replaces_is_replaced_once_and_nothing_that_comes_meanwhile_is_lost(robin, caplog, kind):
    robin.fault(kind, seconds=REPLACED_WITHIN)
    acked = []

    def is_replaced(person):
        acked.append(person.command(MIXTRAL, "/mixtral status")["acked"])
        return opened(person) > 1 and person.state()["socket"]["connected"] == 1

    robin.wait_for(is_replaced, REPLACED_WITHIN + 5)
    acked += [robin.command(MIXTRAL, "/mixtral status")["acked"] for _ in range(3)]
    assert all(acked)
    assert opened(robin) == 2
    assert robin.state()["socket"]["connected"] == 1
    assert len(robin.calls(OPEN)) == 2
    assert warnings(caplog) == []


@pytest.mark.usefixtures("served")
def test_a_socket_that_ends_without_an_announcement_is_replaced_immediately(robin):
    robin.fault("drop_socket")
    robin.wait_for(lambda p: opened(p) == 2 and p.command(MIXTRAL, "/mixtral status")["acked"], 1)
    time.sleep(0.3)
    assert opened(robin) == 2


def test_a_connection_that_the_network_closes_is_replaced_at_once(served, robin):
    served.current_session.sock.shutdown(socket.SHUT_RD)  # as if the other end had gone without a closing frame
    robin.wait_for(lambda p: opened(p) == 2 and p.command(MIXTRAL, "/mixtral status")["acked"], 1)


@pytest.mark.usefixtures("served")
def test_while_socket_mode_is_off_it_is_retried_with_pauses_and_reported_once(robin, caplog):
    robin.fault("refuse", method=OPEN, error="not_allowed", count=1000)
    robin.fault("disable_link")
    robin.wait_for(lambda _: warnings(caplog))
    time.sleep(1.5)
    assert len(robin.calls(OPEN)) - 1 <= 2
    assert "Socket Mode is off in the app's settings. Turn it on" in warnings(caplog)[0]
    assert len(warnings(caplog)) <= 2  # the second one has the code with which Slack refuses another socket
    assert not any(r.exc_info for r in caplog.records)
    robin.clear_faults()
    robin.wait_for(lambda p: opened(p) == 2, 6)


@pytest.mark.usefixtures("served")
def test_more_sockets_than_slack_allows_are_retried_with_pauses(robin, caplog, monkeypatch):
    monkeypatch.setattr(limits, "CONNECTIONS", 0)
    robin.fault("drop_socket")
    robin.wait_for(lambda _: warnings(caplog))
    time.sleep(1.5)
    assert len(robin.calls(OPEN)) - 1 <= 3
    [said] = warnings(caplog)
    assert "End other processes of the bot" in said


@pytest.mark.usefixtures("served")
def test_an_app_token_that_is_revoked_ends_the_bot(robin, ended):
    robin.fault("refuse", method=OPEN, error="token_revoked", count=1000)
    robin.fault("drop_socket")
    robin.wait_for(lambda _: ended)
    assert "Slack refuses SLACK_APP_TOKEN (token_revoked)" in ended[0]
    assert "connections:write" in ended[0]


class Session:
    """A socket that has ended."""

    def __init__(self):
        self.sent = []
        self.is_open = False

    def send(self, message):
        if not self.is_open:
            raise SlackClientNotConnectedError("gone")
        self.sent.append(message)

    def is_active(self):
        return True


@pytest.fixture
def sockets(slack):
    client = Sockets(APP_TOKEN, app_of(BOT_TOKEN, slack.api_url).client, threads=1, lockout=Lockout(pytest.fail))
    yield client
    client.hang_up()


def test_an_ack_between_two_sockets_waits_for_the_next_one(sockets, caplog, monkeypatch):
    monkeypatch.setattr("bot.slack.sockets.SENT_WITHIN", 30)  # the timer below may be late
    ended, fresh = Session(), Session()
    fresh.is_open = True
    sockets.current_session = ended
    opens = threading.Timer(0.1, setattr, (sockets, "current_session", fresh))
    opens.start()
    sockets.send_message("ack")
    opens.join()
    assert fresh.sent == ["ack"]
    assert not caplog.records


def test_an_ack_that_no_socket_takes_is_given_up_without_a_trace(sockets, caplog):
    sockets.current_session = Session()
    began = time.monotonic()
    sockets.send_message("ack")
    assert time.monotonic() - began < 2 * PATIENCE
    assert not any(r.exc_info for r in caplog.records)


@pytest.mark.usefixtures("served")
def test_an_unexpected_error_while_a_socket_is_opened_is_no_reason_to_open_none_any_more(robin, caplog, monkeypatch):
    answers = iter([KeyError("url"), KeyError("url")])

    def broken(*arguments):
        if error := next(answers, None):
            raise error
        return socket_url(*arguments)

    monkeypatch.setattr("bot.slack.sockets.socket_url", broken)
    robin.fault("drop_socket")
    robin.wait_for(lambda p: opened(p) == 2, 6)
    assert warnings(caplog) == ["The socket to Slack could not be opened (KeyError: 'url'). Trying again."]


def test_a_socket_that_its_reader_closes_at_the_same_moment_is_ended_without_an_error(sockets):
    def closed_meanwhile():
        raise AttributeError("'NoneType' object has no attribute 'close'")

    session: Any = Session()
    session.sock, session.disconnect = None, closed_meanwhile
    state = sockets._open[session] = ConnectionState()
    sockets._end(session)
    assert state.terminated


def test_an_outage_of_a_day_ends_with_a_new_socket(served, robin):
    served._failures = 6000  # a try every 15 s; a float holds no larger power of two than 2 ** 1023
    robin.fault("drop_socket")
    robin.wait_for(lambda p: opened(p) == 2, 6)


def test_a_slack_that_goes_away_between_two_calls_of_the_start_is_waited_for():
    with pytest.raises(SlackAway, match=r"auth\.test"):
        app_of(BOT_TOKEN, f"http://127.0.0.1:{free_port()}/api/")
