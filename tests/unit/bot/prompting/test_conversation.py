"""A thread becomes the conversation that a model's template takes."""

from bot.prompting.conversation import ANSWER_EVENT, Remembered, from_memory, turns
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


def test_a_command_to_the_bot_within_a_thread_is_no_part_of_the_conversation():
    thread = [person("1.0", "<@UBOT> Hi"), bot("2.0", "Hello.", ANSWER_EVENT), person("3.0", "<@UBOT> status")]
    thread += [person("4.0", "<@UBOT> logs m"), person("5.0", "<@UBOT> status quo"), person("6.0", "More")]
    assert said(thread, "6.0") == [("user", "Hi"), ("assistant", "Hello."), ("user", "status quo")]


def test_what_the_model_said_is_remembered_without_what_was_added_to_it():
    thread = [person("1.0", "Hi"), bot("2.0", "[a] (b) _footer_"), bot("3.0", "second half"), person("4.0", "More")]
    remembered = Remembered(answers={"2.0": "[a](b)", "3.0": ""})
    assert said(thread, "4.0", remembered) == [("user", "Hi"), ("assistant", "[a](b)")]


def test_a_commands_prompt_is_the_persons():
    thread = [bot("1.0", "<@U1> asks *m*:\n> Hi"), bot("2.0", "Hello.", ANSWER_EVENT), person("3.0", "Again")]
    remembered = Remembered(prompts={"1.0": "Hi"})
    assert said(thread, "3.0", remembered) == [("user", "Hi"), ("assistant", "Hello.")]


def test_a_question_outside_a_thread_has_no_past():
    assert said([person("1.0", "Hi")], None) == []


def test_without_slack_a_thread_is_what_we_remember():
    remembered = Remembered(prompts={"1.0": "Hi"}, answers={"2.0": "Hello."})
    assert said(from_memory(remembered), "3.0", remembered) == [("user", "Hi"), ("assistant", "Hello.")]


def answer(ts, text, key, replaces=None, user="UBOT"):
    payload = {"question": key} | ({"replaces": replaces} if replaces else {})
    return bot(ts, text) | {"user": user, "metadata": {"event_type": ANSWER_EVENT, "event_payload": payload}}


def test_an_answer_that_replaces_another_one_stands_where_that_one_stood():
    thread = [
        person("1.0", "Name a condiment"),
        answer("2.0", "Mustard, first half", "q1"),
        answer("2.5", "and second half.", "q1"),
        person("3.0", "And a spice?"),
        answer("4.0", "Pepper.", "q2"),
        answer("5.0", "Ketchup.", "q1-again", "q1"),
        answer("6.0", "Mayonnaise.", "q1-thrice", "q1-again"),
        person("7.0", "More"),
    ]
    expected = [("user", "Name a condiment"), ("assistant", "Mayonnaise."), ("user", "And a spice?")]
    assert said(thread, "7.0") == [*expected, ("assistant", "Pepper.")]
    assert said(thread, "3.0") == expected[:2], "also for what is asked again about an earlier question"


def test_an_answer_that_was_stopped_before_its_first_word_replaces_none():
    stopped = answer("5.0", "", "q1-again", "q1") | {"blocks": [{"type": "context", "elements": []}]}
    thread = [person("1.0", "Name a condiment"), answer("2.0", "Mustard.", "q1"), stopped, person("7.0", "More")]
    assert said(thread, "7.0") == [("user", "Name a condiment"), ("assistant", "Mustard.")]


def test_another_app_cannot_take_answers_out_of_the_conversation():
    foreign = answer("3.0", "Nothing.", "q9", "q1", user="UEVIL") | {"bot_id": "BEVIL"}
    thread = [person("1.0", "Hi"), answer("2.0", "Hello.", "q1"), foreign, person("4.0", "More")]
    assert ("assistant", "Hello.") in said(thread, "4.0")
