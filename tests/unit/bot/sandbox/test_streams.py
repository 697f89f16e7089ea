"""What a stream's parts become."""

import pytest

from bot.sandbox import seed
from bot.sandbox.feed import Feed
from bot.sandbox.limits import SlackError
from bot.sandbox.streams import Streams
from bot.sandbox.workspace import Message, Workspace


def stream(*, plan_first=False):
    space = Workspace(Feed())
    message = Message(channel=seed.MIXTRAL, ts=space.new_ts())
    return Streams(space, 300.0).start(message, plan_first=plan_first)


def task(name, status, **more):
    return {"type": "task_update", "id": name, "title": name.title(), "status": status, **more}


def text(words):
    return {"type": "markdown_text", "text": words}


def test_text_is_joined_into_one_block():
    one = stream()
    one.append("Hello ", [])
    one.append("there", [])
    assert one.message.text == "Hello there"
    assert [b["text"] for b in one.message.blocks] == ["Hello there"]


def test_on_a_timeline_tasks_stand_where_they_first_came():
    one = stream()
    one.append("", [text("a"), task("boot", "in_progress"), text("b")])
    one.append("", [task("boot", "complete", output="up")])
    assert [b["type"] for b in one.message.blocks] == ["markdown", "task_card", "markdown"]
    card = one.message.blocks[1]
    assert (card["status"], card["title"]) == ("complete", "Boot")
    assert card["output"]["elements"][0]["elements"][0]["text"] == "up"


def test_as_a_plan_tasks_stand_together_at_the_top():
    one = stream(plan_first=True)
    one.append("", [text("a"), {"type": "plan_update", "title": "Launch"}, task("x", "pending"), task("y", "error")])
    plan, words = one.message.blocks
    assert (plan["type"], plan["title"], [t["task_id"] for t in plan["tasks"]]) == ("plan", "Launch", ["x", "y"])
    assert words["text"] == "a"


@pytest.mark.parametrize(
    ("markdown", "chunks", "error"),
    [
        ("x", [text("y")], "cannot_provide_both_markdown_text_and_chunks"),
        ("x" * 12_001, [], "msg_too_long"),
        ("", [{"type": "song"}], "invalid_chunks"),
        ("", [task("x", "sleeping")], "invalid_chunks"),
        ("", ["x"], "invalid_chunks"),
        ("", [{"type": "blocks", "blocks": [{"type": "poem"}]}], "invalid_blocks"),
    ],
)
def test_what_slack_would_not_take_changes_nothing(markdown, chunks, error):
    one = stream()
    with pytest.raises(SlackError, match=error):
        one.append(markdown, chunks)
    assert one.message.blocks == []


def test_a_stream_keeps_its_mode_and_its_total_length_in_bytes():
    one = stream()
    one.append("é" * 5_000, [])
    with pytest.raises(SlackError, match="streaming_mode_mismatch"):
        one.append("", [text("x")])
    with pytest.raises(SlackError, match="msg_too_long"):
        one.append("x" * 601, [])
    one.append("x" * 600, [])
