"""The buttons of an answer: a person stops it, asks again, asks another model, and says what they think of it."""

import pytest
from msgspec.structs import replace

from bot.language.question import Question, QuestionKey
from bot.language.quoted_message import QuotedMessage
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.question_tries import MAX_TRIES
from bot.prompting.store import Questions
from bot.sandbox.seed import BOT_USER, TEAM_ID
from bot.slack.budgets import LIMITS, MethodBudget
from bot.views import details
from tests.answering import engine, line, place, slack
from tests.fakes.upstream import DEFAULT, Upstream
from tests.person import MIXTRAL, ROBIN, Refused, words

__all__ = ["engine", "line", "place", "slack"]

WIDE = {method: MethodBudget(limit.per_minute * 100, limit.burst) for method, limit in LIMITS.items()}
REPEATING = {"tokens": ["The same sentence. "] * 2_000, "delay": 0.02}


@pytest.fixture(params=["channel", "direct"])
def channel(request, place):
    return MIXTRAL if request.param == "channel" else place.robin.open_dm()


def elements(message):
    """The buttons of a message: label to action_id."""
    found = [e for b in message["blocks"] if b["type"] == "actions" for e in b["elements"]]
    return {e["text"]["text"]: e["action_id"] for e in found}


def ours(place, channel, ts):
    return [m for m in place.robin.messages(channel, ts) if m["user"] == BOT_USER and m["ts"] != ts]


def told(place, sentence, channel=MIXTRAL):
    return place.robin.wait_for_ephemeral(sentence, channel=channel)


