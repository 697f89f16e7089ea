"""What Slack lists at a message, and how it stands in a prompt."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.prompting.attached import File, Forwarded, Kind, Text, attached, decoded, has_attachments, shown_name
from bot.prompting.conversation import Turn, news
from bot.prompting.fitting import asking, budget, fitted
from bot.prompting.left_out import LeftOut, sentence

URL = "https://files.slack.com/files-pri/T1-F1/a.log"


def file(**fields):
    return {
        "id": "F1",
        "name": "a.log",
        "mimetype": "text/plain",
        "mode": "hosted",
        "url_private": URL,
        "size": 5,
    } | fields


def test_files_stand_before_those_of_forwarded_messages():
    share = {"is_share": True, "author_name": "Ada", "text": "Look: &lt;b&gt;", "files": [file(name="b.log")]}
    found = attached({"files": [file()], "attachments": [share]})
    assert [each.name for each in found if isinstance(each, File)] == ["a.log", "b.log"]
    assert found[1] == Forwarded(label="Forwarded message of Ada", text="Look: <b>")


def test_an_email_is_the_text_that_slack_lists():
    [found] = attached({"files": [file(name="Invoice", mode="email", mimetype="text/html", plain_text="Pay.")]})
    assert found == Forwarded(label="Email “Invoice”", text="Pay.")


def test_the_preview_of_a_page_is_no_forwarded_message():
    preview = {"from_url": "https://example.com", "title": "Example", "text": "An example"}
    assert attached({"attachments": [preview]}) == ()
    assert not has_attachments({"text": "See https://example.com", "attachments": [preview]})


def test_a_link_to_a_message_may_have_its_text_later():
    assert has_attachments({"text": "Why? <https://acme.slack.com/archives/C1/p1700000000000000>"})


def test_a_message_without_text_is_read_from_its_blocks():
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": "It fails"}]}
    block = {"message": {"blocks": [{"type": "rich_text", "elements": [section]}]}}
    [found] = attached({"attachments": [{"is_msg_unfurl": True, "message_blocks": [block]}]})
    assert found == Forwarded(label="Forwarded message", text="It fails")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, Kind.TEXT),
        ({"mimetype": "application/octet-stream", "mode": "snippet"}, Kind.TEXT),
        ({"mimetype": "application/json"}, Kind.TEXT),
        ({"mimetype": "application/vnd.api+json"}, Kind.TEXT),
        ({"mimetype": "image/png"}, Kind.IMAGE),
        ({"mimetype": "image/heic"}, Kind.BINARY),
        ({"mimetype": "application/vnd.openxmlformats-officedocument.wordprocessingml.document"}, Kind.BINARY),
        ({"mimetype": "application/pdf"}, Kind.BINARY),
        ({"mimetype": "application/octet-stream"}, Kind.UNKNOWN),
        ({"mimetype": ""}, Kind.UNKNOWN),
    ],
)
def test_the_kind_of_a_file_follows_from_what_slack_reports(fields, kind):
    assert attached({"files": [file(**fields)]})[0].kind is kind


def test_a_file_of_which_slack_reports_nothing_is_named():
    [found] = attached({"files": [{"id": "F1", "mode": "tombstone"}]})
    assert found.gone == "it was deleted"
    assert found.name == "a file without a name"
    assert attached({"files": [{"id": "F1", "file_access": "check_file_info"}]})[0].gone


@given(st.text(max_size=300))
def test_a_name_is_one_short_line_without_backticks(name):
    shown = shown_name(name)
    assert len(shown) <= 80
    assert shown.isprintable()
    assert "`" not in shown


@pytest.mark.parametrize(
    ("content", "is_text", "text"),
    [
        ("Grüße\r\n".encode(), True, "Grüße\n"),
        ("Grüße".encode("utf-8-sig"), True, "Grüße"),
        ("Grüße".encode("utf-16"), False, "Grüße"),
        ("Grüße".encode("cp1252"), True, "Grüße"),
        ("Grüße".encode("cp1252"), False, None),
        (b"a\0b", True, None),
        (b"\x89PNG\r\n\x1a\n\0", True, None),
        (b"", True, ""),
    ],
)
def test_a_text_is_decoded_and_a_binary_is_not(content, is_text, text):
    assert decoded(content, is_text=is_text) == text


@given(st.text(alphabet="`a\n", max_size=60))
def test_the_fence_is_longer_than_any_in_the_text(text):
    shown = Text(label="File", name="`a`", text=text, length=len(text)).fenced
    fence = shown.split("\n")[1]
    assert re.fullmatch("`{3,}", fence)
    assert fence not in text


def document(text, name="a.log"):
    return Text(label=f"File `{name}`", name=f"`{name}`", text=text, length=len(text))


def characters(turns):
    return sum(len(turn.content) + 5 for turn in turns)


@settings(deadline=None)  # a long text is cut many times, and the machine may be busy
@given(
    st.lists(
        st.builds(str.__mul__, st.text(alphabet="ab 酱\n", max_size=20), st.integers(0, 2000)), min_size=1, max_size=3
    ),
    st.integers(min_value=1024, max_value=8192),
    st.sampled_from([characters, lambda _: None]),
)
def test_texts_are_cut_until_the_question_fits(texts, context, count):
    question = Turn(role="user", content="Why?", texts=tuple(document(text) for text in texts))
    it = fitted([], question, context, count)
    [turn] = it.turns
    assert turn.content.endswith("Why?")
    if count is characters:
        assert characters([turn]) + it.answer + it.thoughts <= context
    for original, part in zip(texts, it.messages[0].texts, strict=True):
        assert original.startswith(part.text)
        assert part.length == len(original)


def test_a_text_that_fits_is_whole_and_an_earlier_one_is_cut_before_that_of_the_question():
    earlier = Turn(role="user", content="Look", texts=(document("x" * 40_000),))
    question = Turn(role="user", content="Why?", texts=(document("y" * 4000, "b.log"),))
    kept = asking([earlier], question, 4000)
    assert kept[-1] == question
    assert 0 < len(kept[0].texts[0].text) < 40_000
    assert "the first" in kept[0].whole
    assert budget(None).prompt > 4000


def test_blanks_at_the_end_of_a_text_take_no_room():
    question = Turn(role="user", content="Why?", texts=(document("x" + " " * 4000), document("y" * 4000, "b.log")))
    [kept] = asking([], question, 500)
    assert len(kept.whole) < 4 * 500


def test_a_conversation_that_an_engine_refuses_loses_its_history_then_texts_then_images():
    question = Turn(role="user", content="Why?", texts=(document("y" * 4000),))
    it = fitted([Turn(role="user", content="x" * 4000)], question, 8192, lambda _: None).less()
    assert it.messages == (question,)
    sizes = [4000]
    while it is not None:
        sizes.append(len(it.messages[0].texts[0].text))
        last, it = it, it.less()
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0
    assert last.turns[0].content.endswith("Why?")


def test_what_is_attached_after_the_last_answer_is_new():
    said = [Turn(role=role, content="x") for role in ("user", "assistant", "user", "user")]
    assert news(said) == 2
    assert news(said[2:]) == 0


def test_the_sentence_groups_names_by_their_reason():
    left = [LeftOut("`a.zip`", "it is binary"), LeftOut("`b.png`", "no eyes"), LeftOut("`c.zip`", "it is binary")]
    assert sentence(left, ["`d.log` was cut"]) == (
        "`a.zip` and `c.zip` were left out: it is binary. `b.png` was left out: no eyes. `d.log` was cut."
    )
    assert sentence([LeftOut(f"`{n}`", "x") for n in range(8)], []).startswith(
        "`0`, `1`, `2`, `3`, `4` and 3 more were"
    )
    assert sentence([], []) == ""
