"""The bot and the worker on another Slack emulator, which has no streaming methods."""

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN
from tests.line import Line
from tests.patience import PATIENCE
from workers.processes import Child
from workers.run import wire_deployments
from workers.sandbox.valkey import free_port
from workers.settings import from_environ

pytestmark = pytest.mark.emulator

HERE = Path(__file__).parent
WITHIN = 5 * PATIENCE
"""Seconds in which the emulator answers a call."""
ADA = "U01ADA"
GENERAL = "C01GEN"
CONFIG = f"""
workspace: {{name: Test, domain: test, teamId: T01TEST}}
app:
  appId: A01APP
  botUserId: U0BOT
  botName: mixtral
  botToken: {BOT_TOKEN}
  appToken: {APP_TOKEN}
  signingSecret: not-used
  mode: socket
  requestUrl: http://127.0.0.1:1/slack/events
users:
  - {{id: {ADA}, name: ada, real_name: Ada}}
channels:
  - {{id: {GENERAL}, name: general, members: [{ADA}, U0BOT]}}
"""


class AnotherSlack(Line):
    """A line with the other emulator in place of the stand-in."""

    def __init__(self, folder, binary):
        super().__init__(folder)
        config = folder / "slack.yaml"
        config.write_text(CONFIG)
        self.slack_port = free_port()
        self.page = f"http://127.0.0.1:{self.slack_port}"
        self.env["SLACK_API_URL"] = f"{self.page}/api/"
        self.argv = (str(binary), "--config", str(config), "--port", str(self.slack_port), "--base-host", "127.0.0.1")

    def slack(self):
        return Child(name="slack", argv=self.argv, env=self.env, log=self.folder / "slack.log")

    def slack_answers(self):
        try:
            return httpx.get(f"{self.page}/_control/state", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def connected(self):
        entries = httpx.get(f"{self.page}/_control/log", timeout=WITHIN).text
        return "socket" in entries and "connected" in entries

    def post(self, what, **body):
        about = {"channel": GENERAL, "user": ADA, **body}
        httpx.post(f"{self.page}/_control/{what}", json=about, timeout=WITHIN).raise_for_status()

    def messages(self):
        return httpx.get(f"{self.page}/_control/messages/{GENERAL}", timeout=WITHIN).json()["messages"]

    def saw(self, *words):
        return lambda: next((m for m in self.messages() if all(w in str(m) for w in words)), None)


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulator")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    return folder / "node_modules/local-slack-linux-x64/bin/local-slack"


@pytest.fixture
def line(tmp_path, binary):
    with AnotherSlack(tmp_path, binary) as started:
        yield started


def test_the_whole_line_works_where_slack_knows_no_streams(line):
    line.post("command", command="/mixtral", text="launch scripted as tiny")
    line.wait(line.saw("tiny", "/v1/chat/completions", "My favourite condiment is"), 40, "the endpoint on the card")
    assert len(line.machines()) == 1

    line.post("command", command="/mixtral", text="ask Name three condiments.")
    asked = line.wait(line.saw("Name three condiments."), 10, "the question in the channel")
    thread = asked.get("thread_ts") or asked["ts"]
    line.wait(lambda: answered(line, thread), 20, "the answer in its thread")

    line.post("message", text="<@U0BOT> And a fourth?")
    line.wait(lambda: len([m for m in line.messages() if m.get("bot_id") and m.get("thread_ts")]) > 1, 20, "an answer")

    line.post("command", command="/mixtral", text="scale tiny 2")
    line.wait(lambda: len(line.machines()) == 2, 30, "the second replica")
    requests = wire_deployments(from_environ(line.env), line.redis())
    requests.stop(requests.get("tiny").id, by=ADA)  # `down` asks in a modal, which the emulator cannot submit
    line.wait(lambda: not line.machines(), 30, "the end of both machines")
    line.wait(line.saw("tiny", "Down"), 20, "the card to say so")


def answered(line, thread):
    return [m for m in line.messages() if m.get("thread_ts") == thread and m["ts"] != thread and m.get("bot_id")]
