"""Files, snippets, forwarded messages and images go to the model; what is left out is named once."""

import base64
import logging

import pytest

from bot.prompting.store import QUESTIONS
from tests.answering import engine, line, place, slack
from tests.person import GENERAL, MIXTRAL, words

__all__ = ["engine", "line", "place", "slack"]

LOG = b"12:01 started\n12:02 OOM: ```killed```\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
SHOT = {"name": "shot.png", "content": PNG}
GIGABYTES = {"name": "dump.log", "content": b"x" * 65_536, "repeat": 32_768}


@pytest.fixture
def fast(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot()
    return place


def asked(engine):
    """The last question that the engine got."""
    return engine.asked[-1]["messages"][-1]["content"]


def text_model(engine, said="scripted is not a multimodal model", status=400):
    """Let the engine refuse images, as vLLM and llama.cpp do for a model that reads text alone."""

    def script(body):
        has_images = any(isinstance(message["content"], list) for message in body["messages"])
        return {"status": status, "error": said} if has_images else {}

    engine.script = script


@pytest.mark.parametrize(("mode", "is_direct"), [("hosted", False), ("snippet", True)])
def test_a_text_file_stands_before_the_question_in_a_fence_of_its_own(fast, engine, mode, is_direct):
    channel = fast.robin.open_dm() if is_direct else MIXTRAL
    ts = fast.robin.upload(channel, {"name": "a.log", "content": LOG, "mode": mode}, text="@mixtral Why did it end?")
    fast.answer(ts, "three condiments", channel=channel)
    fence = "`" * 4
    assert asked(engine) == f"File `a.log`:\n{fence}\n{LOG.decode().rstrip()}\n{fence}\n\nWhy did it end?"
    fast.settled()
    assert "left out" not in fast.said(ts, channel)


@pytest.mark.parametrize("where", ["direct", "mention", "thread"])
def test_a_message_that_has_a_file_and_no_text_is_a_question(fast, engine, where):
    channel, text, thread = MIXTRAL, "@mixtral", None
    if where == "direct":
        channel, text = fast.robin.open_dm(), ""
    if where == "thread":
        thread, text = fast.robin.say(MIXTRAL, "@mixtral Hello"), ""
        fast.settled(thread)
    ts = fast.robin.upload(channel, {"name": "a.log", "content": LOG}, text=text, thread_ts=thread)
    fast.settled(thread or ts, channel=channel)
    assert "12:02 OOM" in asked(engine)
    assert asked(engine).startswith("File `a.log`:")


def test_the_next_question_of_the_thread_still_has_the_file(fast, engine):
    ts = fast.robin.upload(MIXTRAL, {"name": "a.log", "content": LOG}, text="@mixtral Why?")
    fast.settled(ts)
    fast.robin.say(MIXTRAL, "And then?", ts)
    fast.settled(ts)
    assert "12:02 OOM" in engine.asked[1]["messages"][0]["content"]
    assert engine.asked[1]["messages"][-1]["content"] == "And then?"


def test_a_file_that_somebody_else_posted_above_the_question_goes_to_the_model(fast, engine):
    ts = fast.ada.upload(MIXTRAL, {"name": "a.log", "content": LOG}, {"name": "b.zip", "content": b"PK"}, text="Look:")
    fast.robin.say(MIXTRAL, "@mixtral what does it say?", ts)
    fast.settled(ts)
    assert "12:02 OOM" in asked(engine)
    assert "`b.zip` was left out: it is neither a text nor an image" in fast.said(ts)
    fast.robin.say(MIXTRAL, "And what else?", ts)
    fast.settled(ts)
    assert "\n".join(fast.markdown(ts)).count("was left out") == 1, "once"


def test_a_forwarded_message_with_its_file_goes_to_the_model(fast, engine):
    there = fast.ada.upload(GENERAL, {"name": "a.log", "content": LOG}, text="It fails with <b> & *stars*")
    ts = fast.robin.forward(MIXTRAL, GENERAL, there, text="@mixtral what does she mean?")
    fast.answer(ts, "three condiments")
    assert asked(engine).startswith("Forwarded message of Ada")
    assert "It fails with <b> & *stars*" in asked(engine)
    assert "12:02 OOM" in asked(engine)
    assert asked(engine).endswith("what does she mean?")


def test_an_image_goes_to_a_model_that_reads_images_also_with_the_next_question(fast, engine):
    ts = fast.robin.upload(MIXTRAL, SHOT, text="@mixtral What is this?")
    fast.settled(ts)
    fast.robin.say(MIXTRAL, "Which colour?", ts)
    fast.settled(ts)
    image, text = engine.asked[0]["messages"][0]["content"]
    assert image["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert text == {"type": "text", "text": "What is this?"}
    assert engine.asked[1]["messages"][0]["content"] == [image, text]
    assert "left out" not in fast.said(ts)


LLAMACPP = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "scripted is not a multimodal model"),
        (500, LLAMACPP),
        (400, "At most 0 image(s) may be provided in one prompt."),
    ],
)
def test_a_picture_for_a_model_without_eyes_is_named_once_and_the_words_are_answered(fast, engine, status, said):
    text_model(engine, said, status)
    ts = fast.robin.upload(MIXTRAL, SHOT, text="@mixtral Name three condiments.")
    answer = fast.answer(ts, "three condiments")
    fast.settled(ts)
    assert "`shot.png` was left out: `fast` does not read images" in fast.said(ts)
    assert asked(engine).endswith("Name three condiments.")
    assert "`shot.png` is attached, and cannot be shown to you" in asked(engine)
    fast.robin.upload(MIXTRAL, SHOT, text="@mixtral And this?", thread_ts=ts)
    fast.settled(ts)
    assert len(engine.asked) == 3, "known from the first refusal on"
    assert words(answer)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "cannot identify image file <_io.BytesIO object at 0x7f>"),
        (500, "image file is truncated (3 bytes not processed)"),
        (400, "Failed to load image or audio file"),
    ],
)
def test_a_picture_that_the_engine_cannot_decode_is_left_out_and_the_thread_goes_on(fast, engine, status, said):
    text_model(engine, said, status)
    ts = fast.robin.upload(MIXTRAL, SHOT, text="@mixtral Name three condiments.")
    fast.answer(ts, "three condiments")
    fast.settled(ts)
    assert "`shot.png` was left out: `fast` could not decode an image of this thread" in fast.said(ts)
    fast.robin.say(MIXTRAL, "And a fourth?", ts)
    fast.settled(ts)
    assert asked(engine) == "And a fourth?"
    assert "\n".join(fast.markdown(ts)).count("was left out") == 1
    engine.script = lambda _: {}
    other = fast.robin.upload(MIXTRAL, SHOT, text="@mixtral What is this?")
    fast.settled(other)
    assert isinstance(asked(engine), list), "another image may be sound"


