"""Requests to engines whose answers have no end: a bounded part is read, in bounded time."""

import json
import threading
from datetime import timedelta
from itertools import chain

import httpx
import pytest

from bot.prompting.cancelling import Cancelling
from bot.prompting.conversation import Turn
from bot.prompting.engine import EngineEndpoint, Model, model_of
from bot.prompting.engine_exchange import MOST_BYTES, exchange
from bot.prompting.engine_failures import EngineFailed, Unreachable
from bot.prompting.tokenizer import count_tokens
from tests.fakes.raw_http import RawServer, head

SOON = timedelta(seconds=0.1)
LONG = timedelta(seconds=20)
IN_FLIGHT = 2**24
"""Maximum number of bytes that the buffers of a connection hold."""
TURNS = [Turn(role="user", content="Hi")]


def nothing(_):
    return ()


@pytest.fixture
def engine():
    with RawServer(nothing) as server:
        yield server


@pytest.fixture
def http():
    with httpx.Client(limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


def endpoint(engine):
    return EngineEndpoint(name="fast", url=engine.url, key="k")


def test_an_answer_is_read_to_its_end_and_asked_for_as_it_is(engine, http):
    engine.answers = lambda _: [head(200), b'{"a"', b": 1}"]
    answer = exchange(http, "POST", f"{engine.url}/x", headers={"X-Of": "ours"}, json={"b": 2}, within=LONG)
    assert (answer.status, answer.body) == (200, b'{"a": 1}')
    assert engine.paths == ["/x"]
    asked = engine.heads[0].lower()
    assert b"accept-encoding: identity\r\n" in asked
    assert b"x-of: ours\r\n" in asked


def test_an_answer_without_an_end_is_cut(engine, http):
    engine.answers = lambda _: chain([head(500)], engine.endless())
    answer = exchange(http, "GET", engine.url, headers={}, within=LONG)
    assert (answer.status, len(answer.body)) == (500, MOST_BYTES)
    assert engine.sent < IN_FLIGHT


@pytest.mark.parametrize(
    "begun",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", head(200), head(200, "Transfer-Encoding: chunked") + b"1;"],
    ids=["no status", "in its head", "in its body", "in the size of a chunk"],
)
def test_what_arrives_a_byte_at_a_time_is_given_up(engine, http, begun):
    engine.answers = lambda _: chain([begun] if begun else [], engine.dripping(b"x" if begun else b"", every=0.01))
    with pytest.raises(httpx.TimeoutException):
        exchange(http, "GET", engine.url, headers={}, within=SOON)


def test_a_request_that_is_given_up_does_not_end_the_next_one(engine, http):
    ours = Cancelling()
    engine.answers = lambda path: chain([head(200)], engine.dripping()) if path == "/slow" else [head(200), b"ok"]
    with pytest.raises(httpx.TimeoutException):
        exchange(http, "GET", f"{engine.url}/slow", headers={}, within=SOON, cancelling=ours)
    assert not ours.is_cancelled
    assert exchange(http, "GET", engine.url, headers={}, within=LONG, cancelling=ours).body == b"ok"


def test_a_request_is_cancelled_from_another_thread(engine, http):
    ours, begun = Cancelling(), threading.Event()

    def answers(_):
        yield head(200)
        begun.set()
        yield from engine.dripping()

    engine.answers = answers
    threading.Thread(target=lambda: begun.wait() and ours.cancel(), daemon=True).start()
    with pytest.raises(httpx.HTTPError):
        exchange(http, "GET", engine.url, headers={}, within=timedelta(minutes=4), cancelling=ours)


def test_a_compressed_answer_is_not_read(engine, http):
    engine.answers = lambda _: [head(200, "Content-Encoding: gzip"), b"\x1f\x8b"]
    assert exchange(http, "GET", engine.url, headers={}, within=LONG).body == b""


def test_a_list_of_models_without_an_end_is_as_none_and_the_name_of_the_deployment_is_asked_for(engine, http):
    entry = json.dumps({"id": "x" * 1000}).encode() + b","
    engine.answers = lambda _: chain([head(200), b'{"data": ['], engine.endless(entry))
    assert model_of(http, endpoint(engine)) == Model(name="fast", context=None)
    assert engine.sent < IN_FLIGHT


def test_a_refusal_without_an_end_is_a_sentence(engine, http):
    engine.answers = lambda _: chain([head(500)], engine.endless(b"no " * 1000))
    with pytest.raises(EngineFailed, match="The engine of fast failed") as raised:
        model_of(http, endpoint(engine))
    assert len(str(raised.value)) < 500
    assert engine.sent < IN_FLIGHT


@pytest.mark.parametrize("said", [b"[" * 100_000, b'{"data": [{"id": "a", "max_model_len": 1' + b"0" * 5000 + b"}]}"])
def test_a_list_that_no_decoder_takes_is_as_none(engine, http, said):
    engine.answers = lambda _: [head(200), said]
    assert model_of(http, endpoint(engine)).name == "fast"


def test_a_list_that_drips_says_that_the_endpoint_does_not_answer(engine, http, monkeypatch):
    monkeypatch.setattr("bot.prompting.engine.MODELS_WITHIN", SOON)
    engine.answers = lambda _: chain([head(200)], engine.dripping())
    with pytest.raises(Unreachable, match="The endpoint of fast does not answer"):
        model_of(http, endpoint(engine))


@pytest.mark.parametrize("said", [b'{"count": Infinity}', b"[" * 100_000, b'{"count": 1' + b"0" * 5000 + b"}"])
def test_a_count_that_is_none_counts_nothing(engine, http, said):
    engine.answers = lambda _: [head(200), said]
    assert count_tokens(http, endpoint(engine), "scripted", TURNS) is None


def test_a_count_without_an_end_counts_nothing(engine, http):
    engine.answers = lambda _: chain([head(200), b'{"tokens": [1'], engine.endless(b", 1" * 10_000))
    assert count_tokens(http, endpoint(engine), "scripted", TURNS) is None
    assert engine.sent < IN_FLIGHT


def test_the_tokens_of_a_long_conversation_are_read_whole(engine, http):
    """vLLM returns them beside their count: each is up to eight bytes, and may stand for one byte of the text."""
    tokens = b'{"count": 500000, "tokens": [' + b", ".join([b"128000"] * 500_000) + b"]}"
    assert len(tokens) > 3 * MOST_BYTES
    engine.answers = lambda _: [head(200), tokens]
    assert count_tokens(http, endpoint(engine), "scripted", [Turn(role="user", content="x" * 500_000)]) == 500_000
