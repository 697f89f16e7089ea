"""What a model says cannot act, however its tokens are cut."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.prompting.fences import after, code_length, code_lines, open_fence
from bot.prompting.inert import inert, mrkdwn, settled
from bot.prompting.split import closed, cut, split, utf8
from tests.patience import PATIENCE

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


ACTS_IN_CODE = re.compile(r"<[@#][A-Z0-9]{2}|(?i:<!(?:channel|here|everyone|subteam|date)|<(?:https?|mailto|slack):)")


@given(TEXTS)
def test_no_construct_that_acts_is_left(text):
    fence, shown = None, inert(text)
    code = code_lines(shown)
    for at, line in enumerate(shown.split("\n")):
        end = code_length(line, fence) if at in code else 0
        assert not ACTS_IN_CODE.search(line[:end])
        assert not ACTS.search(line[end:])
        fence = after(line, fence)


LINES = st.lists(
    st.builds(
        lambda indent, marks, said, end: f"{indent}{marks}{said}{end}",
        st.sampled_from(["", " ", "  ", "   ", "    ", "      ", "\t"]),
        st.sampled_from(["", "", "- ", "1. ", "- - ", "> "]),
        st.sampled_from(
            ["", "```", "````", "```py", "~~~", "word", "[bank](https://evil.example)", "`", "<div>", "---"]
        ),
        st.sampled_from(["\n", "\n", "\n", "\r", "\r\n"]),
    ),
    max_size=14,
).map("".join)


def links(markdown):
    parsed = MarkdownIt("commonmark").parse(markdown)
    return [inside for token in parsed for inside in token.children or () if inside.type in ("link_open", "image")]


@given(LINES)
@example("- ```\n```\n```\n[bank](https://evil.example)\n")
@example("```\nx\r```\r[bank](https://evil.example)\n")
def test_commonmark_finds_no_link_whatever_fences_the_model_writes(text):
    assert not links(inert(text))


@given(LINES, st.integers(min_value=80, max_value=200))
@example("1. a\n\n    ```\n" + "   word\n" * 12 + "   [bank](https://evil.example)\n", 80)
def test_nor_in_the_messages_into_which_an_answer_is_divided(text, limit):
    assert not [part for part in split(inert(text), limit) if links(part)]


CODE = """for at in items[1:]:
    print(table["key"](at), x[0](1))
<xs:element name="a"/> <#if x> <@ f(x) > <!ELEMENT br EMPTY> std::map<std::string, int>
"""


def test_code_is_unchanged_and_its_mentions_are_disabled():
    assert inert(f"```python\n{CODE}```\n[a](b)") == f"```python\n{CODE}```\n[a] (b)"
    assert inert("```\n<!channel> <@U0ROBIN> <https://a|b>\n```") == "```\n< !channel> < @U0ROBIN> < https://a|b>\n```"


@pytest.mark.parametrize("opening", ["    ```", "~~~", "- ```", "``` a`b"])
def test_what_another_parser_may_take_for_text_is_no_code(opening):
    assert inert(f"{opening}\n[bank](https://evil.example)").endswith("[bank] (https://evil.example)")


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


def test_a_sentence_of_the_bot_keeps_its_bold_words_and_code():
    assert mrkdwn("**fast** said: `a ** b ** c` & <more>") == "*fast* said: `a ** b ** c` &amp; &lt;more&gt;"


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


@given(TEXTS, st.integers(min_value=8, max_value=60), st.sampled_from([len, utf8]))
def test_what_is_cut_fits(text, limit, size):
    at = cut(text, limit, size)
    assert at == len(text) or at >= 1
    assert size(text[:at]) <= limit


FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"


def test_a_cut_by_bytes_divides_no_visible_character():
    text = FAMILY * 10
    at = cut(text, 100, utf8)
    assert at % len(FAMILY) == 0
    assert 0 < len(text[:at].encode()) <= 100


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


INDENTED = """- a
  - b

    ```yaml
    - name: __main__
      run: a = b * c  # *not* bold
    ```

call my__private__thing
"""


def test_the_code_of_a_list_is_a_block_and_ends_where_the_model_ends_it():
    assert open_fence(INDENTED) is None
    begun = INDENTED[: INDENTED.index("      run")]
    assert closed(begun) == f"{begun}    ```"
    first, second = split(INDENTED, 80)
    assert first.endswith("\n    ```")
    assert second.startswith("- - ```yaml\n")
    assert open_fence(second) is None


NESTED = """1. Install it:

   ```python
   for at in items[1:]:
       print(table["key"](at), x[0](1))
   ```

- a
  - b

    ```yaml
    - name: __main__
      run: a = b * c[0](1)  # *not* bold
    ```

call [it](https://evil.example)
"""


def test_code_in_lists_stays_byte_for_byte_and_the_text_after_it_is_inert():
    assert inert(NESTED) == NESTED.replace("[it](https", "[it] (https")


@pytest.mark.parametrize(
    ("text", "is_open"),
    [("````\n```\n", True), ("````\n```\n````", False), ("```\n~~~", True), ("```\n```py", True), ("a ```b", False)],
)
def test_a_block_ends_with_a_line_like_the_one_that_opened_it(text, is_open):
    assert (open_fence(text) is not None) == is_open


def test_a_line_that_begins_like_a_fence_takes_no_time_however_many_spaces_it_has():
    line = "```" + " " * 2_000 + "`"
    began = time.perf_counter()
    assert settled(f"{line}\nHello") == f"{line}\nHello"
    assert time.perf_counter() - began < 1 * PATIENCE