def test_a_picture_alone_for_a_model_without_eyes_is_not_asked(fast, engine):
    text_model(engine)
    channel = fast.robin.open_dm()
    for _ in range(2):
        ts = fast.robin.upload(channel, SHOT)
        fast.answer(ts, "does not read images", channel=channel)
        assert "so nothing was asked" in fast.said(ts, channel)
    assert len(engine.asked) == 1


def test_more_images_than_the_engine_reads_at_a_time_are_named(fast, engine):
    def script(body):
        images = [part for message in body["messages"] for part in message["content"] if isinstance(part, dict)]
        many = sum(part["type"] == "image_url" for part in images) > 1
        return {"status": 400, "error": "At most 1 image(s) may be provided in one prompt."} if many else {}

    engine.script = script
    ts = fast.robin.upload(MIXTRAL, SHOT, SHOT | {"name": "b.png"}, text="@mixtral Compare.")
    fast.answer(ts, "`b.png` was left out: `fast` reads at most 1 image at a time")
    assert "shot.png" not in fast.said(ts)


def test_a_file_of_2_gb_is_refused_by_its_size_and_if_the_size_lies_by_its_bytes(fast, engine):
    ts = fast.robin.upload(MIXTRAL, GIGABYTES, GIGABYTES | {"name": "lies.log", "size": 5}, text="@mixtral Why?")
    fast.answer(ts, "three condiments", timeout=20)
    fast.settled(ts)
    assert "`dump.log` was left out: it has 2.15 GB, and at most 2 MB are read; paste" in fast.said(ts)
    assert "`lies.log` was left out: it has more than 2 MB" in fast.said(ts)
    assert asked(engine).endswith("Why?")


UNREADABLE: dict[str, tuple[dict[str, object], str]] = {
    "a.zip": ({"content": b"PK\3\4"}, "it is neither a text nor an image"),
    "a.bin": ({"content": b"a\0b"}, "it is neither a text nor an image"),
    "drive.txt": ({"mode": "external"}, "it is stored outside Slack"),
    "evil.txt": ({"url": "https://evil.example.com/files-pri/T1-F1/a.txt"}, "its address is not one of Slack"),
    "port.txt": ({"redirect": "http://127.0.0.1:9/a.txt"}, "its address is not one of Slack"),
    "away.txt": ({"redirect": "https://evil.example.com/"}, "Slack does not show it"),
    "gone.txt": ({"mode": "tombstone"}, "it was deleted"),
    "old.txt": ({"mode": "hidden_by_limit"}, "the workspace's plan hides it"),
}


def test_what_cannot_be_read_is_named_with_cause_and_mend(fast, engine):
    files = [{"name": name, **about} for name, (about, _) in UNREADABLE.items()]
    ts = fast.robin.upload(MIXTRAL, *files, text="@mixtral Why?")
    fast.answer(ts, "left out")
    fast.settled(ts)
    said = "\n".join(fast.markdown(ts))
    assert said.count("`a.zip` and `a.bin` were left out: it is neither a text nor an image") == 1
    for name, (_, why) in UNREADABLE.items():
        assert why in said
        assert name in said or name in {"gone.txt", "old.txt"}, "Slack reports no name of these two"
    assert asked(engine).endswith("Why?")


