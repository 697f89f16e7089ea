"""What ends an answer early: Stop, a deleted question, an app that is gone. And how the session of a thread ends."""

import threading
from datetime import timedelta

import pytest
from msgspec.structs import replace

from bot.language.channel_settings import ChannelSettings
from bot.prompting import question_tries
from bot.prompting.channel_store import ChannelStore
from bot.prompting.store import QUESTIONS
from bot.sandbox.seed import BOT_USER
from bot.slack.budgets import LIMITS, MethodBudget
from tests.answering import engine, held, line, place, slack
from tests.fakes.upstream import DEFAULT
from tests.person import ADA, MIXTRAL, ROBIN, words

__all__ = ["engine", "line", "place", "slack"]

WIDE = {method: MethodBudget(limit.per_minute * 100, limit.burst) for method, limit in LIMITS.items()}
SLOW = {"text": " ".join(["slow"] * 400), "delay": 0.05}


@pytest.fixture(params=["channel", "direct"])
def channel(request, place):
    return MIXTRAL if request.param == "channel" else place.robin.open_dm()


def ended(place, engine, *, within=1.0):
    """Wait until the engine has learned that nobody wants the answer, and no question is left."""
    place.robin.wait_for(lambda _: engine.left == 1 and engine.open == 0, within)
    place.settled()


