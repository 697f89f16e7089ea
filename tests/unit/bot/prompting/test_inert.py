"""What a model says cannot act, however its tokens are cut."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.prompting.inert import inert, mrkdwn, open_fence, settled
from bot.prompting.split import closed, cut, split
from bot.views.escape import escape

PIECES = st.sampled_from(
    [
        *("<", ">", "!", "@", "#", "[", "]", "(", ")", ":", "|", "&", ";", "&lt;", "&#60;", "&#x3C;", "\\", "`", "```"),
        *(
            "\n",
            " ",
            "*",
            "**",
            "~~",
            "_",
            "- ",
            "# ",
            "> ",
            "!channel>",
            "@U0ROBIN>",
            "#C1|x>",
            "https://evil.example",
        ),
        *(
            "mailto:a@b",
            "!DOCTYPE html>",
            "!--",
            "std::map<std::string>",
            "slack://x|y>",
            "](https://e)",
            "]: https://e",
        ),
        *("word", "é", "🙂"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=30).map("".join)

ACTS = re.compile(r"<[@#]|<!(?!DOCTYPE|--|\[)|<[A-Za-z][A-Za-z0-9+.-]{0,30}:(?!:)|\]\(|\]:", re.IGNORECASE)


@given(TEXTS)
def test_no_construct_that_acts_is_left(text):
    assert not ACTS.search(inert(text))


@given(TEXTS)
def test_only_spaces_are_added(text):
    assert inert(text).replace(" ", "") == text.replace(" ", "")


@given(st.lists(PIECES | st.text(max_size=4), max_size=30))
@example(["<", "!", "channel>"])
@example(["](", "https://e)"])
@example(["&", "lt;", "!here>"])
@example(["<https", ":", "//evil|bank>"])
@example(["<" + "a" * 29, "a:"])
def test_what_was_shown_is_never_taken_back(tokens):
    text, shown = "", ""
    for token in tokens:
        text += token
        now = settled(text)
        assert now.startswith(shown)
        shown = now
    assert inert(text).startswith(shown)


@given(TEXTS)
def test_no_more_than_a_word_is_held_back(text):
    assert len(inert(text)) - len(settled(text)) <= 50


@given(TEXTS)
def test_in_mrkdwn_nothing_but_our_own_marks_has_angle_brackets(text):
    assert "<" not in mrkdwn(inert(text))
    assert not re.search(r"&(?!amp;|lt;|gt;)", mrkdwn(text))


@given(TEXTS)
def test_mrkdwn_is_never_longer_than_the_escaped_text(text):
    assert len(mrkdwn(text)) <= len(escape(text)) + 2 * text.count("\n") + 3  # a fence of tildes loses nothing either


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Hey <!channel>!", "Hey < !channel>!"),
        ("<@U0ROBIN> and <#C1|general>", "< @U0ROBIN> and < #C1|general>"),
        ("[bank](https://evil.example)", "[bank] (https://evil.example)"),
        ("[1]: https://evil.example", "[1] : https://evil.example"),
        ("<https://evil.example|https://bank.example>", "< https://evil.example|https://bank.example>"),
        (r"<\@U1>", r"< \@U1>"),
        ("&lt;!here&gt;", "&lt; !here&gt;"),
        ("if (a<b && c<!d) v[0](x)", "if (a<b && c< !d) v[0] (x)"),
        ("std::vector<std::string> <!DOCTYPE html><!-- x -->", "std::vector<std::string> <!DOCTYPE html><!-- x -->"),
        ("See https://example.org now.", "See https://example.org now."),
    ],
)
def test_pings_and_links_are_spaced_out_and_code_stays_code(said, shown):
    assert inert(said) == shown


def test_markdown_becomes_slacks_own_markup():
    said = (
        "# Title\n\n**bold** and *slanted* and ~~gone~~, `a * b * c` & more\n- one\n* two\n> <quoted>\n"
        "```python\nx < 1  # **no**\n```"
    )
    assert mrkdwn(said) == (
        "*Title*\n\n*bold* and _slanted_ and ~gone~, `a * b * c` &amp; more\n• one\n• two\n> &lt;quoted&gt;\n"
        "```\nx &lt; 1  # **no**\n```"
    )


@given(TEXTS, st.integers(min_value=8, max_value=60))
def test_a_split_text_is_whole_again_when_joined(text, limit):
    parts = split(text, limit)
    if "```" not in text and "~~~" not in text:
        assert "".join(parts) == text
    for part in parts[:-1]:
        assert not open_fence(part)


@given(TEXTS, TEXTS, st.integers(min_value=8, max_value=60))
def test_more_text_changes_only_the_last_part(text, more, limit):
    assert split(text + more, limit)[: len(split(text, limit)) - 1] == split(text, limit)[:-1]


@given(TEXTS, st.integers(min_value=8, max_value=60))
def test_what_is_cut_fits(text, limit):
    at = cut(text, limit)
    assert at == len(text) or at >= 1
    assert len(escape(text[:at])) <= limit


def test_a_cut_prefers_the_end_of_a_paragraph():
    text = "One sentence here.\n\nAnother sentence that goes on and on."
    assert text[: cut(text, 30)] == "One sentence here.\n\n"


def test_a_code_block_that_goes_on_is_closed_and_opened_again():
    code = "```python\n" + "x = 1\n" * 20 + "```\nDone."
    first, *_, last = split(code, 60)
    assert first.endswith("```")
    assert closed(first) == first
    assert last.endswith("Done.")
    assert all(part.startswith("```python\n") for part in split(code, 60)[1:-1])