def test_without_the_scope_slacks_login_page_is_not_taken_for_the_file(fast, engine):
    fast.robin.administer("scope", scope="files:read", granted=False)
    try:
        ts = fast.robin.upload(MIXTRAL, {"name": "a.log", "content": LOG}, text="@mixtral Why?")
        page = fast.robin.upload(MIXTRAL, {"name": "a.html", "content": b"<p>Hi</p>"}, text="@mixtral Why?")
        for each in (ts, page):
            fast.answer(each, "an admin has to add the scope `files:read`")
        fast.settled()
    finally:
        fast.robin.administer("scope", scope="files:read", granted=True)
    assert not any("Sign in" in str(body) for body in engine.asked)
    ts = fast.robin.upload(MIXTRAL, {"name": "a.html", "content": b"<p>Hi</p>"}, text="@mixtral Why?")
    fast.settled(ts)
    assert "<p>Hi</p>" in asked(engine)


def test_a_file_that_is_longer_than_the_context_is_cut_and_the_sentence_says_where(fast, engine):
    engine.context = 4096
    content = b"".join(b"%06d a line of a log\n" % n for n in range(4000))
    engine.others["/tokenize"] = lambda body: {"count": sum(len(m["content"]) for m in body["messages"]) // 3}
    ts = fast.robin.upload(MIXTRAL, {"name": "a.log", "content": content}, text="@mixtral Why?")
    fast.answer(ts, "`a.log` was cut: the model got the first ")
    [turn] = engine.asked[-1]["messages"]
    assert "000000 a line" in turn["content"]
    assert turn["content"].endswith("Why?")
    assert 4000 < len(turn["content"]) <= 3 * 4096
    assert f"of {len(content):,} characters" in fast.said(ts)


def test_stop_works_while_a_file_is_downloaded(fast, engine):
    slow = {"name": "a.log", "content": LOG, "repeat": 100, "delay": 0.3}
    ts = fast.robin.upload(MIXTRAL, slow, text="@mixtral Why?")
    fast.robin.wait_for(lambda p: p.session(MIXTRAL, ts) == "processing")
    fast.robin.press_stop(MIXTRAL, ts)
    fast.robin.wait_for(lambda _: fast.redis.hlen(QUESTIONS) == 0, 3)
    assert engine.asked == []


def test_a_bot_that_stops_during_a_download_leaves_the_question_to_the_next_one(fast, engine):
    slow = {"name": "a.log", "content": LOG, "repeat": 6, "delay": 0.2}
    ts = fast.robin.upload(MIXTRAL, slow, text="@mixtral")
    fast.robin.wait_for(lambda p: p.session(MIXTRAL, ts) == "processing")
    fast.end(fast.line.bots[-1])
    assert "left out" not in fast.said(ts)
    fast.bot()
    fast.answer(ts, "three condiments")
    fast.settled(ts)
    assert asked(engine).count("12:02 OOM") == 6
    assert "left out" not in fast.said(ts)


def test_nothing_of_a_file_is_stored_or_logged(fast, engine, caplog):
    caplog.set_level(logging.INFO)
    text = b"a secret of the file"
    ts = fast.robin.upload(MIXTRAL, {"name": "a.log", "content": text}, text="@mixtral Why?")
    fast.settled(ts)
    assert "a secret of the file" in asked(engine)
    stored = b"".join(fast.redis.dump(key) or b"" for key in fast.redis.scan_iter("mixtral:*"))
    assert text not in stored
    assert text.decode() not in caplog.text


def test_an_answer_is_regenerated_with_the_file(fast, engine):
    ts = fast.robin.upload(MIXTRAL, {"name": "a.log", "content": LOG}, text="@mixtral")
    answer = fast.answer(ts, "tokens/s")
    fast.settled(ts)
    fast.robin.press(answer, "answer_again")
    fast.robin.wait_for(lambda _: len(engine.asked) == 2)
    assert engine.asked[1]["messages"] == engine.asked[0]["messages"]


def test_a_question_with_a_file_to_one_of_several_deployments_keeps_it_through_the_choice(fast, engine):
    fast.shelf.put("slow", engine.url, MIXTRAL)
    fast.robin.upload(MIXTRAL, {"name": "a.log", "content": LOG}, text="@mixtral Why?")
    choice = fast.robin.wait_for(lambda p: next((m for m in p.ephemerals(MIXTRAL) if m["blocks"]), None))
    fast.robin.press(choice, "ask_of_0")
    fast.robin.wait_for(lambda _: len(engine.asked) == 1)
    assert "12:02 OOM" in asked(engine)
