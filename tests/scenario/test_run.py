"""The bot as a process: how it starts, waits, reconnects and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from redis import Redis
from slack_sdk.signature import SignatureVerifier

from bot.prompting.store import Questions
from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN, BOT_USER, TEAM_ID
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests import loopback
from tests.builders.logs import Logs
from tests.patience import PATIENCE
from tests.person import ADA, GENERAL, MIXTRAL, ROBIN, Person, words
from workers.api import Deployments
from workers.processes import Children
from workers.sandbox.valkey import free_port, valkey

GONE_WITHIN = 10
SIGNING_SECRET = "a-secret-between-slack-and-us"


@pytest.fixture(scope="module")
def slack():
    with start(Settings(rate_scale=0)) as running:
        yield running


@pytest.fixture
def robin(slack):
    with Person(slack.url) as person:
        person.wait_disconnected()
        yield person


@pytest.fixture(autouse=True)
def _nothing_left_by_others(redis):
    """The log is empty at the start."""


def environ(tmp_path, slack=None, redis_url="", **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLACK_", "MIXTRAL_", "REDIS_"))}
    tokens = {
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "SLACK_API_URL": slack.api_url if slack else "",
    }
    return kept | tokens | {"REDIS_URL": redis_url, "MIXTRAL_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"} | more


@contextmanager
def bot(env, log):
    """`mixtral-bot run`, and at the end whether it goes when it is told to."""
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "bot.cli", "run"], env=env, stdout=out, stderr=out)
    try:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(GONE_WITHIN * PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def until(holds, seconds=15):
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"REDIS_URL": ""}, "REDIS_URL is not set"),
        ({"SLACK_BOT_TOKEN": ""}, "SLACK_BOT_TOKEN is not set"),
        ({"SLACK_APP_TOKEN": ""}, "SLACK_APP_TOKEN is not set"),
        ({"SLACK_BOT_TOKEN": APP_TOKEN}, "SLACK_BOT_TOKEN has an app-level token"),
        ({"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": "s", "PORT": "http"}, "PORT='http' is not a port"),
        ({"SLACK_API_URL": "localhost:3000"}, "is not an address"),
        ({"SLACK_BOT_TOKEN": "xoxb-wrong"}, "Slack refuses SLACK_BOT_TOKEN (invalid_auth)"),
        ({"SLACK_APP_TOKEN": "xapp-wrong"}, "Slack refuses SLACK_APP_TOKEN (invalid_auth)"),
    ],
)
def test_what_it_lacks_is_said_in_a_sentence(tmp_path, slack, valkey_url, lacks, said):
    env = environ(tmp_path, slack, valkey_url) | lacks
    command = [sys.executable, "-m", "bot.cli", "run"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=20 * PATIENCE, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "waiting for" not in ended.stderr


def test_it_answers_and_ends_when_told_to(tmp_path, slack, robin, valkey_url):
    log = tmp_path / "bot.log"
    with bot(environ(tmp_path, slack, valkey_url), log):
        robin.wait_connected()
        assert robin.command(MIXTRAL, "/mixtral help")["acked"]
        robin.command(MIXTRAL, "/mixtral status a-secret-name")
    told = log.read_text()
    assert "help by U0ROBIN0001" in told
    assert "a-secret-name" not in told
    assert BOT_TOKEN not in told
    assert "Traceback" not in told
    assert "WARNING" not in told


def test_it_waits_for_redis_and_outlives_its_restart(tmp_path, slack, robin):
    port = free_port()
    log = tmp_path / "bot.log"
    folder = tmp_path / "valkey"
    folder.mkdir()
    with bot(environ(tmp_path, slack, f"redis://127.0.0.1:{port}/0"), log) as process:
        until(lambda: "waiting for Redis" in log.read_text())
        children = Children()
        try:
            children.start(valkey(port, folder, tmp_path / "valkey.log"))
            robin.wait_connected()
            assert robin.command(MIXTRAL, "/mixtral launch smollm2-135m as kept")["acked"]
            os.kill(children.pid("valkey"), signal.SIGKILL)
            until(lambda: not answers(port))
            assert robin.command(MIXTRAL, "/mixtral status")["acked"]
            assert robin.wait_for_ephemeral("Redis")
            until(lambda: children.restart_the_dead() or answers(port))
            robin.wait_for(shows_what_was_kept)
            robin.wait_for_message(MIXTRAL, "kept")  # its card
            assert process.poll() is None
        finally:
            children.stop()


def shows_what_was_kept(person):
    """Whether status lists the deployment. Redis refuses commands while it loads its file, and listens already."""
    before = len(person.ephemerals(MIXTRAL))
    person.command(MIXTRAL, "/mixtral status")
    said = person.wait_for(lambda p: [words(m) for m in p.ephemerals(MIXTRAL)[before:]])
    return any("kept" in text for text in said)


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_waits_for_slack(tmp_path, valkey_url):
    port = free_port()
    log = tmp_path / "bot.log"
    env = environ(tmp_path, None, valkey_url, SLACK_API_URL=f"http://127.0.0.1:{port}/api/")
    with bot(env, log):
        until(lambda: "waiting for Slack" in log.read_text())
        with start(Settings(rate_scale=0), port) as late, Person(late.url) as robin:
            robin.wait_connected()


@pytest.mark.crash
def test_what_was_asked_of_the_launcher_is_sent_by_the_next_process_after_a_kill(tmp_path, slack, robin, redis):
    Logs(redis).put("fast", "http://127.0.0.1:1", MIXTRAL, user=ROBIN)
    url = f"redis://127.0.0.1:{redis.get_connection_kwargs()['port']}/0"
    with Person(slack.url, ADA) as ada:
        with bot(environ(tmp_path, slack, url), tmp_path / "first.log") as first:
            ada.wait_connected()
            robin.fault("http_500", method="conversations.open", count=1000)
            ada.command(MIXTRAL, "/mixtral scale fast 2")
            refused = ada.wait_for_ephemeral("may scale it", channel=MIXTRAL)
            ada.press(refused, "ask_launcher")
            ada.wait_for_ephemeral("was asked to scale *fast* to 2 replicas", channel=MIXTRAL)
            first.kill()
            first.wait()
        robin.clear_faults()
        assert not [m for m in robin.messages(robin.dm()) if "asks you to scale" in words(m)]
        with bot(environ(tmp_path, slack, url), tmp_path / "second.log"):
            asked = robin.wait_for_message(robin.dm(), "asks you to scale *fast* to 2 replicas", timeout=20)
            robin.press(asked, "grant_request")
            ada.wait_for_message(ada.dm(), f"<@{ROBIN}> granted it", timeout=20)
        asking = [m for m in robin.messages(robin.dm()) if "to scale *fast* to 2 replicas" in words(m)]
        assert len(asking) == 1
        assert Deployments(redis, print, {}).get("fast").wanted == 2


def test_over_http_it_answers_what_slack_signed_once_and_nothing_else(tmp_path, slack, robin, valkey_url):
    port = free_port()
    env = environ(tmp_path, slack, valkey_url, SLACK_APP_TOKEN="", SLACK_SIGNING_SECRET=SIGNING_SECRET, PORT=str(port))

    def send(path, body, kind="application/x-www-form-urlencoded", **headers):
        stamp = str(int(time.time()))
        signature = SignatureVerifier(SIGNING_SECRET).generate_signature(timestamp=stamp, body=body)
        signed = {"Content-Type": kind, "X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}
        return loopback.post(f"http://127.0.0.1:{port}/slack/{path}", content=body, headers=signed | headers)

    log = tmp_path / "bot.log"
    with bot(env, log):
        until(lambda: answers(port))
        body = f"command=%2Fmixtral&text=ask+What+is+a+payload%3F&user_id={ROBIN}&channel_id={MIXTRAL}&trigger_id=1.2"
        said = send("commands", body)
        assert said.status_code == 200
        assert said.json()["response_type"] == "ephemeral"
        assert "launch" in said.text  # there is no deployment yet
        assert send("commands", body, **{"X-Slack-Signature": "v0=00"}).status_code == 401
        root = robin.say(MIXTRAL, "@mixtral Hello")
        mention = {"type": "app_mention", "channel": MIXTRAL, "user": ROBIN, "ts": root, "text": "Hello"}
        event = {"type": "event_callback", "event_id": "Ev1", "team_id": TEAM_ID, "event": mention}
        for number in ("1", "2", "3"):
            retry = {"X-Slack-Retry-Num": number, "X-Slack-Retry-Reason": "http_timeout"}
            assert send("events", json.dumps(event), "application/json", **retry).status_code == 200
        robin.wait_for_ephemeral("No deployment is running")
        time.sleep(1)
        assert sum("No deployment is running" in m["text"] for m in robin.ephemerals(MIXTRAL)) == 1
    assert "Traceback" not in log.read_text()


def end_of(process, log):
    """The exit status of a bot that ends by itself within seconds, and the lines about why."""
    assert process.wait(15 * PATIENCE) == 2
    told = log.read_text()
    assert "Traceback" not in told
    return [line for line in told.splitlines() if line.startswith("mixtral-bot: ")]


@pytest.mark.parametrize("code", ["token_revoked", "account_inactive", "team_added_to_org"])
def test_a_token_that_slack_refuses_ends_it_with_one_line_also_when_it_is_started_again(
    tmp_path, slack, robin, valkey_url, code
):
    log, again = tmp_path / "bot.log", tmp_path / "again.log"
    env = environ(tmp_path, slack, valkey_url)
    try:
        with bot(env, log) as process:
            robin.wait_connected()
            robin.fault("refuse", method="*", error=code, count=10_000)
            for number in range(5):  # several threads find it out at once
                robin.say(MIXTRAL, f"@mixtral Hello {number}")
            [line] = end_of(process, log)
        assert f"Slack refuses SLACK_BOT_TOKEN ({code})" in line
        assert "machines continue" in line
        assert ("Wait until" if code == "team_added_to_org" else "Install the app again") in line
        assert Questions(Redis.from_url(valkey_url)).all()  # they are answered after the app is installed again
        before = len(robin.calls())
        with bot(env, again) as process:
            assert end_of(process, again) == [line]
        assert len(robin.calls()) == before + 1
    finally:
        robin.clear_faults()


def test_a_channel_that_gets_another_id_keeps_its_card_and_its_deployment(tmp_path, valkey_url):
    log = tmp_path / "bot.log"
    with (
        start(Settings(rate_scale=0)) as slack,
        Person(slack.url) as robin,
        bot(environ(tmp_path, slack, valkey_url), log),
    ):
        robin.wait_connected()
        robin.command(GENERAL, "/mixtral launch smollm2-135m as elsewhere")
        for name in ("ends", "stays"):
            robin.command(MIXTRAL, f"/mixtral launch smollm2-135m as {name}")
        card = robin.wait_for_message(MIXTRAL, "ends")
        robin.administer("move", channel=MIXTRAL, to="C0MOVED0001")
        robin.end("C0MOVED0001", "ends")
        robin.wait_for_message("C0MOVED0001", lambda m: m["ts"] == card["ts"] and words(m) != words(card))
        root = robin.say("C0MOVED0001", "@mixtral Hello")  # to the deployment that was launched in this channel
        assert "stays" in words(robin.wait_for_message("C0MOVED0001", "Your question waits", thread_ts=root))
        assert robin.messages(robin.dm()) == []  # nothing was reported as refused


def test_an_app_that_is_uninstalled_while_it_is_asked_ends_with_one_line(tmp_path, valkey_url):
    log = tmp_path / "bot.log"
    with (
        start(Settings(rate_scale=0)) as slack,
        Person(slack.url) as robin,
        bot(environ(tmp_path, slack, valkey_url), log) as process,
    ):
        robin.wait_connected()
        robin.command(MIXTRAL, "/mixtral launch smollm2-135m as fast")
        robin.wait_for_message(MIXTRAL, "fast")
        robin.say(MIXTRAL, "@mixtral Hello")
        robin.administer("uninstall")
        [line] = end_of(process, log)
    assert "The bot ends. Deployments and their machines continue" in line


@pytest.mark.parametrize("event", ["app_uninstalled", "tokens_revoked"])
def test_an_app_that_is_uninstalled_ends_it_with_one_line(tmp_path, slack, robin, valkey_url, event):
    log = tmp_path / "bot.log"
    with bot(environ(tmp_path, slack, valkey_url), log) as process:
        robin.wait_connected()
        robin.event("tokens_revoked", tokens={"oauth": ["U0ADA000001"], "bot": []})
        assert robin.command(MIXTRAL, "/mixtral help")["acked"]
        robin.event(event, tokens={"oauth": [], "bot": [BOT_USER]})
        [line] = end_of(process, log)
    assert f"({event})" in line
    assert "Install the app again" in line


def test_a_redis_that_forgot_everything_does_not_end_it(tmp_path, slack, robin, valkey_url):
    with bot(environ(tmp_path, slack, valkey_url), tmp_path / "bot.log") as process:
        robin.wait_connected()
        robin.command(MIXTRAL, "/mixtral launch smollm2-135m as lost")
        Redis.from_url(valkey_url).flushall()
        assert robin.command(MIXTRAL, "/mixtral status")["acked"]
        assert process.poll() is None
