"""From `/mixtral launch` to a real answer in the channel, and down again: every part real, the engine too."""

import httpx
import pytest

from tests import loopback
from tests.line import Line
from tests.person import GENERAL, MIXTRAL, Person, filled, words


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with Line(tmp_path_factory.mktemp("line"), MIXTRAL_DEFAULT_RECIPE="smollm2-135m") as started:
        yield started


@pytest.fixture
def robin(line):
    with Person(line.page) as person:
        yield person
        for name in line.redis().hgetall("mixtral:names"):  # what a test that failed has left to the next
            person.end(GENERAL, name.decode())
        line.wait(lambda: not line.machines(), 30, "the end of all machines")


def card(person, name, *said):
    def look(p):
        found = [m for m in p.messages(GENERAL) if (m.get("metadata") or {}).get("event_type") == "mixtral_card"]
        return next((m for m in found if all(s in words(m) for s in (name, *said))), None)

    return person.wait_for(look, 30)


def key_from(ephemeral):
    said = words(ephemeral)
    start = said.index("mxk_")
    return said[start : start + 36]


def test_launch_ask_scale_and_down(line, robin):
    assert robin.command(GENERAL, "/mixtral launch smollm2-135m as small")["acked"]
    ready = card(robin, "small", "/v1/chat/completions", "My favourite condiment is")
    [machine] = line.machines()
    assert f"{line.gateway}/v1" in words(ready)

    # The endpoint answers to its key, and to nobody else.
    key = key_from(robin.wait_for_ephemeral("mxk_"))
    chat = f"{line.gateway}/v1/chat/completions"
    body = {"model": "small", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    assert loopback.post(chat, json=body).status_code == 401
    answer = loopback.post(chat, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    assert answer.json()["choices"][0]["message"]["content"]
    # Nor does the machine itself know the key: it asks for one of its own, which the gateway alone has.
    direct = f"{machine.machine.address}/v1/chat/completions"
    assert loopback.post(direct, json=body, headers={"Authorization": f"Bearer {key}"}).status_code == 401

    # A question by command, a follow-up in its thread, and a mention, each answered by the model.
    robin.command(GENERAL, '/mixtral ask "Name three condiments."')
    # By its words: once it has a reply, the root of a thread has a thread_ts, and the card's curl has the prompt, too.
    question = robin.wait_for_message(GENERAL, "asks *small*")
    thread = question["ts"]
    first = robin.wait_for_message(GENERAL, lambda m: is_answer(m, thread), thread_ts=thread, timeout=30)
    robin.say(GENERAL, "And one more?", thread_ts=thread)
    robin.wait_for_message(
        GENERAL, lambda m: is_answer(m, thread) and m["ts"] > first["ts"], thread_ts=thread, timeout=30
    )
    mention = robin.say(GENERAL, "@mixtral What is ketchup made of?")
    robin.wait_for_message(GENERAL, lambda m: is_answer(m, mention), thread_ts=mention, timeout=30)

    # A second replica, on a port and with a process of its own.
    robin.command(GENERAL, "/mixtral scale small 2")
    card(robin, "small", "2 of 2")
    assert len({m.machine.address for m in line.machines()}) == 2

    # The end frees ports and name, and the card says how long it ran.
    addresses = [m.machine.address for m in line.machines()]
    robin.end(GENERAL, "small")
    card(robin, "small", "Down", "Ran")
    assert line.machines() == []
    for address in addresses:
        with pytest.raises(httpx.ConnectError):
            loopback.get(f"{address}/health")
    assert len([m for m in robin.messages(GENERAL) if "small" in words(m) and m.get("metadata")]) >= 1


def test_from_the_home_tab_to_a_model_that_answers_and_a_question_to_it_in_three_presses_without_typing(line, robin):
    robin.open_home()
    home = robin.wait_for(lambda p: p.home())
    robin.press_in(home, "launch_form")
    [form] = robin.wait_for(lambda p: p.modals())
    assert "smollm2-135m: free" in str(form["blocks"][0])
    assert "*Cheapest now*: CPU only, this machine, free" in words(form)
    assert robin.submit(form, filled(form, {}))["ok"]
    tested = ("smollm2-135m", "/v1/chat/completions", "My favourite condiment is")
    shown = robin.wait_for_message(robin.dm(), lambda m: all(said in words(m) for said in tested), timeout=40)
    robin.press(shown, "card_ask")
    [asking] = robin.wait_for(lambda p: p.modals())
    assert "smollm2-135m" in words(asking) + str(asking["title"])
    robin.dismiss(asking)
    robin.press(shown, "card_down")
    [question] = robin.wait_for(lambda p: p.modals())
    robin.submit(question, {})
    robin.wait_for(lambda _: not line.machines(), 30)


def is_answer(message, thread):
    """Whether the model has answered in this thread, to its last word: what is said while it starts is no answer."""
    return (
        message.get("thread_ts") == thread
        and message.get("bot_id")
        and not message.get("streaming")
        and "tokens/s" in words(message)
    )


def test_a_question_put_while_it_starts_waits_for_the_answer(line, robin):
    robin.command(MIXTRAL, "/mixtral launch smollm2-135m as slow")
    robin.command(MIXTRAL, "/mixtral ask slow What is mustard?")
    question = robin.wait_for_message(MIXTRAL, lambda m: "What is mustard?" in words(m))
    robin.wait_for_message(MIXTRAL, lambda m: is_answer(m, question["ts"]), thread_ts=question["ts"], timeout=40)
    robin.end(MIXTRAL, "slow")
    robin.wait_for(lambda _: not line.machines(), 30)


def test_without_a_usable_cloud_the_card_shows_the_ladder_and_what_mends_it(line, robin):
    robin.command(GENERAL, "/mixtral launch mixtral-8x7b")
    shown = words(card(robin, "mixtral-8x7b", "could not be launched", "USD/h", "credentials"))
    assert "7.98" in shown
    assert "aws configure" in shown or "AWS_ACCESS_KEY_ID" in shown
    assert line.machines() == []
    robin.command(GENERAL, "/mixtral launch mixtral-8x7b as again")  # the name is free, nothing is half-made
    card(robin, "again could not be launched", "credentials")  # the other card has a button "Launch again…"
    line.wait(lambda: not line.redis().hgetall("mixtral:names"), 10, "the end of it")


def test_an_engine_that_dies_at_start_shows_the_end_of_its_log(line, robin):
    robin.command(GENERAL, "/mixtral launch broken")
    shown = words(card(robin, "broken", "failed to start"))
    assert "this engine was told to fail" in shown
    assert line.machines() == []


def test_a_secret_that_the_worker_lacks_is_named(line, robin):
    robin.command(GENERAL, "/mixtral launch secretive")
    assert "A_TOKEN_NOBODY_HAS" in words(card(robin, "secretive", "needs"))
    assert line.machines() == []


def test_a_model_that_answers_nothing_is_told_of(line, robin):
    robin.command(GENERAL, "/mixtral launch silent")
    card(robin, "silent", "empty answer")
    robin.end(GENERAL, "silent")
    robin.wait_for(lambda _: not line.machines(), 30)
