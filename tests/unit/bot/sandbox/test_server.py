"""The server as a process, and what it answers to those who speak HTTP at it by hand."""

import json
import signal
import subprocess
import sys
from typing import Any

import httpx
import pytest

from bot.sandbox import seed
from bot.sandbox.seed import BOT_USER
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.patience import PATIENCE
from tests.person import RANDOM, ROBIN, Person, words

PATIENT: dict[str, Any] = {"trust_env": False, "timeout": 20 * PATIENCE}


@pytest.fixture(scope="module")
def http():
    settings = Settings(notice="SmolLM2 stands in.")
    with start(settings) as running, httpx.Client(base_url=running.url, **PATIENT) as client:
        yield client


def test_it_says_where_it_listens_and_ends_at_sigterm_though_somebody_listens():
    argv = [sys.executable, "-m", "bot.sandbox.server", "--port", "0", "--rate-scale", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().split()[-1]
            cursor = httpx.get(f"{url}page/state", **PATIENT).json()["cursor"]
            with httpx.stream("GET", f"{url}page/events?after={cursor}", **PATIENT) as listening:
                server.send_signal(signal.SIGTERM)
                listening.read()
            assert server.wait(20 * PATIENCE) == 0
        finally:
            server.kill()


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/assets/page.css"])
def test_a_browser_asks_whether_its_copy_of_the_page_is_still_right(http, path):
    first = http.get(path)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-cache"
    if path != "/":
        again = http.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")


def test_the_snapshot_has_what_the_page_needs(http):
    state = http.get("/page/state").json()
    assert state["notice"] == "SmolLM2 stands in."
    assert state["me"] == seed.ROBIN
    assert [c["name"] for c in state["channels"] if c["kind"] == "channel"] == ["general", "mixtral", "random"]
    assert {c["usage"].split()[0] for c in state["commands"][0]["subcommands"]} >= {"launch", "ask", "down"}
    assert state["socket"] == {"connected": 0, "opened": 0}
    assert seed.BOT_TOKEN not in json.dumps(state)


def test_changes_come_after_the_snapshots_cursor_and_a_strange_cursor_means_reset(http):
    cursor = http.get("/page/state").json()["cursor"]
    sent = http.post("/page/send", json={"user": seed.ROBIN, "channel": seed.GENERAL, "text": "hi"}).json()
    assert _first_change(http, f"after={cursor}")["message"]["ts"] == sent["ts"]
    assert _first_change(http, "after=7")["type"] == "reset"


def _first_change(http, query):
    with http.stream("GET", f"/page/events?{query}") as listening:
        for line in listening.iter_lines():
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))
    return None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/page/send", {}),
        ("/page/send", {"user": seed.ROBIN, "channel": seed.DM_ADA, "text": "x"}),
        ("/page/send", {"user": seed.BOT_USER, "channel": seed.GENERAL, "text": "x"}),
        ("/page/action", {"user": seed.ROBIN, "container": "message"}),
        ("/page/action", {"user": seed.ROBIN, "container": "sky", "block_id": "b", "action_id": "a"}),
        ("/page/view", {"user": seed.ROBIN, "view_id": "V0", "kind": "submit"}),
        ("/sandbox/faults", {"kind": "earthquake"}),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(http, path, body):
    answer = http.post(path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_what_is_not_json_is_refused(http):
    headers = {"content-type": "application/json"}
    assert http.post("/page/send", content=b"{", headers=headers).status_code == 400
    assert http.post("/page/send", content=b"[]", headers=headers).status_code == 400
    api = "/api/chat.postMessage"
    assert http.post(api, content=b"{", headers=headers).json()["error"] == "invalid_json"
    assert http.post(api, content=b"[]", headers=headers).json()["error"] == "json_not_object"
    assert http.post(api, content=b"x", headers={"content-type": "text/plain"}).json()["error"] == "invalid_post_type"


def test_the_web_api_takes_forms_with_json_in_them_and_queries(http):
    form = {
        "token": seed.BOT_TOKEN,
        "channel": "#general",
        "text": "form",
        "blocks": json.dumps([{"type": "divider"}]),
        "metadata": json.dumps({"event_type": "e", "event_payload": {}}),
    }
    posted = http.post("/api/chat.postMessage", data=form).json()
    assert posted["message"]["metadata"]["event_type"] == "e"
    headers = {"authorization": f"Bearer {seed.BOT_TOKEN}"}
    read = http.get("/api/conversations.history", params={"channel": posted["channel"], "limit": 1}, headers=headers)
    assert read.json()["messages"][0]["blocks"][0]["type"] == "divider"
    assert http.post("/api/chat.postMessage", data=form | {"blocks": "["}).json()["error"] == "invalid_blocks_format"


def test_lists_come_in_pages(http):
    headers = {"authorization": f"Bearer {seed.BOT_TOKEN}"}
    first = http.get("/api/conversations.list", params={"limit": 2}, headers=headers).json()
    cursor = first["response_metadata"]["next_cursor"]
    rest = http.get("/api/conversations.list", params={"limit": 2, "cursor": cursor}, headers=headers).json()
    assert [c["name"] for c in first["channels"] + rest["channels"]] == ["general", "mixtral", "random"]
    assert rest["response_metadata"]["next_cursor"] == ""


def test_every_call_is_logged(http):
    http.post("/api/auth.test")
    last = http.get("/sandbox/calls").json()[-1]
    assert (last["method"], last["ok"], last["error"], last["status"]) == ("auth.test", False, "not_authed", 200)


def test_without_a_built_page_it_says_how_to_build_it(tmp_path):
    with start(Settings(page_dir=tmp_path)) as running:
        assert "make page" in httpx.get(running.url, trust_env=False).text


def test_the_page_may_load_nothing_from_elsewhere(http):
    policy = http.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_a_person_adds_the_app_to_a_channel_by_slack_s_own_command():
    with start(Settings()) as running, Person(running.url, ROBIN) as robin:

        def answered(text, channel=RANDOM):
            before = {m["ts"] for m in robin.ephemerals(channel)}
            assert robin.command(channel, text)["acked"]
            return words(robin.wait_for_ephemeral(lambda m: m["ts"] not in before, channel=channel))

        assert "Name a user" in answered("/invite")
        assert "No user is called ghost" in answered("/invite @ghost")
        assert "direct message" in answered("/invite @mixtral", robin.dm())
        assert "was added" in answered("/invite @mixtral")
        assert "already in this channel" in answered("/invite @mixtral")
        random = next(c for c in robin.state()["channels"] if c["id"] == RANDOM)
        assert BOT_USER in random["members"]
