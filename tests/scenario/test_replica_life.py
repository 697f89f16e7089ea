"""Replicas that never get ready, that answer only half, that crash: said on the card, and bounded in machines."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.crash.test_kills import engines
from tests.eye import Eye
from tests.line import Line
from tests.person import GENERAL, Person, details_of
from workers.clouds.local import machine_processes
from workers.clouds.local.driver import LocalDriver
from workers.sandbox.valkey import free_port

RECIPES = Path(__file__).parents[1] / "recipes"

SERVER = """
import http.server, json, os, sys

KEY = "Bearer " + os.environ["VLLM_API_KEY"]
WANTED = os.environ.get("WANTED_MODEL")

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/health":
            return self.answer(200, {})
        self.answer(401 if self.headers["Authorization"] != KEY else 404, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != KEY:
            return self.answer(401, {})
        if WANTED is None:
            return self.answer(500, {"error": {"message": "the weights are not what they seem"}})
        if asked["model"] != WANTED:
            return self.answer(400, {"error": {"message": "there is no model " + asked["model"]}})
        if "messages" in asked and self.headers["X-Asked-By"] != "the probe":
            return self.answer(400, {"error": {"message": "X-Asked-By is missing"}})
        self.answer(200, {"choices": [{"text": " mustard", "message": {"content": "mustard"}}]})

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""Completes sentences for the model that WANTED_MODEL names; without one it has only a health to show."""

LOST_PATH = """
engine: {kind: scripted, model: scripted}
resources: {cpus: 1+, ports: 8000}
service:
  readiness_probe: {path: /no/such/path, initial_delay_seconds: 6}
"""

MOODY = """
engine: {kind: scripted, model: scripted, args: {fail_every: 3}}
resources: {cpus: 1+, ports: 8000}
service: {readiness_probe: /health}
"""

OWN_SERVER = """
resources: {{cpus: 1+, ports: {port}}}
service:
  readiness_probe: {{path: /health, initial_delay_seconds: {initial_delay}}}
run: exec {python} {server} {opens}
"""

OWN_KEY = """
secrets: {{AUTH_TOKEN: null}}
service:
  readiness_probe: {probe}
  replicas: 1
resources: {{cpus: 1+, ports: {port}}}
run: exec {python} -m workers.serving.scripted --served-model-name toy/model --port {port} --api-key $AUTH_TOKEN
"""
"""An engine with a key of the recipe's own, in the form of SkyPilot's example with authentication."""

SHOWN_KEY = "{path: /v1/models, headers: {Authorization: Bearer $AUTH_TOKEN}}"
AUTH_TOKEN = "a-token-of-the-recipe-s-own"

POSTED = """
resources: {{cpus: 1+, ports: {port}}}
envs: {{WANTED_MODEL: made-of-mustard}}
service:
  readiness_probe:
    path: /v1/chat/completions
    post_data:
      model: $WANTED_MODEL
      messages: [{{role: user, content: "Hello! What is your name?"}}]
    headers: {{X-Asked-By: the probe}}
    initial_delay_seconds: 30
run: exec {python} {server} {port}
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    recipes = folder / "recipes"
    recipes.mkdir()
    server = folder / "server.py"
    server.write_text(SERVER)
    here = {"python": sys.executable, "server": server}
    wrong, mute, posted, own, plain = (free_port() for _ in range(5))
    texts = {
        "lost-path": LOST_PATH,
        "wrong-port": OWN_SERVER.format(port=wrong, opens=free_port(), initial_delay=2, **here),
        "mute": OWN_SERVER.format(port=mute, opens=mute, initial_delay=8, **here),
        "moody": MOODY,
        "posted": POSTED.format(port=posted, **here),
        "own-key": OWN_KEY.format(port=own, probe=SHOWN_KEY, **here),
        "own-key-plain-probe": OWN_KEY.format(port=plain, probe="/health", **here),
    }
    for name, text in texts.items():
        (recipes / f"{name}.yaml").write_text(text)
    with Line(folder, recipes=f"{recipes}{os.pathsep}{RECIPES}", AUTH_TOKEN=AUTH_TOKEN) as started:
        yield started


@pytest.fixture
def eye(line):
    with Person(line.page) as robin:
        yield Eye(line, robin)


def launched(eye, recipe, *said, name=None, replicas=1):
    """Launch a recipe, and wait for what its card comes to say."""
    name = name or recipe
    assert eye.person.command(GENERAL, f"/mixtral launch {recipe} as {name} --replicas {replicas}")["acked"]
    return said_on_card(eye, name, *said)


def said_on_card(eye, name, *said):
    try:
        return eye.line.wait(lambda: eye.card(name, *said), 40, f"{said} on the card of {name}")
    except AssertionError as error:
        raise AssertionError(f"{eye.card(name)!r}: {error}") from error


def ended(eye, name):
    eye.person.end(GENERAL, name)
    said_on_card(eye, name, "is down")
    assert eye.line.machines() == []


def machines_ever(line):
    """How many machines were ever made here: their folders stay for a day."""
    return len(list(LocalDriver(line.home).owned(line.installation)))


def test_a_probe_path_that_nobody_knows_is_given_up_with_what_the_probe_was_told(eye):
    before = machines_ever(eye.line)
    launched(eye, "lost-path", "lost-path failed", "2 times in a row", "not ready 6 s after", "status 404")
    assert eye.line.machines() == []
    assert machines_ever(eye.line) - before == 2
    assert "lost-path" not in eye.log.names()


def test_an_engine_that_opens_another_port_than_its_recipe_says_is_given_up_with_that(eye):
    before = machines_ever(eye.line)
    launched(eye, "wrong-port", "wrong-port failed", "2 times in a row", "nothing listens on its port")
    assert eye.line.machines() == []
    assert machines_ever(eye.line) - before == 2


def test_a_replica_that_answers_its_probe_and_no_completion_is_given_up_with_what_it_said(eye):
    before = machines_ever(eye.line)
    launched(eye, "mute", "mute failed", "2 times in a row", "a completion fails: status 500: the weights are not what")
    assert eye.line.machines() == []
    assert machines_ever(eye.line) - before == 2


@pytest.mark.parametrize("recipe", ["own-key", "own-key-plain-probe"])
def test_an_engine_with_a_key_of_its_recipe_s_own_is_never_ready_and_the_card_says_what_to_change(eye, recipe):
    before = machines_ever(eye.line)
    mend = "this engine asks for another key than VLLM_API_KEY: start it in run with --api-key $VLLM_API_KEY"
    launched(eye, recipe, f"{recipe} failed", "No replica is ready")
    assert mend in eye.card(recipe).replace("`", "")
    assert "Not applied as written" in details_of(eye.person, eye.cards(recipe)[0])
    assert AUTH_TOKEN not in eye.card(recipe)
    assert eye.line.machines() == []
    assert machines_ever(eye.line) - before == 1  # within what `launched` waits, and not two initial delays of 20 min


def test_a_replica_that_fails_now_and_then_serves_on_and_its_own_words_reach_the_client(eye):
    launched(eye, "moody", "moody is ready")
    answers = [eye.ask(eye.key("moody")) for _ in range(6)]
    # Every third one fails; the test completion after the launch may be one of them.
    assert 1 <= [answer.status_code for answer in answers].count(500) <= 2
    assert 4 <= [answer.status_code for answer in answers].count(200) <= 5
    assert any("failure requested by --fail-every" in answer.text for answer in answers)
    ended(eye, "moody")


def test_a_probe_that_posts_fills_in_the_recipes_variables_and_sends_its_headers(eye):
    launched(eye, "posted", "posted is ready", "mustard")
    ended(eye, "posted")


def test_a_replica_that_crashes_again_and_again_is_backed_off_beside_one_that_answers(eye):
    launched(eye, "scripted", "2 of 2 ready", name="loop", replicas=2)
    key = eye.key("loop")
    [healthy] = [a.machine.token for a in eye.state("loop").ready if a.replica == 1]
    for crashes in (1, 2):
        crash(eye, "loop", replica=2)
        assert eye.ask(key).status_code == 200
        if crashes == 1:  # a first failure is tried again at once
            eye.line.wait(lambda: len(eye.state("loop").ready) == 2, 30, "the replacement")
    said_on_card(eye, "loop", "1 of 2", "was killed by SIGKILL")
    details_of(eye.person, eye.cards("loop")[0], "replica 2 · pending: the next attempt starts")
    before = machines_ever(eye.line)
    until = time.monotonic() + 4  # some sweeps
    while time.monotonic() < until:
        assert eye.ask(key).status_code == 200
        assert [m.machine.token for m in eye.line.machines()] == [healthy]
    assert machines_ever(eye.line) == before
    eye.line.wait(eye.table_is_right, 5, "the gateway's table")

    # Whoever scales asks anew, and need not wait.
    eye.person.command(GENERAL, "/mixtral scale loop 1")
    said_on_card(eye, "loop", "1 of 1 ready")
    eye.person.command(GENERAL, "/mixtral scale loop 2")
    said_on_card(eye, "loop", "2 of 2 ready")
    ended(eye, "loop")


def crash(eye, name, *, replica):
    """SIGKILL the engine of a replica that is ready, and wait until the log has it."""
    [attempt] = [a for a in eye.state(name).ready if a.replica == replica]
    folder = LocalDriver(eye.line.home).machines / attempt.request.token
    [pid] = [pid for pid in engines(eye.line) if machine_processes.belongs(pid, folder)]
    os.kill(pid, signal.SIGKILL)
    eye.line.wait(
        lambda: next(a for a in eye.state(name).attempts if a.number == attempt.number).gone_at, 20, "the crash"
    )