def test_in_a_channel_stop_stands_below_the_growing_text_and_ends_the_work_at_the_engine_within_a_second(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: REPEATING
    place.bot(budgets=WIDE)
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    growing = place.answer(ts, "The same sentence.")
    assert elements(growing) == {"Stop": "answer_stop"}
    place.ada.press(growing, "answer_stop")
    place.robin.wait_for(lambda _: engine.left == 1 and engine.open == 0, 1.0)
    place.settled()
    [answer] = ours(place, MIXTRAL, ts)
    assert list(elements(answer)) == ["Regenerate"]
    assert "This answer was stopped." in words(answer)
    place.ada.press(answer, "answer_again")
    place.robin.wait_for(lambda _: len(engine.asked) == 2)


def test_an_answer_that_is_given_up_keeps_no_stop(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: REPEATING
    bot = place.bot(budgets=WIDE)
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "The same sentence.")
    place.end(bot)
    questions = Questions(place.redis)
    [begun] = questions.all()
    questions.put(replace(begun, tries=MAX_TRIES))
    place.bot(budgets=WIDE)
    told(place, "so it was given up")
    place.settled()
    [answer] = ours(place, MIXTRAL, ts)
    assert elements(answer) == {}
    assert "The same sentence." in words(answer)


def test_slacks_own_stop_leaves_the_same_buttons_below_what_was_shown(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: REPEATING
    place.bot(budgets=WIDE)
    ts = place.robin.say(channel, "@mixtral Hello")
    place.answer(ts, "The same sentence.", channel=channel)
    place.robin.press_stop(channel, ts)
    place.robin.wait_for(lambda _: engine.left == 1 and engine.open == 0, 1.0)
    place.settled()
    [answer] = ours(place, channel, ts)
    assert list(elements(answer)) == ["Regenerate"]
    assert [block["type"] for block in answer["blocks"]] == ["markdown", "context", "actions"]
    assert place.markdown(ts, channel)[0].startswith("The same sentence.")
    assert place.robin.session(channel, ts) == "active"


def test_stop_of_an_answer_that_is_complete_or_of_another_channel_says_so(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: {"tokens": ["Hello "] * 30, "delay": 0.1}
    place.bot(budgets=WIDE)
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    growing = place.answer(ts, "Hello")
    place.line.stop_one("C0OTHER0001", f"{MIXTRAL}:{ts}")
    place.settled()
    assert "30 tokens" in place.said(ts), "it was not stopped from another channel"
    assert not place.line.stop_one(MIXTRAL, f"{MIXTRAL}:{ts}")
    assert growing["ts"] == ours(place, MIXTRAL, ts)[0]["ts"]


def test_regenerate_gives_a_new_answer_below_and_the_old_one_loses_its_buttons(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(channel, "@mixtral Name three condiments.")
    place.settled(ts, channel=channel)
    [first] = ours(place, channel, ts)
    engine.script = lambda _: {"text": "Wasabi."}
    place.robin.press(first, "answer_again")
    second = place.answer(ts, "Wasabi.", channel=channel)
    place.settled()
    assert engine.asked[1]["messages"] == [{"role": "user", "content": "Name three condiments."}]
    old, new = ours(place, channel, ts)
    assert new["ts"] == second["ts"]
    assert elements(old) == {}
    assert list(elements(new)) == ["Regenerate"]
    assert "fast · scripted" in words(new)
    engine.script = lambda _: {}
    place.robin.say(channel, "And a fourth?", ts)
    place.robin.wait_for(lambda _: len(engine.asked) == 3)
    said = [m["content"] for m in engine.asked[2]["messages"]]
    assert said == ["Name three condiments.", "Wasabi.", "And a fourth?"], "the newer answer stands for the older one"
    place.settled()


def test_an_answer_is_regenerated_once_however_often_it_is_pressed_and_though_redis_forgot_its_text(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral fast: Name three condiments.")
    place.settled(ts)
    [first] = ours(place, MIXTRAL, ts)
    place.redis.delete(f"mixtral:texts:{MIXTRAL}:{ts}")
    place.robin.press(first, "answer_again")
    place.robin.wait_for(lambda _: len(engine.asked) == 2)
    place.settled()
    again = GivenAnswers(place.redis).get(QuestionKey(f"{MIXTRAL}:{ts}"))
    assert again.question.text == "", "the text stands in Slack alone"
    question = replace(again.question, deployment="fast", chosen=True, thread_ts=ts, replaces=again.question.key)
    assert not place.line.ask(replace(question, id="another press"))
    place.settled()
    assert len(ours(place, MIXTRAL, ts)) == 2
    assert [b["messages"][-1]["content"] for b in engine.asked] == ["Name three condiments."] * 2


def test_a_regenerated_answer_that_a_dying_process_began_is_finished_in_place_with_its_buttons_once(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.settled(ts)
    [first] = ours(place, MIXTRAL, ts)
    engine.script = lambda _: {"tokens": ["slow "] * 200, "delay": 0.05}
    place.robin.press(first, "answer_again")
    place.answer(ts, "slow")
    place.end(bot)
    engine.script = lambda _: {"text": "Whole."}
    place.bot()
    place.answer(ts, "Whole.")
    place.settled()
    _, second = ours(place, MIXTRAL, ts)
    assert len(ours(place, MIXTRAL, ts)) == 2
    assert [b["type"] for b in second["blocks"]] == ["markdown", "context", "actions", "context_actions"]
    assert list(elements(second)) == ["Regenerate"]


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_question_about_a_message_is_asked_again_about_that_message_or_not_at_all(place, engine, is_forgotten):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    about = QuotedMessage(author=ROBIN, text="Ketchup is a vegetable.")
    asks = Question(id=f"1.{is_forgotten}", team=TEAM_ID, channel=MIXTRAL, user=ROBIN, text="Is that so?", about=about)
    place.line.ask(asks)
    place.robin.wait_for(lambda _: engine.asked)
    place.settled()
    answer = place.robin.messages(MIXTRAL)[-1]
    if is_forgotten:
        place.redis.delete(f"mixtral:texts:{MIXTRAL}:{answer['thread_ts']}")
    place.robin.press(answer, "answer_again")
    if is_forgotten:
        told(place, "Choose *Ask a model about this* in the menu of that message.")
        assert len(engine.asked) == 1
        assert list(elements(place.robin.messages(MIXTRAL, answer["thread_ts"])[-1])) == ["Regenerate"]
        return
    place.robin.wait_for(lambda _: len(engine.asked) == 2)
    place.settled()
    assert engine.asked[0]["messages"] == engine.asked[1]["messages"]
    assert "Ketchup" in engine.asked[1]["messages"][0]["content"]


def test_a_long_question_of_a_command_is_not_asked_again_by_the_part_that_slack_shows(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    place.line.ask(Question(id="1.long", team=TEAM_ID, channel=MIXTRAL, user=ROBIN, text="Salt or pepper? " * 200))
    place.robin.wait_for(lambda _: engine.asked)
    place.settled()
    answer = place.robin.messages(MIXTRAL)[-1]
    place.redis.delete(f"mixtral:texts:{MIXTRAL}:{answer['thread_ts']}")
    place.robin.press(answer, "answer_again")
    told(place, "shows only a part of the question")
    place.settled()
    assert len(engine.asked) == 1
    assert not list(place.redis.scan_iter(f"mixtral:asked:{MIXTRAL}:*:fast")), "it may be pressed again"


def test_whoever_reads_an_answer_regenerates_it_though_another_deployment_answered_last_in_the_thread(place, engine):
    place.shelf.put("fast", engine.url, place.robin.open_dm(), user=ROBIN)
    place.shelf.put("slow", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral fast: Name a condiment.")
    place.settled(ts)
    [first] = ours(place, MIXTRAL, ts)
    place.robin.say(MIXTRAL, "slow: And another?", ts)
    place.robin.wait_for(lambda _: len(engine.asked) == 2)
    place.settled()
    place.ada.press(first, "answer_again")
    place.robin.wait_for(lambda _: len(engine.asked) == 3)
    assert engine.asked[2]["messages"] == engine.asked[0]["messages"]
    place.settled()


def test_another_model_is_offered_by_its_name_only_if_it_runs_here_and_answers_the_same_question(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    with Upstream(model="slow") as other:
        other.script = lambda _: {"text": "Horseradish."}
        place.shelf.put("slow", other.url, MIXTRAL)
        place.shelf.put("elsewhere", other.url, "C0GENERAL01")
        place.bot()
        ts = place.robin.say(MIXTRAL, "@mixtral fast: Name a condiment.")
        place.settled(ts)
        [first] = ours(place, MIXTRAL, ts)
        assert list(elements(first)) == ["Regenerate", "Ask slow"]
        place.robin.press(first, "answer_other_0")
        place.answer(ts, "Horseradish.")
        place.settled()
        [_, second] = ours(place, MIXTRAL, ts)
        assert "\nslow · 1 token" in words(second)
        assert other.asked[0]["messages"] == [{"role": "user", "content": "Name a condiment."}]


def test_regenerate_of_a_deployment_that_has_ended_says_what_to_do(place, engine):
    id_ = place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.settled(ts)
    [first] = ours(place, MIXTRAL, ts)
    place.shelf.append(place.shelf.story(id_).stopped().ended())
    place.robin.press(first, "answer_again")
    said = told(place, "has ended, so the question was not asked again")
    assert said["thread_ts"] == ts
    assert "begin with its name" in words(said)
    assert len(engine.asked) == 1


def feedback(place, person, message, value):
    return person.press(message, "answer_feedback", value=f"{value} {MIXTRAL}:{message['thread_ts']}")


def test_feedback_counts_once_for_a_person_and_an_answer_and_a_change_of_mind_moves_it(place, engine):
    id_ = place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.settled(ts)
    [answer] = ours(place, MIXTRAL, ts)
    for person, value in ((place.robin, "good"), (place.robin, "good"), (place.ada, "good"), (place.robin, "bad")):
        feedback(place, person, answer, value)
    assert told(place, "You called this answer of *fast* bad")["thread_ts"] == ts
    place.robin.command(MIXTRAL, "/mixtral status fast")
    told(place, "*Feedback on answers*  1 good, 1 bad")
    shown = details.modal(place.line.requests.by_id(id_), place.line.requests.now(), rated="1 good, 1 bad")
    assert "*Feedback on answers*  1 good, 1 bad" in words(shown)
    with pytest.raises(Refused):  # Slack sends the value of one of the two buttons
        feedback(place, place.robin, answer, "best")
    assert place.redis.hgetall(f"mixtral:feedback:{id_}") == {b"good:scripted": b"1", b"bad:scripted": b"1"}


def test_where_slack_refuses_the_new_blocks_an_answer_has_ordinary_buttons(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot(budgets=WIDE)
    engine.script = lambda _: {"thoughts": ["Hm. " * 60], "tokens": ["Mustard."], "delay": 0.5}
    method = "chat.update" if channel == MIXTRAL else "chat.stopStream"
    for refusals in (1, 0):
        before = len(refused(place, method))
        if refusals:
            place.robin.fault("refuse", method=method, error="invalid_blocks", block="context_actions")
        ts = place.robin.say(channel, "@mixtral Hello")
        place.answer(ts, "Mustard.", channel=channel)
        place.settled()
        [answer] = ours(place, channel, ts)
        assert [b["type"] for b in answer["blocks"]] == ["markdown", "context", "actions"]
        assert len(elements(answer)) == 3
        assert len(refused(place, method)) == before + refusals, "it is remembered"


def refused(place, method):
    return [call for call in place.robin.calls(method) if call.get("error") == "invalid_blocks"]


def test_a_choice_disappears_when_it_is_made_and_in_a_thread_it_stands_in_the_thread(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    with Upstream(model="slow") as other:
        place.shelf.put("slow", other.url, MIXTRAL)
        place.bot()
        root = place.ada.say(MIXTRAL, "Which condiments are there?")
        place.robin.say(MIXTRAL, "@mixtral Name one", root)
        shown = told(place, "Several deployments could answer")
        assert shown["thread_ts"] == root
        place.robin.press(shown, "ask_of_0")
        place.answer(root, DEFAULT)
        after = told(place, "Asked *fast*.")
        assert after["ts"] == shown["ts"]
        assert elements(after) == {}


def test_in_a_direct_message_a_choice_disappears_too(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    with Upstream(model="slow") as other:
        place.shelf.put("slow", other.url, MIXTRAL)
        place.bot()
        dm = place.robin.open_dm()
        ts = place.robin.say(dm, "Name one")
        shown = place.answer(ts, "Several deployments could answer", channel=dm)
        place.robin.press(shown, "ask_of_1")
        after = place.answer(ts, "Asked *slow*.", channel=dm)
        assert after["ts"] == shown["ts"]
        assert elements(after) == {}
        place.answer(ts, DEFAULT, channel=dm)
        place.settled()
