"""What the gateway notices reaches the admins: a real HAProxy, a real Valkey and the Slack stand-in."""

import shutil
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from slack_sdk import WebClient

from bot.cards.gateway_alerts import GatewayAlerts
from bot.sandbox import server
from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.stand_in import Settings
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from bot.views import gateway_words
from tests.fakes.haproxy import Gateway, route, wait_for
from tests.person import ADA, ROBIN
from workers.deployment.gateway_notices import MOST, NOTICES, GatewayNotice, GatewayNotices
from workers.gateway.claim import Claim
from workers.gateway.source_rules import MOST_WRONG
from workers.gateway.source_watch import SourceWatch

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture
def gateway():
    folder = Path(tempfile.mkdtemp(prefix="gw-"))  # short: sockets live in it
    started = Gateway(folder)
    try:
        started.start()
        started.converge(route("d1"))
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slack():
    with server.start(Settings(rate_scale=0)) as running:
        yield running


@pytest.fixture
def said(redis, slack):
    """Looks once as a new bot, and returns what the admin has been told."""
    calls = SlackCalls(web_client(BOT_TOKEN, slack.api_url), Budgets(redis))
    web = WebClient(BOT_TOKEN, base_url=slack.api_url)

    def look(at=NOW, admin=ADA):
        GatewayAlerts(calls, redis, admins=[admin], serves=bool, clock=lambda: at).look()
        channel = web.conversations_open(users=admin)["channel"]["id"]
        found = web.conversations_history(channel=channel)["messages"]
        return [m["text"] for m in reversed(found) if "gateway" in m["text"]]

    return look


def test_wrong_keys_are_told_to_the_admins_once_an_hour(gateway, redis, said):
    for n in range(120):
        gateway.ask(f"guess{n}")
    SourceWatch(GatewayNotices(redis)).look(gateway.haproxy.wrong_keys, "", NOW)
    (told,) = said()
    assert "120 requests with a wrong key came from `127.0.0.1`" in told
    assert "block the address" in told
    assert said() == [told]
    gateway.ask("guess")
    later = NOW + timedelta(minutes=30)
    SourceWatch(GatewayNotices(redis)).look(gateway.haproxy.wrong_keys, "", later)
    assert said(later) == [told]
    redis.delete(*redis.keys("mixtral:gateway_told:*"))  # an hour has passed
    assert len(said(later)) == 2
    assert len(said(later, ROBIN)) == 1


def test_an_attack_from_many_sources_is_four_messages_an_hour_to_each_admin(redis, said):
    watch = SourceWatch(GatewayNotices(redis))
    for n in range(8):
        at = NOW + timedelta(seconds=11 * n)
        watch._looked_at = float("-inf")
        sources = {f"10.0.{n}.{m}": 500 for m in range(20)}
        watch.look(sources.copy, "", at)
        told = said(at)
    assert len(told) == 4
    assert "came from `10.0." in told[2]
    assert "from more than 3 addresses within an hour" in told[3]
    later = NOW + timedelta(minutes=3)
    SourceWatch(GatewayNotices(redis)).look(dict, "No space left on device.", later)
    wait_for(lambda: "No space left on device" in said(later)[-1], "that is told too")  # Slack allows one each second


def test_the_message_has_the_number_of_wrong_keys_from_which_on_the_answer_is_429():
    notice = GatewayNotice(kind="wrong_keys", at=NOW, source="10.0.0.1", number=120)
    assert f"while more than {MOST_WRONG} come within a minute" in gateway_words.notice(notice).text


def test_a_few_wrong_keys_are_nothing_to_tell(gateway, redis, said):
    for n in range(5):
        gateway.ask(f"typo{n}")
    SourceWatch(GatewayNotices(redis)).look(gateway.haproxy.wrong_keys, "", NOW)
    assert said() == []


def test_files_that_cannot_be_written_are_told_with_cause_and_mend(redis, said):
    SourceWatch(GatewayNotices(redis)).look(dict, "No space left on device. Free some space.", NOW)
    (told,) = said()
    assert "No space left on device. Free some space." in told
    assert "revoked keys" in told


def test_that_no_gateway_runs_is_told_after_a_minute_while_replicas_are_ready(redis, slack):
    web, passed, ready = WebClient(BOT_TOKEN, base_url=slack.api_url), [0.0], [False]
    calls = SlackCalls(web_client(BOT_TOKEN, slack.api_url), Budgets(redis))
    alerts = GatewayAlerts(calls, redis, admins=[ADA], serves=lambda: ready[0], monotonic=lambda: passed[0])

    def told(seconds):
        passed[0] += seconds
        alerts.look()
        channel = web.conversations_open(users=ADA)["channel"]["id"]
        return [m["text"] for m in web.conversations_history(channel=channel)["messages"] if "No gateway" in m["text"]]

    claim = Claim(redis, "on a host")
    with claim.held(threading.Event()):
        assert told(0) == told(100) == []
    assert told(0) == told(100) == [], "no replica needs one"
    ready[0] = True
    assert "Start `mixtral-bot gateway`" in told(0)[0]
    assert len(told(5)) == 1, "once an hour"
    redis.delete(*redis.keys("mixtral:gateway_told:*"))
    with claim.held(threading.Event()):
        assert len(told(5)) == 1
    assert len(told(5)) == len(told(59)) == 1, "another minute begins"
    assert len(told(2)) == 2


def test_notices_are_few_and_those_of_a_newer_version_are_left_alone(redis):
    notices = GatewayNotices(redis)
    notices.write(GatewayNotice(kind="wrong_keys", at=NOW + timedelta(seconds=n), source=f"::{n}") for n in range(50))
    assert {notice.source for notice in notices.read()} == {f"::{n}" for n in range(30, 50)}
    redis.hset(NOTICES, "new", b'{"kind": "of a newer version", "at": "2026-11-10T12:00:00Z"}')
    assert len(notices.read()) == MOST


def test_what_is_old_is_not_told(redis, said):
    SourceWatch(GatewayNotices(redis)).look(lambda: {"10.0.0.1": 500}, "", NOW)
    assert said(NOW + timedelta(hours=2)) == []
