"""Answers of models that think first, to threads of any length and script, with code of any depth."""

import re
import threading
from datetime import timedelta

import pytest
from msgspec.structs import replace

from bot.prompting import pacing
from bot.sandbox.seed import BOT_USER
from tests.answering import engine, held, line, place, slack
from tests.person import MIXTRAL, words

__all__ = ["engine", "line", "place", "slack"]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "content"])
def test_while_a_model_thinks_the_thread_says_so_and_the_answer_is_without_its_thoughts(place, engine, field):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    thoughts = ["<think>", *["Hm. "] * 20, "</think>"] if field == "content" else ["Hm. "] * 20
    how = {"thoughts": thoughts, "thoughts_in": field, "text": "Mustard.", "delay": 0.05}
    engine.script = held(thinks := threading.Event(), how)
    ts = place.robin.say(MIXTRAL, "@mixtral Name a condiment.")
    place.robin.wait_for(lambda p: p.session(MIXTRAL, ts) == "processing")
    thinks.set()
    answer = place.answer(ts, "s of thoughts")
    assert place.markdown(ts) == ["Mustard."]
    folded = [block for block in answer["blocks"] if "Hm." in words({"blocks": [block]})]
    assert [(block["type"], block["default_collapsed"]) for block in folded] == [("container", True)]
    assert "Hm." not in answer["text"]
    place.settled()
    assert place.robin.session(MIXTRAL, ts) == "active"
    place.robin.say(MIXTRAL, "And a spice?", ts)
    place.settled(ts)
    assert engine.asked[1]["messages"][1]["content"] == "Mustard."


@pytest.fixture
def quickly(monkeypatch):
    """Show thoughts ten times sooner and more often."""
    monkeypatch.setattr(pacing, "THINKING_SHOWN_AFTER", pacing.THINKING_SHOWN_AFTER / 10)
    monkeypatch.setattr(pacing, "THINKING_EVERY", pacing.THINKING_EVERY / 10)
    monkeypatch.setattr(pacing, "UPDATED", replace(pacing.UPDATED, least=timedelta(seconds=0.1), per_minute=300))
    monkeypatch.setattr(pacing, "STREAMED", replace(pacing.STREAMED, least=timedelta(seconds=0.1)))


THINKS = {"thoughts": ["Hm. "] * 40, "text": "Mustard.", "delay": 0.1}


def after(sentence, text):
    """The seconds that a text says after these words; -1 if it does not."""
    found = re.search(rf"{sentence} (\d+) s", text)
    return int(found[1]) if found else -1


def ours(place, channel, ts):
    return [m for m in place.robin.messages(channel, ts) if m["user"] == BOT_USER]


def test_while_a_model_thinks_a_channel_reads_for_how_long_and_the_same_message_becomes_the_answer(
    place, engine, quickly
):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: THINKS
    ts = place.robin.say(MIXTRAL, "@mixtral Name a condiment.")
    first = place.answer(ts, "Thinking for")
    began = after("Thinking for", words(first))
    assert [block["type"] for block in first["blocks"]] == ["context", "actions"], "with Stop"
    # Not at certain seconds: on a busy machine some are left out.
    later = place.robin.wait_for(
        lambda _: next((m for m in ours(place, MIXTRAL, ts) if after("Thinking for", words(m)) > began), None)
    )
    place.answer(ts, "Mustard.")
    place.settled()
    [answer] = ours(place, MIXTRAL, ts)
    assert answer["ts"] == later["ts"] == first["ts"]
    assert [block["type"] for block in answer["blocks"]] == [
        "markdown",
        "container",
        "context",
        "actions",
        "context_actions",
    ]
    assert after("Thought for", words(answer)) >= max(3, after("Thinking for", words(later)))


def test_while_a_model_thinks_a_direct_message_says_for_how_long(place, engine, quickly):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: THINKS
    dm = place.robin.open_dm()
    ts = place.robin.say(dm, "Name a condiment.")
    place.robin.wait_for(lambda p: after("^has been thinking for", status(p, dm, ts)) >= 1)
    place.answer(ts, "Mustard.", channel=dm)
    place.settled()
    [answer] = ours(place, dm, ts)
    assert after("Thought for", words(answer)) >= 3
    assert place.robin.session(dm, ts) == "active"
    assert status(place.robin, dm, ts) == ""
    engine.script = lambda _: THINKS | {"thoughts": ["Hm. "] * 300}
    ts = place.robin.say(dm, "Name another.")
    place.robin.wait_for(lambda p: "thinking for" in status(p, dm, ts))
    place.robin.press_stop(dm, ts)
    place.settled()
    assert status(place.robin, dm, ts) == ""


def status(person, channel, ts):
    return person.state()["statuses"].get(f"{channel}:{ts}", "")


def test_a_process_that_dies_while_the_model_thinks_leaves_one_message_and_the_next_one_writes_the_answer_there(
    place, engine, quickly
):
    place.shelf.put("fast", engine.url, MIXTRAL)
    bot = place.bot()
    engine.script = lambda _: THINKS | {"thoughts": ["Hm. "] * 300}
    ts = place.robin.say(MIXTRAL, "@mixtral Name a condiment.")
    first = place.answer(ts, "Thinking for")
    place.end(bot)
    engine.script = lambda _: {"text": "Mustard."}
    place.bot()
    place.answer(ts, "Mustard.")
    place.settled()
    assert [message["ts"] for message in ours(place, MIXTRAL, ts)] == [first["ts"]]


