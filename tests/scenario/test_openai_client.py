"""The official OpenAI client against the endpoint, as people use it: base URL and key from the card, nothing else."""

import re
import time

import openai
import pytest

from tests.line import Line
from tests.person import GENERAL, Person, words

NAME = "api"
MODEL = "scripted"
"""What the recipe calls its model."""

TALK = [{"role": "user", "content": "Hello! What is your name?"}]
KEY = re.compile(r"mxk_\w{32}")
KEY_ID = re.compile(r"\bk-[0-9a-f]+\b")

REVOKED_WITHIN = 10
"""Seconds, for a machine that is busy with other things; here it takes a tenth of one."""


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with Line(tmp_path_factory.mktemp("line")) as started:
        yield started


@pytest.fixture(scope="module")
def robin(line):
    with Person(line.page) as person:
        assert person.command(GENERAL, f"/mixtral launch {MODEL} as {NAME}")["acked"]
        yield person


@pytest.fixture(scope="module")
def key(robin):
    return KEY.search(words(robin.wait_for_ephemeral("mxk_", timeout=30)))[0]


@pytest.fixture
def client(line, key):
    with client_with(line, key) as client:
        yield client


def client_with(line, key):
    """As its documentation has it, without the retries, which would hide what goes wrong."""
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=f"{line.gateway}/v1", api_key=key, max_retries=0, timeout=30, http_client=http)


def issue(robin):
    """A further key to the endpoint, and its id, as its owner is told."""
    before = len(robin.ephemerals(GENERAL))
    assert robin.command(GENERAL, f"/mixtral key {NAME} new")["acked"]

    def told(person):
        said = [words(message) for message in person.ephemerals(GENERAL)[before:]]
        return next((s for s in said if KEY.search(s) and KEY_ID.search(s)), None)

    said = robin.wait_for(told)
    return KEY.search(said)[0], KEY_ID.search(said)[0]


def opens(line, key):
    with client_with(line, key) as client:
        try:
            client.models.list()
        except openai.AuthenticationError:
            return False
        return True


def test_a_chat_is_answered(client):
    answer = client.chat.completions.create(model=NAME, messages=TALK, max_tokens=4)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "This answer comes from"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 4


def test_a_chat_is_streamed_token_by_token(client):
    with client.chat.completions.create(
        model=NAME, messages=TALK, max_tokens=4, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert [piece for piece in said if piece] == ["This", " answer", " comes", " from"]
    assert chunks[-1].usage.completion_tokens == 4


def test_a_completion_is_answered(client):
    answer = client.completions.create(model=NAME, prompt="My favourite condiment is", max_tokens=4)
    assert answer.choices[0].text == " This answer comes from"


def test_a_completion_is_streamed(client):
    with client.completions.create(model=NAME, prompt="My favourite condiment is", max_tokens=4, stream=True) as stream:
        assert "".join(chunk.choices[0].text for chunk in stream) == " This answer comes from"


def test_the_models_are_listed_by_both_names(client):
    assert {model.id for model in client.models.list()} == {NAME, MODEL}


@pytest.mark.parametrize("name", [NAME, MODEL])
def test_the_deployments_name_and_the_models_own_are_both_taken(client, name):
    assert client.chat.completions.create(model=name, messages=TALK).choices[0].message.content


def test_a_model_that_is_not_there_is_named_in_the_refusal(client):
    with pytest.raises(openai.NotFoundError, match="gpt-4"):
        client.chat.completions.create(model="gpt-4", messages=TALK)


def test_a_wrong_key_is_an_authentication_error_that_says_what_to_do(line, key):
    with client_with(line, f"mxk_{'x' * 32}") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model=NAME, messages=TALK)
    assert caught.value.code == "invalid_api_key"
    assert "missing, wrong or revoked" in caught.value.message
    assert "the bot gave you" in caught.value.message


def test_a_revoked_key_opens_nothing_within_moments_and_the_others_go_on(line, robin, client):
    second, id_ = issue(robin)
    robin.wait_for(lambda _: opens(line, second), REVOKED_WITHIN)
    assert robin.command(GENERAL, f"/mixtral key {NAME} revoke {id_}")["acked"]
    revoked = time.monotonic()
    robin.wait_for(lambda _: not opens(line, second), REVOKED_WITHIN)
    print(f"revoked within {time.monotonic() - revoked:.2f} s")
    with client_with(line, second) as late, pytest.raises(openai.AuthenticationError, match="revoked"):
        late.chat.completions.create(model=NAME, messages=TALK)
    assert client.chat.completions.create(model=NAME, messages=TALK).choices


def test_a_connection_that_is_kept_opens_nothing_more_when_its_key_is_revoked(line, robin):
    second, id_ = issue(robin)
    robin.wait_for(lambda _: opens(line, second), REVOKED_WITHIN)
    with client_with(line, second) as client:
        assert client.models.list().data  # the connection is kept from now on
        robin.command(GENERAL, f"/mixtral key {NAME} revoke {id_}")
        robin.wait_for(lambda _: not opens(line, second), REVOKED_WITHIN)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
