"""What an open page is told, and when it must start again."""

import asyncio

from bot.sandbox import feed as module
from bot.sandbox.feed import Feed


def test_only_the_newest_state_of_a_thing_is_told():
    feed = Feed()
    start, words = feed.cursor, []
    for word in ("a", "b", "c"):
        words.append(word)
        feed.publish(("message", "C1", "1.1"), lambda: {"text": "".join(words)})
        feed.publish(("status", word), dict)
    told = feed.after(start)
    assert [(t["type"], t.get("text")) for t in told] == [
        ("status", None),
        ("status", None),
        ("message", "abc"),
        ("status", None),
    ]
    assert [t["n"] for t in told] == sorted(t["n"] for t in told)
    assert feed.after(feed.cursor) == []
    assert [t["type"] for t in feed.after(feed.cursor - 1)] == ["status"]


def test_a_cursor_from_before_a_restart_or_from_nowhere_means_start_again():
    feed = Feed()
    assert feed.after(feed.cursor - 1) is None
    assert feed.after(feed.cursor + 1) is None
    assert feed.after(0) is None


def test_what_was_forgotten_means_start_again(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    feed = Feed()
    start = feed.cursor
    for n in range(4):
        feed.publish(("message", "C1", str(n)), dict)
    assert feed.after(start) is None
    assert len(feed.after(start + 1)) == 3


def test_a_reader_hears_the_bell_and_the_quiet():
    async def read():
        feed = Feed()
        with feed.reader() as reader:
            assert not await reader.change(0.01)
            feed.publish(("socket",), dict)
            assert await reader.change(1)
            assert not await reader.change(0.01)
        feed.publish(("socket",), dict)

    asyncio.run(read())
