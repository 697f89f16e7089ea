"""The tokens of a conversation, counted by the engines that can."""

import httpx
import pytest

from bot.prompting.conversation import Turn
from bot.prompting.engine import EngineEndpoint
from bot.prompting.tokenizer import count_tokens
from tests.fakes.upstream import Upstream

TURNS = [Turn(role="user", content="Hi"), Turn(role="assistant", content="Hello."), Turn(role="user", content="?")]


@pytest.fixture
def engine():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def count(engine):
    with httpx.Client() as http:
        yield lambda: count_tokens(http, EngineEndpoint(name="fast", url=engine.url, key="k"), "scripted", TURNS)


def test_vllm_counts_the_messages_with_its_template(engine, count):
    asked = []
    engine.others["/tokenize"] = lambda body: asked.append(body) or {"count": 17, "max_model_len": 4096, "tokens": []}
    assert count() == 17
    assert asked[0]["model"] == "scripted"
    assert asked[0]["messages"][1] == {"role": "assistant", "content": "Hello."}


def test_llama_cpp_is_asked_for_the_template_first(engine, count):
    engine.others["/apply-template"] = lambda body: {"prompt": " ".join(m["content"] for m in body["messages"])}
    engine.others["/tokenize"] = lambda body: {"tokens": [*range(len(body.get("content", "").split()))]}
    assert count() == 3


@pytest.mark.parametrize("said", [None, {"error": "no"}, {"count": "many"}, {"tokens": []}])
def test_an_engine_without_a_tokenizer_counts_nothing(engine, count, said):
    if said is not None:
        engine.others["/tokenize"] = lambda _: said
    assert count() is None


def test_an_endpoint_that_does_not_answer_counts_nothing(engine, count):
    engine.url = "http://127.0.0.1:9"
    assert count() is None
