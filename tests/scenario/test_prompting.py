"""Questions and answers: the real Bolt over a real socket, a strict stand-in for Slack, and an engine on demand."""

import threading
from datetime import timedelta

import pytest
from msgspec.structs import replace

from bot.prompting import question_tries as answers
from bot.prompting.store import QUESTIONS
from tests.answering import engine, line, place, slack
from tests.fakes.upstream import DEFAULT, Upstream
from tests.person import MIXTRAL, ROBIN, words

__all__ = ["engine", "line", "place", "slack"]


def test_a_mention_is_answered_in_its_thread_with_a_line_of_measurements(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Name three condiments.")
    answer = place.answer(ts, "tokens/s")
    assert DEFAULT in answer["text"]
    assert "scripted · 7 tokens" in words(answer)
    assert not answer.get("streaming")
    assert engine.asked[0]["messages"] == [{"role": "user", "content": "Name three condiments."}]
    assert engine.keys[0].startswith("Bearer mxk_")


def test_a_follow_up_needs_no_mention_and_has_the_thread_as_its_context(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Name three condiments.")
    place.settled(ts)
    engine.script = lambda _: {"text": "Wasabi."}
    place.ada.say(MIXTRAL, "And a fourth?", ts)
    place.answer(ts, "Wasabi.")
    assert [m["role"] for m in engine.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert engine.asked[1]["messages"][1]["content"] == DEFAULT
    assert engine.asked[1]["messages"][2]["content"] == "And a fourth?"


def test_where_slack_tells_no_threads_the_context_is_what_we_remember(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral fast: Name three condiments.")
    place.settled(ts)
    place.robin.fault("refuse", method="conversations.replies", error="unknown_method")
    place.robin.say(MIXTRAL, "And a fourth?", ts)
    place.settled(ts)
    assert [m["content"] for m in engine.asked[1]["messages"]] == ["Name three condiments.", DEFAULT, "And a fourth?"]


def test_a_command_gets_a_message_of_its_own_and_is_answered_below_it(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    place.robin.command(MIXTRAL, '/mixtral ask "Name three <!channel> condiments."')
    root = place.robin.wait_for_message(MIXTRAL, "asks *fast*")
    place.answer(root["ts"], DEFAULT)
    assert "&lt;!channel&gt;" in root["text"] or "@channel" in root["text"]
    assert engine.asked[0]["messages"][-1]["content"].startswith("Name three")


def test_a_shown_question_names_people_without_a_mention_and_keeps_code(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    place.robin.command(MIXTRAL, "/mixtral ask fast What does @ada mean by ```a * b``` in <!channel>?")
    root = place.robin.wait_for_message(MIXTRAL, "What does @Ada mean")
    place.answer(root["ts"], DEFAULT)
    quote, code, rest = root["blocks"][1]["elements"]
    assert quote["elements"] == [{"type": "text", "text": "What does @Ada mean by "}]
    assert code == {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "a * b"}]}
    assert rest["elements"][0]["text"].endswith("channel>?") or "@channel" in rest["elements"][0]["text"]
    assert place.ada.user not in str(root)


def test_a_direct_message_is_a_question_and_each_starts_a_thread(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    dm = place.robin.open_dm()
    first, second = place.robin.say(dm, "Hello"), place.robin.say(dm, "fast: Hello again")
    place.answer(first, DEFAULT, channel=dm)
    place.answer(second, DEFAULT, channel=dm)
    assert sorted(b["messages"][-1]["content"] for b in engine.asked) == ["Hello", "Hello again"]
    assert all(len(b["messages"]) == 1 for b in engine.asked)


def test_of_several_deployments_the_named_one_answers_and_unnamed_the_choice_is_explained(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    with Upstream(model="slow") as other:
        place.shelf.put("slow", other.url, MIXTRAL)
        place.bot()
        ts = place.robin.say(MIXTRAL, "@mixtral slow: Hello")
        place.answer(ts, DEFAULT)
        assert [b["messages"][-1]["content"] for b in other.asked] == ["Hello"]
        ts = place.robin.say(MIXTRAL, "@mixtral Hello")
        told = place.robin.wait_for_ephemeral("Several deployments could answer: fast, slow.", channel=MIXTRAL)
        assert "@mixtral fast: Hello" in told["text"]
        assert not engine.asked

        # A press puts that very question, and the answer comes to the message that asked it.
        assert place.robin.press(told, "ask_of_0")["ok"]
        place.answer(ts, DEFAULT)
        assert [b["messages"][-1]["content"] for b in engine.asked] == ["Hello"]


def test_where_nothing_runs_the_person_is_told_how_to_start_something(place):
    place.bot()
    before = len(place.robin.ephemerals(MIXTRAL))
    place.robin.say(MIXTRAL, "@mixtral Hello")
    place.robin.wait_for(lambda p: len(p.ephemerals(MIXTRAL)) > before)
    assert "/mixtral launch" in place.robin.ephemerals(MIXTRAL)[-1]["text"]


def test_a_question_waits_while_its_model_starts(place, engine):
    id_ = place.shelf.start("fast", MIXTRAL)
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "*fast* is looking for a machine. Your question waits")
    place.shelf.append(place.shelf.story(id_).answers_at(engine.url))
    bot.ready(id_)
    place.answer(ts, DEFAULT)
    place.settled()
    assert "Your question waits" not in place.said(ts)


def test_a_pause_that_slack_asks_for_delays_no_answer_and_leaves_no_notice_behind(place, engine):
    id_ = place.shelf.start("fast", MIXTRAL)
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "Your question waits")
    place.robin.fault("rate_limited", method="chat.delete", seconds=6)
    place.shelf.append(place.shelf.story(id_).answers_at(engine.url))
    bot.ready(id_)
    place.answer(ts, DEFAULT)
    assert "Your question waits" in place.said(ts)
    place.settled()
    assert "Your question waits" not in place.said(ts)


def test_who_waits_for_a_deployment_that_fails_is_told(place):
    id_ = place.shelf.start("fast", MIXTRAL)
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "Your question waits")
    place.shelf.append(place.shelf.story(id_).ended("No offer could be taken. Ask for a smaller GPU."))
    bot.ready(id_)
    told = place.answer(ts, "No offer could be taken.")
    assert f"<@{ROBIN}>" in told["text"]
    place.settled()


def test_an_answer_cannot_ping_or_spoof_however_its_tokens_are_cut(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    evil = ["Hey <", "!chan", "nel> <@U0ROB", "IN0001> [bank", "](https://evil.example) <https", "://evil.example|x>"]
    engine.script = lambda _: {"tokens": evil, "delay": 0.3}
    ts = place.robin.say(MIXTRAL, "@mixtral Be evil")
    inert = "Hey < !channel> < @U0ROBIN0001> [bank] (https://evil.example) < https://evil.example|x>"
    text = place.answer(ts, "tokens/s", timeout=20)["text"]
    assert place.markdown(ts) == [inert]
    assert "<" not in text
    assert "&lt; !channel&gt;" in text
    dm = place.robin.open_dm()
    ts = place.robin.say(dm, "Be evil again")
    assert place.answer(ts, "tokens/s", channel=dm, timeout=20)["text"] == inert


def test_in_a_channel_an_answer_is_a_message_that_is_updated_and_everybody_sees(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: {"text": f"```python\n{CODE}```\n" + " ".join(["word"] * 60), "delay": 0.05}
    starts, before = len(place.robin.calls("chat.startStream")), len(place.robin.calls("chat.update"))
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "tokens/s")
    place.settled()
    [markdown] = place.markdown(ts)
    assert markdown.startswith(f"```python\n{CODE}```\n")
    assert markdown.count("word") == 60
    assert len(place.robin.calls("chat.update")) > before
    assert len(place.robin.calls("chat.startStream")) == starts


CODE = "for at in items[1:]:\n    print(table[at](__name__))  # *not* bold\n"


def test_in_direct_messages_an_answer_is_a_stream_and_where_streams_are_refused_a_message(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    dm = place.robin.open_dm()
    starts = len(place.robin.calls("chat.startStream"))
    ts = place.robin.say(dm, "Hello")
    place.answer(ts, "7 tokens", channel=dm)
    assert len(place.robin.calls("chat.startStream")) == starts + 1
    place.robin.fault("refuse", method="chat.startStream", error="channel_type_not_supported")
    for greeting in ("Hello again", "Hello once more"):
        ts = place.robin.say(dm, greeting)
        place.answer(ts, "7 tokens", channel=dm)
        assert place.markdown(ts, dm) == [DEFAULT]
        place.settled()
    assert len(place.robin.calls("chat.startStream")) == starts + 2, "one refusal is enough"


def test_in_a_channel_an_answer_is_a_stream_where_the_setting_says_so(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot(streams_in_channels=True)
    starts = len(place.robin.calls("chat.startStream"))
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "7 tokens")
    assert len(place.robin.calls("chat.startStream")) == starts + 1


@pytest.mark.parametrize("fault", ["stream_dies", "http_500"])
def test_an_answer_whose_stream_dies_goes_on_in_a_plain_message(place, engine, fault):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    numbers = [str(n) for n in range(120)]
    engine.script = lambda _: {"text": " ".join(numbers), "delay": 0.02}
    place.robin.fault(fault, method="chat.appendStream")
    dm = place.robin.open_dm()
    ts = place.robin.say(dm, "Count")
    place.answer(ts, "120 tokens", channel=dm)
    place.settled()
    said = place.markdown(ts, dm)
    assert len(said) == 2
    assert " ".join(said).split() == numbers


def test_a_pause_that_slack_asks_for_loses_nothing(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    numbers = [str(n) for n in range(100)]
    engine.script = lambda _: {"text": " ".join(numbers), "delay": 0.02}
    place.robin.fault("rate_limited", method="chat.appendStream", seconds=1)
    dm = place.robin.open_dm()
    ts = place.robin.say(dm, "Count")
    place.answer(ts, "100 tokens", channel=dm)
    [said] = place.markdown(ts, dm)
    assert said.split() == numbers


def test_what_an_engine_said_before_a_silence_is_shown_though_slack_was_busy_then(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda body: {"tokens": ["Hello"], "delay": 60} if "First" in str(body["messages"]) else {}
    seen = len(place.robin.calls())
    place.robin.fault("rate_limited", method="chat.postMessage", seconds=1)
    first = place.robin.say(MIXTRAL, "@mixtral First")
    place.robin.wait_for(lambda p: any(call["status"] == 429 for call in p.calls()[seen:]))
    second = place.robin.say(MIXTRAL, "@mixtral Second")
    place.answer(first, "Hello", timeout=5)
    place.answer(second, DEFAULT, timeout=5)  # it is not posted before the answer to an older question
    assert engine.open == 1


def test_where_messages_cannot_be_edited_an_answer_is_replaced_once_and_remembered(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    place.robin.fault("refuse", method="chat.update", error="edit_window_closed", count=1000)
    numbers = [str(n) for n in range(60)]
    engine.script = lambda _: {"text": " ".join(numbers), "delay": 0.05}
    ts = place.robin.say(MIXTRAL, "@mixtral Count")
    place.answer(ts, "60 tokens")
    place.settled()
    [said] = place.markdown(ts)
    assert said.split() == numbers
    engine.script = lambda _: {}
    place.robin.say(MIXTRAL, "And now?", ts)
    place.answer(ts, DEFAULT)
    assert [m["content"] for m in engine.asked[1]["messages"]] == ["Count", " ".join(numbers), "And now?"]


@pytest.mark.parametrize("is_direct", [True, False])
def test_a_long_answer_is_split_and_whole(place, engine, is_direct):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    lines = [f"Line {n} of a long answer & <more> \N{CJK UNIFIED IDEOGRAPH-8FA3}." for n in range(600)]
    engine.script = lambda _: {"tokens": [f"{line}\n" for line in lines]}
    channel = place.robin.open_dm() if is_direct else MIXTRAL
    ts = place.robin.say(channel, "@mixtral Write a lot")
    place.answer(ts, "600 tokens", channel=channel, timeout=20)
    place.settled()
    said = place.markdown(ts, channel)
    assert len(said) >= 2
    assert [line for part in said for line in part.split("\n") if line] == lines


def test_an_engine_that_dies_in_the_midst_leaves_what_came_and_a_sentence(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: {"text": DEFAULT, "die_after": 3}
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    answer = place.answer(ts, "stopped before its answer was complete")
    assert "Mustard, ketchup and" in answer["text"]


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"tokens": [""]}, "The model's answer is empty (finish reason: stop). Ask again or rephrase."),
        ({"status": 401}, "rejected the bot's key"),
        ({"status": 404, "error": "The model `x` does not exist."}, "does not serve chat completions"),
        ({"status": 500, "error": "CUDA out of <!channel> memory"}, "CUDA out of < !channel> memory"),
        ({"status": 429}, "has too many requests"),
        ({"status": 503}, "no replica that can answer now"),
        ({"tokens": ["A"], "broken": "KV cache is full"}, "KV cache is full"),
        ({"tokens": ["A"], "reason": "length"}, "The answer was cut at 1 tokens"),
    ],
)
def test_every_failure_of_the_engine_is_a_sentence_in_the_thread(place, engine, how, sentence):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: how
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.settled(ts)
    assert sentence in place.said(ts)


def test_an_endpoint_where_nobody_listens_is_a_sentence(place):
    place.shelf.put("fast", "http://127.0.0.1:9", MIXTRAL)
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "The endpoint of fast does not answer.")
    place.settled()


def test_a_conversation_that_is_too_long_is_tried_with_half_of_it(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda b: {"text": "long " * 1000}
    ts = place.robin.say(MIXTRAL, "@mixtral Write a lot")
    place.settled(ts)
    place.robin.say(MIXTRAL, "More", ts)
    place.settled(ts)
    place.robin.say(MIXTRAL, "More still", ts)
    place.settled(ts)
    too_long = {"status": 400, "error": "This model's maximum context length is 2048 tokens."}
    engine.script = lambda body: too_long if len(body["messages"]) > 3 else {"text": "Short."}
    place.robin.say(MIXTRAL, "And now?", ts)
    place.answer(ts, "Short.")
    assert [len(b["messages"]) for b in engine.asked[-2:]] == [7, 3]


def test_a_question_too_long_even_alone_is_refused_in_the_engines_words(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: {"status": 400, "error": "This model's maximum context length is 2048 tokens."}
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "maximum context length is 2048 tokens. Shorten it")
    assert len(engine.asked) == 2


def test_a_question_never_goes_past_the_gateway_to_a_replica(place, engine):
    id_ = place.shelf.put("fast", "http://127.0.0.1:9", MIXTRAL)
    place.shelf.append(place.shelf.story(id_).asked().created(engine.url).ready())
    place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "The endpoint of fast does not answer")
    assert engine.asked == []


def test_a_question_whose_last_replica_dies_waits_for_the_next_one(place, engine):
    id_ = place.shelf.put("fast", "http://127.0.0.1:9", MIXTRAL)
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.robin.wait_for(lambda _: any(asked.tries for asked in bot._questions.all()))
    place.shelf.append(place.shelf.story(id_).not_ready("no answer"))
    place.answer(ts, "Your question waits")
    place.shelf.append(place.shelf.story(id_).asked().created(engine.url).ready().published(engine.url))
    bot.ready(id_)
    place.answer(ts, DEFAULT)
    place.settled()
    assert "does not answer" not in place.said(ts)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("bot.slack.slack_steps.WHILE_AWAY", timedelta())
    monkeypatch.setattr(answers, "MIN_PAUSE", timedelta(seconds=0.3))
    monkeypatch.setattr(answers, "GIVES_UP", timedelta(seconds=1.5))
    monkeypatch.setattr(answers, "FORGETS", timedelta(seconds=2.5))


def test_a_question_that_slack_does_not_take_is_tried_ever_less_often_and_then_given_up(place, engine, impatient):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    before = len(place.robin.calls("chat.postMessage"))
    place.robin.fault("http_500", method="chat.postMessage", count=1000)
    place.robin.command(MIXTRAL, "/mixtral ask Hello")
    place.robin.wait_for_ephemeral("Slack accepted no message from the bot", channel=MIXTRAL)
    place.settled()
    assert len(place.robin.calls("chat.postMessage")) - before < 6
    assert not engine.asked


def test_a_question_about_which_nobody_can_be_told_is_forgotten(place, engine, impatient, caplog):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    place.robin.fault("http_500", method="chat.*", count=1000)
    place.robin.command(MIXTRAL, "/mixtral ask Hello")
    place.robin.wait_for(lambda _: place.redis.hlen(QUESTIONS))
    place.settled()
    assert "is removed without an answer" in caplog.text


def test_one_log_that_cannot_be_read_costs_its_own_questions_only(place, engine):
    odd = place.shelf.start("odd", MIXTRAL)
    fast = place.shelf.start("fast", MIXTRAL)
    place.bot()
    lost = place.robin.say(MIXTRAL, "@mixtral odd: Hello")
    place.answer(lost, "Your question waits")
    ts = place.robin.say(MIXTRAL, "@mixtral fast: Hello")
    place.answer(ts, "Your question waits")
    place.redis.xadd(f"mixtral:d:{odd}", {"e": "no JSON"}, id="2-0")
    place.robin.wait_for_ephemeral("incident", channel=MIXTRAL)
    place.shelf.append(place.shelf.story(fast).answers_at(engine.url))
    place.answer(ts, DEFAULT)


def test_what_is_meant_for_one_person_never_stands_in_the_channel(place):
    place.bot()
    before = len(place.robin.messages(MIXTRAL))
    place.robin.fault("refuse", method="chat.postEphemeral", error="user_not_in_channel")
    place.robin.say(MIXTRAL, "@mixtral Hello")
    place.robin.wait_for_message(place.robin.dm(), "/mixtral launch")
    place.settled()
    assert len(place.robin.messages(MIXTRAL)) == before + 1


def test_slack_is_never_asked_to_make_mentions_of_names(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: {"text": " ".join(["@here"] * 60), "delay": 0.05}
    seen = len(place.robin.calls())
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "60 tokens")
    said = [c for c in place.robin.calls()[seen:] if c["method"] in {"chat.postMessage", "chat.update"}]
    assert {c["method"] for c in said} == {"chat.postMessage", "chat.update"}
    assert {(c.get("parse"), c.get("link_names")) for c in said} <= {("none", False), ("none", "false"), ("none", "0")}


def test_two_bots_answer_a_question_once(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: {"text": DEFAULT, "delay": 0.1}
    place.bot()
    place.bot()
    threads = [place.robin.say(MIXTRAL, f"@mixtral Hello {n}") for n in range(6)]
    for ts in threads:
        place.answer(ts, "7 tokens")
    place.settled()
    assert len(engine.asked) == 6
    assert all(len(place.robin.messages(MIXTRAL, ts)) == 2 for ts in threads)


def test_an_answer_that_a_dying_bot_began_is_finished_in_place(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: {"text": " ".join(["slow"] * 400), "delay": 0.05}
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    begun = place.answer(ts, "slow")
    place.end(bot)
    assert place.redis.hlen(QUESTIONS) == 1
    engine.script = lambda _: {"text": "Quick now."}
    place.bot()
    answer = place.answer(ts, "Quick now.")
    place.settled()
    assert answer["ts"] == begun["ts"]
    assert not answer.get("streaming")
    assert len(place.robin.messages(MIXTRAL, ts)) == 2


def test_a_message_that_nobody_wrote_down_is_found_again(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    engine.script = lambda _: {"text": " ".join(["slow"] * 400), "delay": 0.05}
    bot = place.bot()
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    begun = place.answer(ts, "slow")
    place.end(bot)
    stored = bot._questions
    [asked] = stored.all()
    # as if it had died between the message and the note of it
    stored.put(replace(asked, begun=(), starting=asked.asked_at))
    engine.script = lambda _: {"text": "Quick now."}
    place.bot()
    assert place.answer(ts, "Quick now.")["ts"] == begun["ts"]
    assert len(place.robin.messages(MIXTRAL, ts)) == 2


def test_where_the_answer_may_not_be_written_the_person_is_told_so(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    place.robin.fault("refuse", method="chat.postMessage", error="not_in_channel", count=3)
    place.robin.say(MIXTRAL, "@mixtral Hello")
    place.robin.wait_for_ephemeral("Slack refused: not_in_channel. Invite the bot with", channel=MIXTRAL)
    place.settled()


@pytest.mark.parametrize("has_streams", [True, False])
def test_an_answer_whose_first_reply_is_lost_is_posted_once_and_goes_on_in_that_message(place, engine, has_streams):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    numbers = [str(n) for n in range(60)]
    engine.script = lambda _: {"text": " ".join(numbers), "delay": 0.05}
    method = "chat.startStream" if has_streams else "chat.postMessage"
    channel = place.robin.open_dm() if has_streams else MIXTRAL
    seen = len(place.robin.calls())
    place.robin.fault("drop_answer", method=method)
    ts = place.robin.say(channel, "@mixtral Count")
    answer = place.answer(ts, "60 tokens", channel=channel)
    place.settled()
    posted = [
        c for c in place.robin.calls()[seen:] if c["method"] in {"chat.startStream", "chat.postMessage"} and c["ok"]
    ]
    assert [c["method"] for c in posted] == [method]
    assert [m["ts"] for m in place.robin.messages(channel, ts)] == [ts, answer["ts"]]
    assert " ".join(place.markdown(ts, channel)).split() == numbers
    assert not answer.get("streaming")


def test_a_notice_whose_reply_is_lost_is_posted_once_and_withdrawn(place, engine):
    id_ = place.shelf.start("fast", MIXTRAL)
    bot = place.bot()
    place.robin.fault("drop_answer", method="chat.postMessage")
    ts = place.robin.say(MIXTRAL, "@mixtral Hello")
    place.answer(ts, "Your question waits")
    place.robin.wait_for(lambda _: any(asked.notice for asked in bot._questions.all()))
    assert place.said(ts).count("Your question waits") == 1
    place.shelf.append(place.shelf.story(id_).answers_at(engine.url))
    bot.ready(id_)
    place.answer(ts, DEFAULT)
    place.settled()
    assert "Your question waits" not in place.said(ts)


def test_a_shown_prompt_whose_reply_is_lost_is_posted_once(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    before = len(place.robin.messages(MIXTRAL))
    place.robin.fault("drop_answer", method="chat.postMessage")
    place.robin.command(MIXTRAL, "/mixtral ask fast Hello, is this posted once?")
    root = place.robin.wait_for_message(MIXTRAL, "Hello, is this posted once?")
    place.answer(root["ts"], DEFAULT)
    place.settled()
    assert len(place.robin.messages(MIXTRAL)) == before + 2


def test_twenty_answers_at_once_all_come(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    all_asked, met = threading.Barrier(20), []

    def script(body):
        all_asked.wait(60)  # for the others: fewer at once would wait in vain
        met.append(body)
        return {"text": " ".join([body["messages"][-1]["content"]] * 40), "delay": 0.05}

    engine.script = script
    threads = {n: place.robin.say(MIXTRAL, f"@mixtral number{n}") for n in range(20)}
    place.settled(*threads.values(), timeout=60)
    assert len(met) == 20
    for n, ts in threads.items():
        assert place.said(ts).count(f"number{n}") >= 40
