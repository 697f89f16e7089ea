"""An engine's answers and its failures, over a real connection."""

import gzip
import json
import time
from datetime import timedelta
from itertools import chain, repeat

import httpx
import pytest

from bot.prompting.conversation import Turn
from bot.prompting.engine import Completion, EngineEndpoint, model_of
from bot.prompting.engine_failures import EngineFailed, TooLong, Unreachable, explanation, refusal
from bot.prompting.outcome import Finish, footer, outcome
from tests.fakes.raw_http import RawServer, head
from tests.fakes.upstream import DEFAULT, Upstream
from tests.patience import PATIENCE

QUESTION = [Turn(role="user", content="Name three condiments.")]


@pytest.fixture
def engine():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def raw():
    with RawServer(lambda _: ()) as server:
        yield server


@pytest.fixture
def http():
    with httpx.Client() as client:
        yield client


def completion(http, engine, **more):
    return Completion(http, EngineEndpoint(name="fast", url=engine.url, key="k"), "scripted", QUESTION, 100, **more)


def a_hundred_times_faster():
    return time.monotonic() * 100


def whole(completion):
    text = ""
    while not completion.ended:
        text += completion.take(timedelta(seconds=1))
    return text + completion.take(timedelta())


def test_an_answer_is_whole_and_counted(http, engine):
    answer = completion(http, engine)
    assert whole(answer) == DEFAULT
    assert answer.finish.reason == "stop"
    assert answer.finish.tokens == 7
    assert engine.asked[0] == {
        "model": "scripted",
        "messages": [{"role": "user", "content": "Name three condiments."}],
        "max_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_first_words_wake_the_taker_and_later_ones_gather(http, engine):
    engine.script = lambda _: {"text": " ".join(["word"] * 1000), "delay": 0.05}
    answer = completion(http, engine)
    began = time.monotonic()
    assert answer.take(timedelta(seconds=60)).strip()
    assert time.monotonic() - began < 45, "it did not wait until the end, which is after 50 s"
    assert len(answer.take(timedelta(seconds=2)).split()) > 1
    answer.cancel()


def test_what_came_before_a_failure_is_taken_first(http, engine):
    engine.script = lambda _: {"die_after": 2}
    answer = completion(http, engine)
    came = ""
    while len(came) < len("Mustard, ketchup"):
        came += answer.take(timedelta(seconds=5))
    assert came == "Mustard, ketchup"
    with pytest.raises(EngineFailed, match="stopped before its answer"):
        whole(answer)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "content"])
def test_a_model_that_thinks_for_75_seconds_is_not_cut_at_60(http, engine, field):
    thoughts = ["<think>", *["Hm. "] * 150, "</think>"] if field == "content" else ["Hm. "] * 150
    engine.script = lambda _: {
        "thoughts": thoughts,
        "thoughts_in": field,
        "tokens": ["\n\n", "Mustard."],
        "delay": 0.005,
    }
    answer = completion(http, engine, thought_tokens=1000, clock=a_hundred_times_faster)
    assert whole(answer) == "Mustard."
    assert answer.finish.seconds > 75
    assert answer.finish.thinking > 75
    assert answer.finish.thoughts >= 150


@pytest.mark.parametrize("thoughts", [[], ["Hm."]])
def test_silence_for_60_seconds_is_cut_also_after_a_thought(http, engine, thoughts):
    engine.script = lambda _: {"thoughts": thoughts, "tokens": [""] * 2000, "delay": 0.005}
    with pytest.raises(EngineFailed, match="fast sent no text for 60 seconds"):
        whole(completion(http, engine, clock=a_hundred_times_faster))
    assert engine.asked


def test_the_room_for_thoughts_is_not_for_the_answer(http, engine):
    engine.script = lambda _: {"thoughts": ["Hm."] * 120, "text": " ".join(["word"] * 5000), "delay": 0.001}
    answer = completion(http, engine, thought_tokens=1000)
    # Words that arrive together are all taken. A single read has no more than 700 of them.
    assert 100 < len(whole(answer).split()) < 2500
    assert answer.finish.reason == "length"
    assert engine.asked[0]["max_tokens"] == 1100


def says(content, **more):
    return b"data: " + json.dumps({"choices": [{"delta": {"content": content, **more}}]}).encode() + b"\n\n"


def test_an_answer_is_asked_for_uncompressed_and_a_compressed_one_is_refused(http, raw):
    raw.answers = lambda _: [head(200, "Content-Encoding: gzip"), gzip.compress(says("x" * 10_000_000))]
    with pytest.raises(EngineFailed, match="fast sent a compressed answer"):
        whole(completion(http, raw))
    assert b"accept-encoding: identity\r\n" in raw.heads[0].lower()


@pytest.mark.parametrize("delta", [{"content": "x" * 500_000}, {"content": "", "reasoning": "x" * 500_000}])
def test_an_answer_in_large_chunks_ends_where_its_room_does(http, raw, delta):
    raw.answers = lambda _: chain([head(200)], repeat(says(**delta)))
    answer = completion(http, raw, thought_tokens=100)
    assert len(whole(answer)) < 10_000
    assert len(answer.finish.said) < 1_000_000
    assert answer.finish.reason == "length"
    assert raw.sent < 2**24


