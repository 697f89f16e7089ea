"""What every engine keeps: the OpenAI API, the key, both names, a quick end; each as the local driver starts it."""

import asyncio
import contextlib
import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from bot.prompting.conversation import Turn
from bot.prompting.engine import EngineEndpoint
from bot.prompting.tokenizer import count_tokens
from recipes.schema import ReadinessProbe
from tests import loopback
from tests.builders.machines import SECRETS, boot, request
from tests.vllm.fixtures import tiny_mixtral, vllm_home  # noqa: F401 - fixtures
from workers.clouds.local import machine_processes
from workers.clouds.local.driver import LocalDriver
from workers.clouds.local.machine import GRACE
from workers.clouds.local.machine_folder import MachineFolder
from workers.serving.probe import completion, key_is_enforced, probe

KEY = SECRETS["VLLM_API_KEY"]
NAMES = ("HuggingFaceTB/SmolLM2-135M-Instruct", "smol")
TALK = [{"role": "user", "content": "Name three condiments."}]
READY_WITHIN = 300


class Engine:
    """One replica, and a client that has its key."""

    def __init__(self, driver, kind, model, args):
        self.driver = driver
        offers = driver.offers()[:1]
        asked = request(kind, offers, boot=boot(kind=kind, model=model, served_names=NAMES, args=args))
        self.machine = driver.create(asked, SECRETS)
        self.folder = MachineFolder(driver.machines / kind)
        self.client = httpx.Client(
            base_url=self.machine.address,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=60,
            trust_env=False,
            # llama.cpp closes the connection after a stream without having said so: the next request may run into that.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        try:
            self.wait()
        except BaseException:
            self.close()
            raise

    def wait(self):
        deadline = time.monotonic() + READY_WITHIN
        asked = ReadinessProbe(path="/v1/models", timeout=timedelta(seconds=5))
        while why := asyncio.run(probe(self.machine.address, asked, key=KEY)):
            log = self.driver.log(self.machine.token, 20)
            assert self.folder.ended() is None, log
            assert time.monotonic() < deadline, f"{why}\n{log}"
            time.sleep(0.05)

    def events(self, path, **body):
        with self.client.stream("POST", path, json={"model": NAMES[0], "stream": True, **body}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]

    def close(self):
        self.client.close()
        self.driver.terminate(self.machine.token)


@pytest.fixture(
    scope="module",
    params=["scripted", "llamacpp", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.timeout(900)])],
)
def engine(request, tmp_path_factory):
    kind = request.param
    model, args = NAMES[0], {}
    if kind == "vllm":
        tiny = request.getfixturevalue("tiny_mixtral")
        model, args = str(tiny), {"enforce-eager": None, "dtype": "float32", "max-model-len": 512}
    home = request.getfixturevalue("vllm_home") if kind == "vllm" else tmp_path_factory.mktemp(kind)
    engine = Engine(LocalDriver(home), kind, model, args)
    yield engine
    engine.close()
    assert machine_processes.of_machine(engine.folder.path, None) == ()


def test_its_health_needs_no_key(engine):
    assert loopback.get(f"{engine.machine.address}/health", trust_env=False).status_code == 200


def test_it_lists_the_model_with_the_key_only(engine):
    assert NAMES[0] in str(engine.client.get("/v1/models").json()["data"])
    assert asyncio.run(key_is_enforced(engine.machine.address))


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize("key", [None, "Bearer wrong", "Basic eDp5"])
def test_it_answers_nobody_without_the_key(engine, path, key):
    body = {"model": NAMES[0], "prompt": "Hi", "messages": TALK}
    headers = {"Authorization": key} if key else {}
    answer = loopback.post(engine.machine.address + path, json=body, headers=headers, trust_env=False)
    assert answer.status_code == 401


@pytest.mark.parametrize("name", NAMES)
def test_it_answers_by_either_of_its_names(engine, name):
    assert completion(engine.machine.address, KEY, model=name, prompt="My favourite condiment is").text
    answer = engine.client.post("/v1/chat/completions", json={"model": name, "messages": TALK, "max_tokens": 8})
    assert answer.is_success


def test_a_completion_counts_its_tokens_and_keeps_to_the_limit(engine):
    answer = engine.client.post(
        "/v1/completions", json={"model": NAMES[0], "prompt": "One, two,", "max_tokens": 4}
    ).json()
    assert answer["usage"]["prompt_tokens"] > 0
    assert 0 < answer["usage"]["completion_tokens"] <= 4
    assert answer["choices"][0]["finish_reason"] in {"length", "stop"}


def test_a_chat_answers_as_the_assistant(engine):
    answer = engine.client.post("/v1/chat/completions", json={"model": NAMES[0], "messages": TALK, "max_tokens": 8})
    message = answer.json()["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert isinstance(message["content"], str)


def test_a_chat_streams_its_words_and_then_its_usage(engine):
    body = {"messages": TALK, "max_tokens": 8, "stream_options": {"include_usage": True}}
    events = engine.events("/v1/chat/completions", **body)
    said = [event["choices"][0]["delta"].get("content") for event in events if event["choices"]]
    assert "".join(word or "" for word in said)
    reasons = [event["choices"][0].get("finish_reason") for event in events if event["choices"]]
    assert reasons[-1] in {"length", "stop"}
    assert events[-1]["usage"]["completion_tokens"] > 0


def test_its_tokenizer_counts_a_conversation_as_a_completion_does(engine):
    turns = [Turn(role="user", content="Name three condiments. 番茄酱"), Turn(role="assistant", content="Mustard, …")]
    turns.append(Turn(role="user", content="<|im_end|> And a spice?"))
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    answer = engine.client.post("/v1/chat/completions", json={"model": NAMES[0], "messages": messages, "max_tokens": 1})
    endpoint = EngineEndpoint(name="smol", url=engine.machine.address, key=KEY)
    assert count_tokens(engine.client, endpoint, NAMES[0], turns) == answer.json()["usage"]["prompt_tokens"]


def test_a_completion_streams_too(engine):
    events = engine.events("/v1/completions", prompt="My favourite condiment is", max_tokens=8)
    assert "".join(event["choices"][0]["text"] for event in events if event["choices"])


@pytest.mark.parametrize("body", [{"model": NAMES[0]}, {"model": NAMES[0], "messages": "no list"}])
def test_a_malformed_request_is_the_client_s_fault(engine, body):
    assert 400 <= engine.client.post("/v1/chat/completions", json=body).status_code < 500


def test_its_key_is_on_no_command_line_and_in_no_file(engine):
    pids = machine_processes.of_machine(engine.folder.path, None)
    assert len(pids) >= 2
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            assert KEY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert all(KEY not in file.read_text() for file in engine.folder.path.iterdir() if file.is_file())


def test_it_ends_when_it_is_asked_and_need_not_be_killed(engine):
    # The last test of an engine: it is gone afterwards.
    started = engine.folder.started()
    began = time.monotonic()
    os.kill(started.pid, signal.SIGTERM)
    while machine_processes.of_machine(engine.folder.path, started.pid):
        assert time.monotonic() - began < GRACE.total_seconds()
        time.sleep(0.01)
