"""An answer is read back from Slack as the model wrote it, as far as Slack keeps it."""

from bot.prompting.written import quoted, written
from bot.views.answer import Below, ShownThoughts, buttons, growing, thinking

CONTEXT = {"type": "context", "elements": [{"type": "mrkdwn", "text": "m · 7 tokens"}]}


def text(words, **style):
    return {"type": "text", "text": words, **({"style": style} if style else {})}


def test_a_markdown_block_is_the_text_without_the_line_below_it():
    message = {"text": "cut…", "blocks": [{"type": "markdown", "text": "**a** <b>"}, CONTEXT]}
    assert written(message) == "**a** <b>"


def test_blocks_into_which_slack_translated_markdown_are_markdown_again():
    section = {
        "type": "rich_text_section",
        "elements": [text("Call "), text("f(x)", code=True), {"type": "emoji", "name": "tada"}],
    }
    bullets = [{"type": "rich_text_section", "elements": [text(each)]} for each in ("one", "two")]
    code = {"type": "rich_text_preformatted", "language": "python", "elements": [text("x = 1\ny < 2")]}
    quote = {"type": "rich_text_quote", "elements": [text("said\nagain")]}
    rich = {
        "type": "rich_text",
        "elements": [section, {"type": "rich_text_list", "indent": 1, "elements": bullets}, code, quote],
    }
    heading = {"type": "header", "text": {"type": "plain_text", "text": "Title"}}
    assert written({"blocks": [heading, rich]}) == (
        "Title\n\nCall `f(x)`:tada:\n  - one\n  - two\n```python\nx = 1\ny < 2\n```\n> said\n> again"
    )


def test_without_blocks_the_text_is_the_answer():
    assert written({"text": "a &lt; b", "blocks": []}) == "a < b"


def test_a_commands_prompt_is_what_its_message_quotes():
    assert quoted("<@U1> asks *fast*:\n&gt; Is 1 &lt; 2?\n&gt; Why?") == "Is 1 < 2?\nWhy?"


def test_thoughts_and_buttons_are_no_part_of_an_answer():
    below = Below(footer="f", thoughts=ShownThoughts(text="Hm.", seconds=3), buttons=buttons("k", ()), rates="k")
    for shape in below.shapes(3_000):
        assert written({"text": "cut…", "blocks": [{"type": "markdown", "text": "Mustard."}, *shape]}) == "Mustard."
    assert written({"text": "Thinking for 3 s …", "blocks": [thinking(3), *growing("k")]}) == ""
