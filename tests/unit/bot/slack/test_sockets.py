"""Slack's SDK against the stand-in: one socket for one end, nothing lost, and no stampede where Slack refuses."""

import socket
import time
from typing import Any, cast

import pytest

from bot.sandbox import limits
from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.slack.connections import app_of, serve_sockets
from bot.slack.lockout import Lockout
from tests.person import MIXTRAL, Person

OPEN = "apps.connections.open"


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
    app.command("/mixtral")(lambda ack: ack("here"))
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
    robin.fault(kind, seconds=0.6)
    until = time.monotonic() + 1.2
    acked = []
    while time.monotonic() < until:
        acked.append(robin.command(MIXTRAL, "/mixtral status")["acked"])
    assert all(acked)
    assert opened(robin) == 2
    assert robin.state()["socket"]["connected"] == 1
    assert len(robin.calls(OPEN)) == 2
    assert warnings(caplog) == []


@pytest.mark.usefixtures("served")
def test_a_socket_that_ends_without_a_word_is_replaced_at_once(robin):
    robin.fault("drop_socket")
    robin.wait_for(lambda p: opened(p) == 2 and p.command(MIXTRAL, "/mixtral status")["acked"], 1)
    time.sleep(0.3)
    assert opened(robin) == 2


def test_a_connection_that_the_network_closes_is_replaced_at_once(served, robin):
    served.current_session.sock.shutdown(socket.SHUT_RD)  # as if the other end had gone without a closing frame
    robin.wait_for(lambda p: opened(p) == 2 and p.command(MIXTRAL, "/mixtral status")["acked"], 1)


@pytest.mark.usefixtures("served")
def test_where_socket_mode_is_turned_off_it_is_tried_again_with_pauses_and_said_once(robin, caplog):
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
def test_more_sockets_than_slack_allows_are_no_reason_to_hurry(robin, caplog, monkeypatch):
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
