"""The message that shows a command's question: a short quote, in which code is code and nobody is mentioned."""

from hypothesis import given
from hypothesis import strategies as st

from bot.prompting.written import quoted
from bot.sandbox.block_kit import check_message_blocks
from bot.views.echo import LINES, SHOWN, echo

ROBIN = "U0ROBIN0001"


def shown(prompt, **names):
    return echo("U1", "fast", prompt, names).blocks[1]["elements"]


def text_of(parts):
    return "".join(each["text"] for part in parts for each in part["elements"])


def test_a_person_is_shown_by_name_and_not_mentioned():
    message = echo("U1", "fast", f"What does @{ROBIN} want from @U0NOBODY01?", {ROBIN: "Robin"})
    assert text_of(message.blocks[1]["elements"]) == "What does @Robin want from @somebody?"
    assert "@Robin want from @somebody" in message.text
    assert ROBIN not in str(message)


def test_code_stays_code():
    assert shown("Why does `a * b` fail?\n```python\na = b * c  # *not* bold\n```\nThanks") == [
        {
            "type": "rich_text_quote",
            "elements": [
                {"type": "text", "text": "Why does "},
                {"type": "text", "text": "a * b", "style": {"code": True}},
                {"type": "text", "text": " fail?"},
            ],
        },
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "a = b * c  # *not* bold"}]},
        {"type": "rich_text_quote", "elements": [{"type": "text", "text": "Thanks"}]},
    ]


def test_a_question_of_marks_alone_is_shown_as_it_is():
    assert text_of(shown("```")) == "```"


def test_a_very_long_question_is_a_short_quote_with_how_much_more_there_is():
    parts = shown("x" * 21_600)
    assert text_of(parts[:-1]) == "x" * SHOWN
    assert text_of(parts[-1:]) == "… and 21,000 characters more"
    assert len(text_of(shown("a\n" * 5000)).split("\n")) <= LINES + 2


def test_the_question_is_read_from_the_text_of_the_message_later():
    prompt = "Is 1 < 2?\n```\ncode\n```"
    assert quoted(echo("U1", "fast", prompt, {}).text) == prompt


@given(st.text(alphabet="<!@#|>&`\n *_~[]() abchttps:/channelhereU0ROBIN1", max_size=200).filter(str.strip))
def test_nothing_in_the_quote_mentions_anybody_or_links(prompt):
    message = echo("U1", "fast", prompt, {})
    check_message_blocks([*message.blocks])
    for part in message.blocks[1]["elements"]:
        assert part["type"] in {"rich_text_quote", "rich_text_preformatted", "rich_text_section"}
        assert all(each["type"] == "text" for each in part["elements"])
    head, *lines = message.text.split("\n")
    assert head == "<@U1> asks *fast*:"
    assert all("<" not in line for line in lines)
