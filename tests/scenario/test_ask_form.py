"""The form for a question: from a button of a deployment, and as a shortcut in the menu of a message."""

from slack_sdk import WebClient

from bot.prompting.store import QUESTIONS
from bot.sandbox.seed import BOT_TOKEN, BOT_USER
from bot.views.blocks import actions, button
from tests.answering import engine, line, place, slack
from tests.fakes.upstream import DEFAULT, Upstream
from tests.person import GENERAL, MIXTRAL, RANDOM, ROBIN, words

__all__ = ["engine", "line", "place", "slack"]

FORM = "ask_form"


def shown_button(place, id_, channel=MIXTRAL):
    """A message with the button that the card, the Details and the Home tab have."""
    client = WebClient(BOT_TOKEN, base_url=place.line.settings.api_url)
    ts = client.chat_postMessage(channel=channel, text="fast", blocks=[actions([button("Ask", "card_ask", id_)])])["ts"]
    return place.robin.wait_for_message(channel, lambda m: m["ts"] == ts)


def form(person):
    return person.wait_for(lambda p: next((v for v in p.modals() if v["callback_id"] == FORM), None))


def closed(person):
    for view in person.modals()[:1]:
        person.dismiss(view)
    return person


def asked(engine):
    return [body["messages"][-1]["content"] for body in engine.asked]


def test_the_button_of_a_deployment_asks_in_its_channel_and_a_repeated_submission_asks_once(place, engine):
    id_ = place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    closed(place.robin).press(shown_button(place, id_), "card_ask")
    view = form(place.robin)
    assert "The answer follows in this channel, in a thread." in words(view)
    place.robin.fault("lose_ack")
    assert not place.robin.submit(view, {"question": "Name three\ncondiments."})["ok"]
    assert place.robin.submit(view, {"question": "Name three\ncondiments."})["ok"]
    root = place.robin.wait_for_message(MIXTRAL, "asks *fast*")
    assert root["text"].endswith("asks *fast*:\n> Name three\n> condiments.")
    place.answer(root["ts"], DEFAULT)
    place.settled(root["ts"])
    assert asked(engine) == ["Name three\ncondiments."]
    assert not place.robin.modals()


def test_one_that_is_not_ready_is_said_to_wait_and_answers_when_it_is(place, engine):
    id_ = place.shelf.start("fast", MIXTRAL)
    place.bot()
    closed(place.robin).press(shown_button(place, id_), "card_ask")
    view = form(place.robin)
    assert "your question waits until it is ready" in words(view)
    assert place.robin.submit(view, {"question": "Hello"})["ok"]
    root = place.robin.wait_for_message(MIXTRAL, lambda m: m["text"].endswith("asks *fast*:\n> Hello"))
    place.answer(root["ts"], "Your question waits")
    place.shelf.append(place.shelf.story(id_).answers_at(engine.url))
    place.answer(root["ts"], DEFAULT)


def test_one_that_ended_while_the_form_was_open_is_said_at_the_input_with_the_mend(place, engine):
    id_ = place.shelf.put("fast", engine.url, MIXTRAL)
    button_ = shown_button(place, id_)
    place.robin.press(button_, "card_ask")
    view = form(place.robin)
    place.shelf.append(place.shelf.story(id_).stopped().ended())
    errors = place.robin.submit(view, {"question": "Hello"})["errors"]
    assert errors["question"].startswith("fast has ended, so this question will not be answered. Start it again with")
    assert errors["question"].endswith("Copy your question before you close this window.")
    assert place.redis.hlen(QUESTIONS) == 0

    closed(place.robin).press(button_, "card_ask")
    place.robin.wait_for_ephemeral("fast* has ended", channel=MIXTRAL)
    assert not place.robin.modals()


def test_a_question_of_a_megabyte_is_refused_at_the_input_with_the_limit(place, engine):
    id_ = place.shelf.put("fast", engine.url, MIXTRAL)
    closed(place.robin).press(shown_button(place, id_), "card_ask")
    errors = place.robin.submit(form(place.robin), {"question": "x" * 1_000_000})["errors"]
    assert errors["question"].startswith("This question has 1,000,000 characters, and at most 3,000 fit")


