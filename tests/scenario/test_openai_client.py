"""The official OpenAI client against the endpoint, as people use it: base URL and key from the card, nothing else."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import openai
import pytest

from tests.line import Line
from tests.patience import PATIENCE
from tests.person import GENERAL, Person, words
from workers.gateway.run import haproxy_of
from workers.policy.key_limits import KeyLimits
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy
from workers.settings import from_environ

NAME = "api"
MODEL = "scripted"
"""What the recipe calls its model."""

TALK = [{"role": "user", "content": "Hello! What is your name?"}]
KEY = re.compile(r"mxk_\w{32}")
KEY_ID = re.compile(r"\bk-[0-9a-f]+\b")

APPLIED_WITHIN = 5
"""Seconds until a policy's limits are in force at the gateway; on an idle machine it takes one."""

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
        person.wait_for_ephemeral("mxk_", timeout=30)  # before, no further key can be made
        yield person


@pytest.fixture(scope="module")
def key(robin):
    return KEY.search(words(robin.wait_for_ephemeral("mxk_", timeout=30)))[0]


@pytest.fixture
def client(line, key):
    with client_with(line, key) as client:
        yield client


def client_with(line, key, max_retries=0, heed=lambda _: None):
    """As its documentation has it, without the retries, which would hide what goes wrong.

    `heed` is called with the status of each answer.
    """
    hooks = {"response": [lambda answer: heed(answer.status_code)]}
    http = openai.DefaultHttpxClient(trust_env=False, event_hooks=hooks)
    return openai.OpenAI(
        base_url=f"{line.gateway}/v1", api_key=key, max_retries=max_retries, timeout=30, http_client=http
    )


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


@contextmanager
def limits(line, **fields):
    """Puts a policy with these limits of keys in force, for a time."""
    stored, haproxy = StoredPolicy(line.redis()), haproxy_of(from_environ(line.env).gateway)
    before = haproxy.actual().limits
    deployments = {entry.partition("/")[0] for entry in before}
    wanted = {f"{id_}/{name}": str(most) for id_ in deployments for name, most in fields.items()}
    assert wanted.items() - before.items()
    stored.put(Policy(keys=KeyLimits(**fields)))
    try:
        line.wait(lambda: wanted.items() <= haproxy.actual().limits.items(), APPLIED_WITHIN, "the limits")
        yield
    finally:
        stored.put(Policy())
        line.wait(lambda: haproxy.actual().limits == before, APPLIED_WITHIN, "the end of the limits")


def test_a_key_over_its_limit_is_a_rate_limit_error_that_names_the_limit_and_no_other_key_is_refused(line, robin):
    greedy, modest = issue(robin)[0], issue(robin)[0]
    robin.wait_for(lambda _: opens(line, modest), REVOKED_WITHIN)
    with client_with(line, greedy) as client, client_with(line, modest) as other:
        with limits(line, requests_per_minute=3):
            for _ in range(3):
                assert client.models.list().data
            with pytest.raises(openai.RateLimitError, match="3 requests per minute") as caught:
                client.models.list()
            assert caught.value.code == "rate_limit_exceeded"
            assert caught.value.response.headers["retry-after"] == "30"
            assert other.models.list().data
        assert client.models.list().data


def test_the_clients_own_retries_wait_as_long_as_the_gateway_says_and_then_succeed(line, robin):
    before = len(robin.ephemerals(GENERAL))
    assert robin.command(GENERAL, "/mixtral launch slow as drip")["acked"]
    said = robin.wait_for(lambda p: [w for m in p.ephemerals(GENERAL)[before:] if KEY.search(w := words(m))], 30)
    key = KEY.search(said[0])[0]
    talk, statuses = {"model": "drip", "messages": TALK}, []
    with (
        ThreadPoolExecutor(1) as later,
        limits(line, at_once=1),
        client_with(line, key) as first,
        client_with(line, key, 2, statuses.append) as second,
    ):
        with first.chat.completions.create(**talk, stream=True):
            with pytest.raises(openai.RateLimitError, match="1 requests at once"):
                first.models.list()
            began = time.monotonic()
            asked = later.submit(second.models.list)
            line.wait(lambda: statuses, 10, "a refusal")
        assert asked.result().data
        assert 5 <= time.monotonic() - began < 20 * PATIENCE
        assert statuses == [429, 200]
    robin.end(GENERAL, "drip")


def test_the_list_of_keys_shows_the_last_use(line, robin):
    key, id_ = issue(robin)
    robin.wait_for(lambda _: opens(line, key), REVOKED_WITHIN)

    def shown(person):
        before = len(person.ephemerals(GENERAL))
        assert person.command(GENERAL, f"/mixtral key {NAME} list")["acked"]
        said = person.wait_for(lambda p: [words(m) for m in p.ephemerals(GENERAL)[before:]])
        return any(id_ in row and "last used" in row for text in said for row in text.splitlines())

    robin.wait_for(shown, 30)