def test_a_line_without_an_end_is_a_failure(http, raw):
    raw.answers = lambda _: chain([head(200), b"data: "], raw.endless())
    with pytest.raises(EngineFailed, match="longer than 1 MiB"):
        whole(completion(http, raw))
    assert raw.sent < 2**24


def test_a_refusal_without_an_end_is_a_sentence(http, raw):
    raw.answers = lambda _: chain([head(500)], raw.endless(b"no " * 1000))
    with pytest.raises(EngineFailed, match="The engine of fast failed"):
        whole(completion(http, raw))
    assert raw.sent < 2**24


def test_of_a_refusal_that_drips_the_beginning_is_shown(http, raw):
    raw.answers = lambda _: chain([head(500), b"no memory"], raw.dripping())
    with pytest.raises(EngineFailed, match="no memory"):
        whole(completion(http, raw, clock=a_hundred_times_faster))


@pytest.mark.parametrize(
    "begun", [b"HTTP/1.1 200 OK\r\nX: ", head(200, "Transfer-Encoding: chunked") + b"1;"], ids=["its head", "a chunk"]
)
def test_what_drips_before_any_piece_of_the_answer_is_cut_and_its_connection_is_shut_down(http, raw, begun):
    raw.answers = lambda _: chain([begun], raw.dripping(b"x"))
    answer = completion(http, raw, clock=a_hundred_times_faster)
    with pytest.raises(EngineFailed, match="fast sent no text for 60 seconds"):
        whole(answer)
    assert raw.left.wait(15 * PATIENCE)
    with pytest.raises(EngineFailed, match="fast sent no text for 60 seconds"):
        answer.take(timedelta())


def test_nobody_listening_is_unreachable(http, engine):
    engine.url = "http://127.0.0.1:9"
    with pytest.raises(Unreachable, match="The endpoint of fast does not answer"):
        whole(completion(http, engine))


def test_the_model_is_known_by_the_deployments_name_if_it_goes_by_it(http, engine):
    endpoint = EngineEndpoint(name="scripted", url=engine.url, key="k")
    assert model_of(http, endpoint).name == "scripted"
    assert model_of(http, endpoint).context == 8192
    engine.model = "mistralai/Mixtral-8x7B-Instruct-v0.1"
    assert model_of(http, endpoint).name == "mistralai/Mixtral-8x7B-Instruct-v0.1"


def test_no_key_is_in_what_may_be_logged():
    assert "secret" not in repr(EngineEndpoint(name="fast", url="http://x", key="secret"))


@pytest.mark.parametrize(
    "said",
    [
        b'{"error": {"message": "request (20031 tokens) exceeds the available context size (8192 tokens)"}}',
        b'{"object":"error","message":"This model\'s maximum context length is 4096 tokens. However, you requested 9"}',
        b'{"error": {"message": "max_tokens is too large: 4096"}}',
    ],
)
def test_too_long_is_recognised_in_each_engines_words(said):
    assert isinstance(refusal("fast", 400, said), TooLong)


def test_an_explanation_is_one_short_line():
    assert explanation(b"<html>\n  nginx\n</html>") == "<html> nginx </html>"
    assert explanation(b"") == "no explanation."
    assert len(explanation(b"x" * 10_000)) == 301


def test_the_footer_tells_how_fast_it_was():
    finish = Finish(reason="stop", tokens=1201, seconds=13.04, writing=12.0)
    assert footer(finish, "fast") == "fast · 1,201 tokens · 100 tokens/s · 13.0 s"
    assert footer(Finish(reason="stop", tokens=1, seconds=0.5, writing=0), "fast") == "fast · 1 token · 0.5 s"


def test_the_footer_tells_how_long_the_model_thought():
    finish = Finish(reason="stop", tokens=1201, seconds=13.04, writing=12.0, thoughts=900, thinking=9.0)
    assert footer(finish, "fast") == "fast · 1,201 tokens · 100 tokens/s · 9.0 s of thoughts · 13.0 s"


def test_an_answer_that_ended_in_its_thoughts_says_so_and_what_to_do():
    finish = Finish(reason="length", tokens=5000, seconds=75, writing=74, thoughts=5000, thinking=74)
    assert outcome("", finish, "fast").closing == (
        "The model wrote 5,000 tokens of thoughts, which is all that it may write, and no answer. Ask a narrower "
        "question, or ask it in a new thread: a short conversation leaves more room for thoughts."
    )
    finish = Finish(reason="stop", tokens=1, seconds=75, writing=74, thoughts=1, thinking=74)
    assert (
        outcome("", finish, "fast").closing
        == "The model wrote 1 token of thoughts and no answer. Ask again or rephrase."
    )


def test_a_cut_answer_is_counted_without_its_thoughts():
    finish = Finish(reason="length", tokens=5000, seconds=75, writing=74, thoughts=3976, thinking=60)
    assert outcome("Mustard", finish, "fast").closing.startswith("The answer was cut at 1,024 tokens.")


def test_nothing_is_said_to_be_nothing():
    end = outcome(" \n", Finish(reason=None, tokens=0, seconds=1, writing=0), "fast")
    assert end.closing == "The model's answer is empty (finish reason: none given). Ask again or rephrase."