def test_a_question_about_a_message_is_answered_in_its_thread_with_the_message_as_context(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    with Upstream(model="slow") as slow:
        place.shelf.put("slow", slow.url, MIXTRAL)
        place.bot()
        ts = place.ada.say(MIXTRAL, "Mayonnaise is a *dressing*, see https://example.com")
        message = place.robin.wait_for_message(MIXTRAL, lambda m: m["ts"] == ts)
        closed(place.robin).shortcut(message)
        view = form(place.robin)
        assert "Mayonnaise is a" in words(view)
        choice = next(b["element"] for b in view["blocks"] if b["block_id"] == "model")
        assert [o["text"]["text"] for o in choice["options"]] == ["fast", "slow"]
        given = {
            "model": {"model": {"type": "static_select", "selected_option": choice["options"][1]}},
            "question": "Is that right?",
        }
        assert place.robin.submit(view, given)["ok"]
        echo = place.robin.wait_for_message(MIXTRAL, "about a message by", thread_ts=ts)
        assert echo["thread_ts"] == ts
        assert echo["text"] == f"<@{ROBIN}> asks *slow* about a message by <@{message['user']}>:\n> Is that right?"
        place.answer(ts, DEFAULT)
        place.settled(ts)
        [prompt] = asked(slow)
        assert prompt.startswith("Is that right?\n\nThe message that this is about, by Ada")
        assert prompt.endswith("Mayonnaise is a *dressing*, see https://example.com")

        said = place.robin.wait_for_message(MIXTRAL, lambda m: "answer_again" in str(m["blocks"]), thread_ts=ts)
        place.robin.press(said, "answer_again")
        place.robin.wait_for(lambda _: len(slow.asked) == 2)
        assert asked(slow)[1] == prompt, "asked again, with nothing else"
        place.settled(ts)
        place.ada.say(MIXTRAL, "And ketchup?", ts)
        place.robin.wait_for(lambda _: len(slow.asked) == 3)
        assert prompt in next(m["content"] for m in slow.asked[2]["messages"])


def test_about_a_message_where_the_bot_is_not_the_answer_comes_privately_and_the_form_says_so(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.ada.say(RANDOM, "Mayonnaise is a dressing.")
    message = place.robin.wait_for_message(RANDOM, lambda m: m["ts"] == ts)
    closed(place.robin).shortcut(message)
    view = form(place.robin)
    assert "the answer follows in your direct messages with the bot" in words(view)
    assert place.robin.submit(view, {"question": "Is that right?"}) == {"ok": True}
    dm = place.robin.dm()
    root = place.robin.wait_for_message(dm, "about a message by")
    assert "“Mayonnaise is a dressing.”" in root["text"]
    place.robin.wait_for_message(dm, DEFAULT, thread_ts=root["ts"])
    assert not [m for m in place.robin.messages(RANDOM) if m["user"] == BOT_USER]


def test_a_question_about_a_message_has_its_files(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.ada.upload(MIXTRAL, {"name": "a.log", "content": b"12:02 OOM"})
    message = place.robin.wait_for_message(MIXTRAL, lambda m: m["ts"] == ts)
    closed(place.robin).shortcut(message)
    view = form(place.robin)
    assert "a.log" in words(view)
    assert place.robin.submit(view, {"question": "Why?"}) == {"ok": True}
    place.answer(ts, DEFAULT)
    [prompt] = asked(engine)
    assert prompt.startswith("File `a.log`:\n```\n12:02 OOM\n```\n\nWhy?")


def test_a_question_about_a_forwarded_message_has_its_text_once_and_its_file(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    there = place.ada.upload(GENERAL, {"name": "a.log", "content": b"12:02 OOM"}, text="It fails")
    ts = place.ada.forward(MIXTRAL, GENERAL, there, text="Look:")
    message = place.robin.wait_for_message(MIXTRAL, lambda m: m["ts"] == ts)
    closed(place.robin).shortcut(message)
    assert place.robin.submit(form(place.robin), {"question": "Why?"}) == {"ok": True}
    place.answer(ts, DEFAULT)
    [prompt] = asked(engine)
    assert prompt.count("It fails") == 1
    assert prompt.count("12:02 OOM") == 1


def test_the_files_of_a_message_where_the_bot_is_not_are_named_as_not_included(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.ada.upload(RANDOM, {"name": "a.log", "content": b"12:02 OOM"}, text="Look:")
    message = place.robin.wait_for_message(RANDOM, lambda m: m["ts"] == ts)
    closed(place.robin).shortcut(message)
    assert place.robin.submit(form(place.robin), {"question": "Why?"}) == {"ok": True}
    place.robin.wait_for(lambda _: engine.asked)
    assert "Look:\n\n[files that are not included: a.log]" in asked(engine)[0]
    assert "OOM" not in asked(engine)[0]


def test_the_shortcut_says_what_to_do_where_nothing_runs_or_a_message_has_no_text(place):
    ts = place.ada.say(MIXTRAL, "Mayonnaise is a dressing.")
    message = place.robin.wait_for_message(MIXTRAL, lambda m: m["ts"] == ts)
    closed(place.robin).shortcut(message)
    place.robin.wait_for_ephemeral("No deployment is running. Start a model with `/mixtral launch`", channel=MIXTRAL)


def test_from_the_home_tab_the_question_is_asked_in_the_persons_own_direct_messages(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL, user=ROBIN)
    place.bot()
    closed(place.robin).open_home()
    home = place.robin.wait_for(lambda p: p.home() if "card_ask" in str(p.home()) else None)
    place.robin.press_in(home, "card_ask")
    view = form(place.robin)
    assert "The answer follows in your direct messages with the bot." in words(view)
    assert place.robin.submit(view, {"question": "Hello from home"}) == {"ok": True}
    dm = place.robin.dm()
    root = place.robin.wait_for_message(dm, "Hello from home")
    place.robin.wait_for_message(dm, DEFAULT, thread_ts=root["ts"])
