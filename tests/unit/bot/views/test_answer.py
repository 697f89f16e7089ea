"""What stands below an answer fits into Slack's limits, and its buttons name the question alone."""

import pytest

from bot.sandbox.block_kit import check_message_blocks
from bot.views.answer import Below, ShownThoughts, buttons, growing, has_buttons, of_other, of_rating, without_buttons
from tests.person import words

KEY = "C0MIXTRAL01:1796000000.000100"
BELOW = Below(footer="fast · 3 tokens", buttons=buttons(KEY, [("slow", "d-2")]), rates=KEY)


def thinking(text, seconds=12.4):
    return Below(footer="f", thoughts=ShownThoughts(text=text, seconds=seconds), buttons=buttons(KEY, ()), rates=KEY)


def kinds(blocks):
    return [block["type"] for block in blocks]


def test_first_everything_then_what_every_slack_accepts_then_the_line_alone():
    shapes = thinking("Hm.").shapes(3_000)
    assert [kinds(shape) for shape in shapes] == [
        ["container", "context", "actions", "context_actions"],
        ["context", "actions"],
        ["context"],
    ]
    for shape in shapes:
        check_message_blocks(list(shape))
    assert Below().shapes(3_000) == [()]


@pytest.mark.parametrize("length", [1, 2_900, 2_901, 6_000, 400_000])
@pytest.mark.parametrize("room", [200, 1_000, 12_000])
def test_thoughts_are_folded_and_keep_to_the_room_that_there_is(length, room):
    text = "".join(chr(97 + n % 26) for n in range(length))
    [folded, *_] = thinking(text).shapes(room)[0]
    check_message_blocks([folded])
    assert folded["default_collapsed"] is True
    assert folded["title"]["text"] == "Thought for 12 s"
    shown = "".join(block["text"]["text"] for block in folded["child_blocks"])
    assert len(shown) <= min(room, 6_000)
    assert shown == text or (shown.startswith(text[:50]) and shown.endswith(text[-50:]) and "left out" in shown)


def test_thoughts_without_room_are_left_out():
    assert kinds(thinking("Hm.").shapes(100)[0]) == ["context", "actions", "context_actions"]


def test_nothing_in_thoughts_acts():
    [folded, *_] = thinking("<!channel> <@U1> [a](https://evil.example)").shapes(3_000)[0]
    assert {block["text"]["type"] for block in folded["child_blocks"]} == {"plain_text"}


def test_a_button_names_the_question_and_another_deployment_by_its_id():
    _, actions, context_actions = BELOW.shapes(3_000)[0]
    again, other = actions["elements"]
    assert (again["value"], of_other(other["value"])) == (KEY, ("d-2", KEY))
    [feedback] = context_actions["elements"]
    values = [feedback[name]["value"] for name in ("positive_button", "negative_button")]
    assert [of_rating(value) for value in values] == [(True, KEY), (False, KEY)]


def test_an_answer_loses_its_buttons_and_keeps_everything_else():
    blocks = check_message_blocks([{"type": "markdown", "text": "Mustard."}, *BELOW.shapes(3_000)[0]])
    assert has_buttons(blocks)
    left = without_buttons(blocks, "Asked again.")
    assert kinds(left) == ["markdown", "context", "context_actions", "context"]
    assert "Asked again." in words({"blocks": list(left)})
    assert not has_buttons(left)
    assert has_buttons(growing(KEY))
