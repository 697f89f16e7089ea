"""A thread becomes the conversation that a model's template takes."""

from hypothesis import given
from hypothesis import strategies as st

from bot.prompting.conversation import ANSWER_EVENT, Remembered, Turn, asking, budget, from_memory, turns
from bot.slack.message import Identity

BOT = Identity(user="UBOT", bot="BBOT")


def person(ts, text, user="U1", **more):
    return {"ts": ts, "user": user, "text": text, **more}


def bot(ts, text, event=None):
    marked = {"metadata": {"event_type": event, "event_payload": {}}} if event else {}
    return {"ts": ts, "user": "UBOT", "bot_id": "BBOT", "text": text, **marked}


def said(thread, before, remembered=Remembered()):  # noqa: B008 - frozen
    return [
        (t.role, t.content) for t in turns(thread, before=before, remembered=remembered, ourselves=BOT, names=["m"])
    ]


def test_people_are_users_answers_are_the_assistant_and_cards_are_nobody():
    thread = [
        bot("1.0", "A card", "mixtral_deployment"),
        person("2.0", "<@UBOT> m: Name a condiment &amp; a spice."),
        bot("3.0", "m is starting; your question waits.", "mixtral_notice"),
        bot("4.0", "Mustard.", ANSWER_EVENT),
        person("5.0", "<@U2> joined", subtype="channel_join"),
        person("6.0", "And one more?", user="U2"),
    ]
    assert said(thread, "6.0") == [("user", "Name a condiment & a spice."), ("assistant", "Mustard.")]


def test_what_the_model_said_is_remembered_without_what_was_added_to_it():
    thread = [person("1.0", "Hi"), bot("2.0", "[a] (b) _footer_"), bot("3.0", "second half"), person("4.0", "More")]
    remembered = Remembered(answers={"2.0": "[a](b)", "3.0": ""})
    assert said(thread, "4.0", remembered) == [("user", "Hi"), ("assistant", "[a](b)")]


def test_a_commands_prompt_is_the_persons():
    thread = [bot("1.0", "<@U1> asks *m*:\n> Hi"), bot("2.0", "Hello.", ANSWER_EVENT), person("3.0", "Again")]
    remembered = Remembered(prompts={"1.0": "Hi"})
    assert said(thread, "3.0", remembered) == [("user", "Hi"), ("assistant", "Hello.")]


def test_who_speaks_twice_has_one_turn():
    thread = [person("1.0", "Hi"), person("2.0", "there", user="U2"), person("3.0", "?")]
    assert said(thread, "3.0") == [("user", "Hi\n\nthere")]


def test_a_question_outside_a_thread_has_no_past():
    assert said([person("1.0", "Hi")], None) == []


def test_without_slack_a_thread_is_what_we_remember():
    remembered = Remembered(prompts={"1.0": "Hi"}, answers={"2.0": "Hello."})
    assert said(from_memory(remembered), "3.0", remembered) == [("user", "Hi"), ("assistant", "Hello.")]


TURNS = st.lists(st.text(max_size=40), max_size=12).map(
    lambda texts: [Turn(role="assistant" if n % 2 else "user", content=t) for n, t in enumerate(texts)]
)


@given(TURNS, st.text(min_size=1, max_size=40), st.integers(min_value=1, max_value=200))
def test_the_roles_take_turns_the_first_and_the_last_are_a_persons_and_the_question_is_whole(past, prompt, characters):
    kept = asking(past, prompt, characters)
    assert [t.role for t in kept] == ["assistant" if n % 2 else "user" for n in range(len(kept))]
    assert len(kept) % 2 == 1
    assert kept[-1].content.endswith(prompt)
    assert len(kept) == 1 or sum(len(t.content) for t in kept) <= characters


def test_the_oldest_turns_go_first():
    past = [Turn(role="user", content="a" * 50), Turn(role="assistant", content="b" * 50)]
    assert [t.content[0] for t in asking(past, "c" * 50, 1000)] == ["a", "b", "c"]
    assert [t.content[0] for t in asking(past, "c" * 50, 120)] == ["c"]


def test_an_eighth_of_the_context_is_for_the_answer():
    assert budget(8192).answer == 1024
    assert budget(8192).prompt == 4 * (8192 - 1024)
    assert budget(131_072).answer == 4096
    assert budget(None) == budget(8192)