def test_stop_ends_an_answer_that_another_process_writes_and_nothing_more_is_posted(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    place.bot()
    ts = place.robin.say(channel, "@mixtral Hello")
    place.answer(ts, "slow", channel=channel)
    place.robin.wait_for(lambda p: p.session(channel, ts) == "processing")
    place.bot()  # which receives the event
    place.robin.press_stop(channel, ts)
    ended(place, engine)
    place.robin.wait_for(lambda p: p.session(channel, ts) == "active")
    [message] = [m for m in place.robin.messages(channel, ts) if m["user"] == BOT_USER]
    assert "tokens" not in place.said(ts, channel)
    assert not message.get("streaming")


def test_an_answer_that_was_stopped_is_not_continued_after_a_restart_and_is_what_the_model_said(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    bot = place.bot()
    ts = place.robin.say(channel, "@mixtral Hello")
    place.answer(ts, "slow", channel=channel)
    bot._quick_questions.withdraw_in_thread(channel, ts, f"{ts}9")  # as if the process had died right after the event
    place.end(bot)
    place.bot()
    place.settled()
    shown = [m for m in place.robin.messages(channel, ts) if m["user"] == BOT_USER]
    assert "Stop" not in "".join(words(m) for m in shown)
    engine.script = lambda _: {}
    place.robin.say(channel, "And now?", ts)
    place.answer(ts, DEFAULT, channel=channel)
    assert len(engine.asked) == 2
    assert [m["role"] for m in engine.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert set(engine.asked[1]["messages"][1]["content"].split()) == {"slow"}


def test_a_stream_that_slack_reports_as_stopped_ends_the_answer_also_without_the_event(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    place.bot()
    dm = place.robin.open_dm()
    ts = place.robin.say(dm, "Hello")
    place.answer(ts, "slow", channel=dm)
    place.robin.fault("refuse", method="chat.appendStream", error="stopped_by_user")
    ended(place, engine, within=3)
    assert len(place.markdown(ts, dm)) == 1
    assert place.robin.session(dm, ts) == "active"


def test_what_was_shown_of_an_answer_that_was_stopped_at_its_end_is_what_the_model_said(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: {"text": "One two three", "delay": 0.2}
    place.bot(budgets=WIDE)
    place.robin.fault("rate_limited", method="chat.update", seconds=5)
    ts = place.robin.say(MIXTRAL, "@mixtral Count")
    place.answer(ts, "One")
    place.robin.wait_for(lambda _: engine.asked and not engine.open)
    place.robin.press_stop(MIXTRAL, ts)
    place.settled()
    [shown] = place.markdown(ts)  # on a busy machine more than the first word may have been posted
    assert "three" not in shown
    engine.script = lambda _: {}
    place.robin.say(MIXTRAL, "And now?", ts)
    place.answer(ts, DEFAULT)
    said = [(m["role"], m["content"]) for m in engine.asked[-1]["messages"]]
    assert said == [("user", "Count"), ("assistant", shown), ("user", "And now?")]


def test_a_stop_that_slack_repeats_does_not_end_the_next_answer(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "slow")
    place.robin.press_stop(MIXTRAL, ts)
    ended(place, engine)
    engine.script = lambda _: {"hang": 1}
    pressed = f"{ts}9"
    place.robin.say(MIXTRAL, "And now?", ts)
    place.robin.wait_for(lambda _: len(engine.asked) == 2)
    about = {"channel": MIXTRAL, "thread_ts": ts, "user": ROBIN, "streaming_message_ts": []}
    place.robin.event("agent_session_stopped", event_ts=pressed, **about)
    place.answer(ts, DEFAULT)


def test_stop_reaches_an_engine_that_is_silent(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: {"hang": 30}
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.robin.wait_for(lambda p: engine.open == 1 and p.session(MIXTRAL, ts) == "processing")
    place.robin.press_stop(MIXTRAL, ts)
    ended(place, engine)
    place.robin.wait_for(lambda p: p.session(MIXTRAL, ts) == "active")
    assert len(place.robin.messages(MIXTRAL, ts)) == 1


def test_stop_reaches_an_engine_that_counts_the_tokens_of_the_question(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.others["/tokenize"] = lambda _: {"hang": 30, "count": 7}
    place.bot()
    ts = place.robin.say(MIXTRAL, f"@mixtral {'long ' * 3000}")
    place.robin.wait_for(lambda p: engine.open == 1 and p.session(MIXTRAL, ts) == "processing")
    place.robin.press_stop(MIXTRAL, ts)
    ended(place, engine)
    assert not engine.asked
    assert len(place.robin.messages(MIXTRAL, ts)) == 1


def test_stop_reaches_an_engine_that_counts_again_after_it_refused_the_system_prompt(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    ChannelStore(place.redis).put(MIXTRAL, ROBIN, ChannelSettings(system_prompt="Be brief."))
    engine.script = lambda _: {"status": 400, "error": "System role not supported"}
    engine.others["/tokenize"] = lambda _: {"hang": 30 if engine.asked else 0, "count": 7}
    place.bot()
    ts = place.robin.say(MIXTRAL, f"@mixtral {'long ' * 3000}")
    place.robin.wait_for(lambda p: engine.asked and engine.open == 1 and p.session(MIXTRAL, ts) == "processing")
    place.robin.press_stop(MIXTRAL, ts)
    ended(place, engine)
    assert len(engine.asked) == 1


def test_stop_reaches_the_engine_while_slack_asks_for_a_pause(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    place.bot(budgets=WIDE)
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "slow")
    before = len(place.robin.calls("chat.update"))
    place.robin.fault("rate_limited", method="chat.update", seconds=4)
    place.robin.wait_for(lambda p: any(call.get("error") == "ratelimited" for call in p.calls("chat.update")[before:]))
    place.robin.press_stop(MIXTRAL, ts)
    place.robin.wait_for(lambda _: engine.left == 1 and engine.open == 0, 1.0)
    place.settled()


def test_the_answer_to_a_deleted_question_is_deleted_too(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    place.bot()
    ts = place.robin.say(channel, "@mixtral Hello")
    place.answer(ts, "slow", channel=channel)
    read = len(place.robin.calls("conversations.replies"))
    place.robin.delete(channel, ts)
    ended(place, engine)
    place.robin.wait_for(lambda p: not [m for m in p.messages(channel, ts) if m["user"] == BOT_USER])
    assert len(place.robin.calls("conversations.replies")) == read, "what is deleted is not edited before"
    place.robin.wait_for(lambda p: p.session(channel, ts) == "active")


def test_a_question_that_is_deleted_while_it_waits_is_not_answered(place, engine):
    id_ = place.shelf.start("fast", MIXTRAL)
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "Your question waits")
    place.robin.delete(MIXTRAL, ts)
    place.settled()
    assert "Your question waits" not in place.said(ts)
    place.shelf.append(place.shelf.story(id_).answers_at(engine.url))
    bot.ready(id_)
    assert not engine.asked


def test_a_waiting_question_is_not_kept_because_the_process_died_that_was_told_of_its_deletion(place):
    place.shelf.start("fast", MIXTRAL)
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "Your question waits")
    bot._questions.withdraw_message(MIXTRAL, ts)
    place.settled()
    assert "Your question waits" not in place.said(ts)


def test_a_question_whose_deletion_is_reported_first_is_not_answered(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = f"{place.robin.say(MIXTRAL, 'Something else')}7"
    event = {"channel": MIXTRAL, "channel_type": "channel", "user": ROBIN, "team": "T0SANDBOX01"}
    place.robin.event("message", subtype="message_deleted", deleted_ts=ts, ts=f"{ts}1", **event)
    place.robin.wait_for(lambda _: place.redis.exists(f"mixtral:asked:{MIXTRAL}:{ts}"))
    place.robin.event("app_mention", text=f"<@{BOT_USER}> Hello", ts=ts, **event)
    after = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(after, DEFAULT)
    assert len(engine.asked) == 1


def test_a_message_that_comes_more_than_a_day_late_is_not_answered(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    now = float(place.robin.say(MIXTRAL, "Something else"))
    event = {"channel": MIXTRAL, "channel_type": "channel", "user": ROBIN, "team": "T0SANDBOX01"}
    place.robin.event("app_mention", text=f"<@{BOT_USER}> Old", ts=f"{now - 86_500:.6f}", **event)
    after = place.robin.say(MIXTRAL, "@mixtral New")
    place.answer(after, DEFAULT)
    place.settled()
    assert [body["messages"][-1]["content"] for body in engine.asked] == ["New"]


def asked(engine):
    return [body["messages"][-1]["content"] for body in engine.asked]


def test_a_mention_that_is_edited_within_the_hour_is_answered_again_below_the_first_answer(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Name a condiment")
    place.answer(ts, DEFAULT)
    place.settled()
    engine.script = lambda _: {"text": "Wasabi."}
    place.robin.edit(MIXTRAL, ts, "@mixtral Name a Japanese condiment")
    place.answer(ts, "Wasabi.")
    place.settled()
    assert place.markdown(ts) == [DEFAULT, "Wasabi."]
    assert asked(engine) == ["Name a condiment", "Name a Japanese condiment"]
    assert len(engine.asked[1]["messages"]) == 1, "the first answer came after the question"


def test_the_event_of_an_edit_is_answered_once_however_often_slack_repeats_it(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, DEFAULT)
    place.settled()
    for _ in range(2):
        place.robin.event("app_mention", text=f"<@{BOT_USER}> Hello!", ts=ts, **mention(f"{float(ts) + 10:.6f}"))
        place.robin.wait_for(lambda _: len(engine.asked) == 2)
    after = place.robin.say(MIXTRAL, "@mixtral Another")
    place.answer(after, DEFAULT)
    place.settled()
    assert asked(engine) == ["Hello", "Hello!", "Another"]


def mention(edited):
    event = {"channel": MIXTRAL, "channel_type": "channel", "user": ROBIN, "team": "T0SANDBOX01"}
    return event | {"edited": {"user": ROBIN, "ts": edited}}


def test_a_question_that_is_edited_while_it_is_answered_has_the_answer_to_the_edited_one_alone(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda body: SLOW if body["messages"][-1]["content"] == "Hello" else {"text": "Wasabi."}
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "slow")
    place.robin.edit(MIXTRAL, ts, "@mixtral Hello!")
    place.answer(ts, "Wasabi.")
    place.settled()
    place.robin.wait_for(lambda _: engine.left == 1)
    assert place.markdown(ts) == ["Wasabi."]
    assert place.robin.session(MIXTRAL, ts) == "active"


def test_a_waiting_question_that_is_edited_into_a_command_is_not_answered_any_more(place):
    place.shelf.start("fast", MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral statu")
    place.answer(ts, "Your question waits")
    place.robin.edit(MIXTRAL, ts, "@mixtral status")
    place.settled()
    assert "Your question waits" not in place.said(ts)


def test_an_edit_whose_event_slack_repeats_replaces_the_first_question_all_the_same(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda body: SLOW if body["messages"][-1]["content"] == "Hello" else {"text": "Wasabi."}
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "slow")
    first = place.redis.hkeys(QUESTIONS)
    edited = replace(bot._questions.get(first[0].decode()).question, text="Hello!", edited=f"{float(ts) + 10:.6f}")
    assert bot._questions.add(edited)  # and Redis failed before the first one was withdrawn
    bot.ask(edited)
    place.answer(ts, "Wasabi.")
    place.settled()
    assert place.markdown(ts) == ["Wasabi."]


def test_an_answered_mention_that_is_edited_later_that_day_is_not_answered_again(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, DEFAULT)
    place.settled()
    mark = f"mixtral:asked:{MIXTRAL}:{ts}"
    place.redis.expire(mark, place.redis.ttl(mark) - int(timedelta(hours=23).total_seconds()))
    place.robin.event("app_mention", text=f"<@{BOT_USER}> Hello!", ts=ts, **mention(f"{float(ts) + 3700:.6f}"))
    after = place.robin.say(MIXTRAL, "@mixtral Another")
    place.answer(after, DEFAULT)
    place.settled()
    assert asked(engine) == ["Hello", "Another"]


def test_an_emoji_alone_is_a_question_like_any_other(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral :tada:")
    place.answer(ts, DEFAULT)
    assert engine.asked[0]["messages"] == [{"role": "user", "content": ":tada:"}]


ENDINGS = {
    "answered": lambda place, engine: None,
    "failed": lambda place, engine: setattr(engine, "script", lambda _: {"status": 500, "error": "no"}),
    "stream refused": lambda place, engine: place.robin.fault("refuse", method="chat.startStream", error="not_allowed"),
    "refused": lambda place, engine: place.robin.fault("refuse", method="chat.*", error="not_in_channel", count=1000),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_however_a_question_ends_its_session_is_active(place, engine, channel, ending):
    place.shelf.put("fast", engine.url, MIXTRAL)
    ENDINGS[ending](place, engine)
    place.bot()
    ts = place.robin.say(channel, "@mixtral Hello")
    place.robin.wait_for(lambda p: p.session(channel, ts))
    place.settled()
    assert place.robin.session(channel, ts) == "active"


def test_a_session_that_a_dead_process_left_is_ended_by_the_next_one(place, engine, channel, monkeypatch):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    bot = place.bot()
    ts = place.robin.say(channel, "@mixtral Hello")
    place.answer(ts, "slow", channel=channel)
    place.robin.wait_for(lambda p: p.session(channel, ts) == "processing")
    place.end(bot)
    assert place.robin.session(channel, ts) == "processing"
    monkeypatch.setattr(question_tries, "MAX_TRIES", 1)
    place.bot()
    place.settled()
    assert place.robin.session(channel, ts) == "active"
    assert len(engine.asked) == 1


def test_a_complete_answer_is_not_written_again_because_its_session_could_not_be_ended(place, engine, monkeypatch):
    monkeypatch.setattr("bot.slack.slack_steps.WHILE_AWAY", timedelta())
    monkeypatch.setattr(question_tries, "MIN_PAUSE", timedelta(seconds=0.3))
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = held(answers := threading.Event(), {})
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.robin.wait_for(lambda p: p.session(MIXTRAL, ts) == "processing")
    place.robin.fault("http_500", method="agents.sessions.setStatus")
    answers.set()
    place.answer(ts, "7 tokens")
    place.settled()
    assert place.robin.session(MIXTRAL, ts) == "active"
    assert len(engine.asked) == 1


def test_a_session_lasts_as_long_as_any_answer_in_its_thread(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(channel, "@mixtral Hello")
    place.settled(ts, channel=channel)
    slowly = held(answers := threading.Event(), {})
    engine.script = lambda body: slowly(body) if body["messages"][-1]["content"] == "Slowly" else {}
    place.robin.say(channel, "Slowly", ts)
    place.robin.wait_for(lambda _: len(engine.asked) == 2)
    place.robin.say(channel, "Quickly", ts)
    place.robin.wait_for(lambda p: len([m for m in p.messages(channel, ts) if m["user"] == BOT_USER]) == 2)
    place.robin.wait_for(lambda _: place.redis.hlen(QUESTIONS) == 1)
    place.robin.wait_for(lambda p: p.session(channel, ts) == "processing")
    answers.set()
    place.settled()
    assert place.robin.session(channel, ts) == "active"


def test_an_answer_that_another_process_takes_over_can_still_be_stopped(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    bot = place.bot()
    dm = place.robin.open_dm()
    ts = place.robin.say(dm, "Hello")
    place.answer(ts, "slow", channel=dm)
    place.end(bot)
    before = len(place.robin.calls())
    place.bot()
    place.robin.wait_for(lambda p: "chat.update" in [call["method"] for call in p.calls()[before:]])
    place.robin.wait_for(lambda p: p.session(dm, ts) == "processing")
    place.robin.press_stop(dm, ts)
    place.settled()


def test_an_answer_that_goes_on_in_plain_messages_can_still_be_stopped(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    place.bot()
    dm = place.robin.open_dm()
    place.robin.fault("http_500", method="chat.appendStream")
    ts = place.robin.say(dm, "Hello")
    place.robin.wait_for(lambda p: len([m for m in p.messages(dm, ts) if m["user"] == BOT_USER]) == 2)
    place.robin.wait_for(lambda p: p.session(dm, ts) == "processing")
    place.robin.press_stop(dm, ts)
    ended(place, engine, within=3)


def test_without_sessions_the_line_below_the_thread_is_set_and_removed(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.robin.fault("refuse", method="agents.sessions.setStatus", error="unknown_method", count=1000)
    engine.script = held(answers := threading.Event(), {})
    place.bot()
    ts = place.robin.say(channel, "@mixtral Hello")
    place.robin.wait_for(lambda p: p.state()["statuses"].get(f"{channel}:{ts}") == "is thinking…")
    answers.set()
    place.settled()
    state = place.robin.state()
    assert f"{channel}:{ts}" not in state["statuses"]
    assert place.robin.session(channel, ts) == "active"


def test_an_app_that_is_uninstalled_while_it_answers_ends_the_answer_and_says_so_once(place, engine, channel, caplog):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: SLOW
    place.bot()
    ts = place.robin.say(channel, "@mixtral Hello")
    place.answer(ts, "slow", channel=channel)
    place.robin.fault("refuse", error="account_inactive", count=10_000)
    ended(place, engine, within=5)
    assert not [record for record in caplog.records if record.exc_info]
    assert len([record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]) <= 2


def test_the_texts_of_a_thread_are_kept_for_an_hour_and_then_read_from_slack(place, engine, channel):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(channel, "@mixtral fast: Name three condiments.")
    place.settled(ts, channel=channel)
    assert 3500 < place.redis.ttl(f"mixtral:texts:{channel}:{ts}") <= 3600
    assert DEFAULT.encode() not in b"".join(place.redis.hvals(f"mixtral:thread:{channel}:{ts}"))
    place.redis.delete(f"mixtral:texts:{channel}:{ts}")
    place.robin.say(channel, "And a fourth?", ts)
    place.settled(ts, channel=channel)
    assert [m["content"] for m in engine.asked[1]["messages"]] == ["Name three condiments.", DEFAULT, "And a fourth?"]


def test_a_commands_prompt_is_read_from_slack_once_its_text_is_gone(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    place.robin.command(MIXTRAL, "/mixtral ask Is 1 < 2 & 3?")
    ts = place.robin.wait_for_message(MIXTRAL, "Is 1 &lt; 2 &amp; 3?")["ts"]
    place.settled(ts)
    place.redis.delete(f"mixtral:texts:{MIXTRAL}:{ts}")
    place.ada.say(MIXTRAL, "Why?", ts)
    place.settled(ts)
    assert [m["content"] for m in engine.asked[1]["messages"]] == ["Is 1 < 2 & 3?", DEFAULT, "Why?"]
    assert place.ada.user == ADA
    assert place.redis.hlen(QUESTIONS) == 0