def test_stop_while_the_model_thinks_ends_it_at_the_engine_and_leaves_a_sentence_with_regenerate(
    place, engine, quickly
):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: THINKS | {"thoughts": ["Hm. "] * 300}
    ts = place.robin.say(MIXTRAL, "@mixtral Name a condiment.")
    place.robin.press(place.answer(ts, "Thinking for"), "answer_stop")
    place.robin.wait_for(lambda _: engine.left == 1 and engine.open == 0, 1.0)
    place.settled()
    [answer] = ours(place, MIXTRAL, ts)
    assert words(answer).split("\n")[0] == "This answer was stopped."
    assert [e["action_id"] for b in answer["blocks"] if b["type"] == "actions" for e in b["elements"]] == [
        "answer_again"
    ]


def test_an_answer_that_ends_in_its_thoughts_says_so_and_what_to_do(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    engine.script = lambda _: {"thoughts": ["Hm. "] * 20, "tokens": [], "reason": "length"}
    ts = place.robin.say(MIXTRAL, "@mixtral Name a condiment.")
    place.answer(ts, "The model wrote 20 tokens of thoughts, which is all that it may write, and no answer.")
    assert engine.asked[0]["max_tokens"] > 7000, "of 8192 tokens, what the question leaves is for thoughts and answer"


CONTEXT = 4096
TEN = "番茄酱是什么颜色的？"  # noqa: RUF001 - ten characters of Chinese


def refuses(engine, tokens_per_character):
    """Let an engine refuse what is longer than its context, in vLLM's words."""

    def script(body):
        prompt = int(sum(len(m["content"]) for m in body["messages"]) * tokens_per_character)
        if prompt + body["max_tokens"] <= CONTEXT:
            return {"text": "酱" * 700}
        asked = f"you requested {body['max_tokens']} output tokens and your prompt contains {prompt} input tokens"
        return {"status": 400, "error": f"This model's maximum context length is {CONTEXT} tokens. However, {asked}."}

    engine.context, engine.script = CONTEXT, script


@pytest.mark.parametrize(("tokens_per_character", "has_tokenizer"), [(1, False), (2.5, False), (2.5, True)])
def test_ten_characters_are_answered_however_long_the_thread_is(place, engine, tokens_per_character, has_tokenizer):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    refuses(engine, tokens_per_character)
    if has_tokenizer:
        engine.others["/tokenize"] = lambda body: {
            "count": int(sum(len(m["content"]) for m in body["messages"]) * tokens_per_character)
        }
    ts = place.robin.say(MIXTRAL, f"@mixtral {TEN}")
    place.settled(ts)
    for _ in range(6):
        place.robin.say(MIXTRAL, TEN, ts)
        place.settled(ts)
    assert "longer than" not in place.said(ts)
    assert len(place.markdown(ts)) == 7
    assert engine.asked[-1]["messages"][-1]["content"] == TEN
    if has_tokenizer or tokens_per_character == 1:
        assert len(engine.asked) == 7, "what is counted is not refused"


def test_what_people_wrote_in_a_long_thread_leaves_room_for_the_question_after_it(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    refuses(engine, 1.5)
    ts = place.robin.say(MIXTRAL, TEN)
    for n in range(200):
        (place.robin, place.ada)[n % 2].say(MIXTRAL, f"{n}: {TEN * 8}", ts)
    place.robin.say(MIXTRAL, f"@mixtral {TEN}", ts)
    place.settled(ts)
    [turn] = engine.asked[-1]["messages"]
    assert turn["content"].endswith(f"199: {TEN * 8}\n\n{TEN}")
    assert "longer than" not in place.said(ts)


def test_a_question_that_is_too_long_by_itself_is_refused_with_its_numbers(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    refuses(engine, 1)
    ts = place.robin.say(MIXTRAL, f"@mixtral {TEN}")
    place.settled(ts)
    place.robin.say(MIXTRAL, TEN * 500, ts)
    place.answer(ts, "The question is longer than the context of the model of fast")
    assert "maximum context length is 4096 tokens" in place.said(ts)
    assert "your prompt contains 5000 input tokens" in place.said(ts)
    assert len(engine.asked) <= 5


INDENTED = """- a
  - b

    ```yaml
    - name: __main__
      run: a = b * c  # *not* bold
    ```

call my__private__thing
"""

NESTED = """- Sort them:
  1. by <name>

     ```python
     for at in items[1:]:
         print(table[at](__name__), a * b * c)  # *not* bold
     ```

"""


@pytest.mark.parametrize("is_direct", [True, False])
def test_code_in_lists_stays_byte_for_byte_also_in_an_answer_of_30_kb(place, engine, is_direct):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    answer = INDENTED + NESTED * 220
    engine.script = lambda _: {"tokens": [answer[at : at + 70] for at in range(0, len(answer), 70)]}
    engine.context = 32_768
    channel = place.robin.open_dm() if is_direct else MIXTRAL
    ts = place.robin.say(channel, "@mixtral Write code in lists")
    place.answer(ts, "tokens/s", channel=channel, timeout=30)
    place.settled()
    said = place.markdown(ts, channel)
    assert len(said) >= 3
    buttons = [[b["type"] for b in m["blocks"]].count("actions") for m in ours(place, channel, ts)]
    assert buttons == [0] * (len(said) - 1) + [1], "below the last message alone"
    assert said[0].startswith(INDENTED)
    code = [line for line in answer.split("\n") if line.startswith("   ") and "```" not in line]
    assert [line for part in said for line in part.split("\n") if line.startswith("   ") and "```" not in line] == code
