"""Block Kit's limits: what fits passes, one more is refused, and slack_sdk's own limits agree."""

import pytest
from slack_sdk.models import blocks as sdk
from slack_sdk.models.blocks.basic_components import ConfirmObject, Option
from slack_sdk.models.views import View

from bot.sandbox.block_kit import check_attachments, check_message_blocks, check_view
from bot.sandbox.limits import SlackError


def plain(text):
    return {"type": "plain_text", "text": text}


def mrkdwn(text):
    return {"type": "mrkdwn", "text": text}


def section(**fields):
    return {"type": "section", "text": mrkdwn("x"), **fields}


def button(**fields):
    return {"type": "button", "text": plain("Press"), **fields}


def actions(*elements):
    return {"type": "actions", "elements": list(elements)}


def option(text="o", value="v", **fields):
    return {"text": plain(text), "value": value, **fields}


def select(n, **fields):
    return {"type": "static_select", "options": [option(value=str(i)) for i in range(n)], **fields}


def confirm(**fields):
    whole = {"title": plain("t"), "text": mrkdwn("x"), "confirm": plain("y"), "deny": plain("n")}
    return {**whole, **fields}


def input_of(element, **fields):
    return {"type": "input", "label": plain("l"), "element": element, **fields}


def rows(n, columns):
    return {"type": "table", "rows": [[{"type": "raw_text", "text": "c"}] * columns] * n}


RAW = {"type": "raw_text", "text": "c"}


def data_table(given, **fields):
    return {"type": "data_table", "caption": "t", "rows": given, **fields}


def chart(of, title="t"):
    return {"type": "data_visualization", "title": title, "chart": of}


def pie(n, label="l", value=1):
    return {"type": "pie", "segments": [{"label": label, "value": value}] * n}


def line(series, categories, kind="line"):
    names = [str(n) for n in range(categories)]
    data = [{"label": name, "value": -1.5} for name in names]
    return {
        "type": kind,
        "series": [{"name": f"s{n}", "data": data} for n in range(series)],
        "axis_config": {"categories": names, "x_label": "x", "y_label": "y"},
    }


def complaint_of(blocks):
    with pytest.raises(SlackError) as raised:
        check_message_blocks(blocks)
    assert raised.value.error == "invalid_blocks"
    messages = raised.value.fields["response_metadata"]["messages"]
    assert raised.value.fields["errors"] == [said.removeprefix("[ERROR] ") for said in messages]
    return messages[0]


# What a block of a given size looks like, the largest size that fits, and slack_sdk's word for it.
LIMITS = {
    "section text": (lambda n: section(text=mrkdwn("x" * n)), 3000, sdk.SectionBlock.text_max_length),
    "section fields": (
        lambda n: section(fields=[plain("x")] * n),
        10,
        sdk.SectionBlock.fields_max_length,
    ),
    "field text": (lambda n: section(fields=[mrkdwn("x" * n)]), 2000, None),
    "header text": (
        lambda n: {"type": "header", "text": plain("x" * n)},
        150,
        sdk.HeaderBlock.text_max_length,
    ),
    "markdown text": (
        lambda n: {"type": "markdown", "text": "x" * n},
        12_000,
        sdk.MarkdownBlock.text_max_length,
    ),
    "actions": (lambda n: actions(*[button()] * n), 25, sdk.ActionsBlock.elements_max_length),
    "context": (
        lambda n: {"type": "context", "elements": [mrkdwn("x")] * n},
        10,
        sdk.ContextBlock.elements_max_length,
    ),
    "button text": (
        lambda n: actions(button(text=plain("x" * n))),
        75,
        sdk.ButtonElement.text_max_length,
    ),
    "button value": (
        lambda n: actions(button(value="x" * n)),
        2000,
        sdk.ButtonElement.value_max_length,
    ),
    "button url": (lambda n: actions(button(url="x" * n)), 3000, sdk.ButtonElement.url_max_length),
    "action_id": (
        lambda n: actions(button(action_id="x" * n)),
        255,
        sdk.ButtonElement.action_id_max_length,
    ),
    "block_id": (lambda n: section(block_id="x" * n), 255, sdk.Block.block_id_max_length),
    "options": (lambda n: actions(select(n)), 100, sdk.StaticSelectElement.options_max_length),
    "option text": (
        lambda n: actions(select(0) | {"options": [option(text="x" * n)]}),
        75,
        Option.label_max_length,
    ),
    "option value": (
        lambda n: actions(select(0) | {"options": [option(value="x" * n)]}),
        150,
        Option.value_max_length,
    ),
    "overflow options": (
        lambda n: actions({"type": "overflow", "options": [option()] * n}),
        5,
        sdk.OverflowMenuElement.options_max_length,
    ),
    "placeholder": (
        lambda n: actions(select(1, placeholder=plain("x" * n))),
        150,
        sdk.StaticSelectElement.placeholder_max_length,
    ),
    "confirm title": (
        lambda n: actions(button(confirm=confirm(title=plain("x" * n)))),
        100,
        ConfirmObject.title_max_length,
    ),
    "confirm text": (
        lambda n: actions(button(confirm=confirm(text=mrkdwn("x" * n)))),
        300,
        ConfirmObject.text_max_length,
    ),
    "confirm deny": (
        lambda n: actions(button(confirm=confirm(deny=plain("x" * n)))),
        30,
        ConfirmObject.deny_max_length,
    ),
    "input label": (
        lambda n: input_of({"type": "plain_text_input"}, label=plain("x" * n)),
        2000,
        sdk.InputBlock.label_max_length,
    ),
    "image alt_text": (
        lambda n: {"type": "image", "image_url": "https://x", "alt_text": "x" * n},
        2000,
        sdk.ImageBlock.alt_text_max_length,
    ),
    "image url": (
        lambda n: {"type": "image", "image_url": "x" * n, "alt_text": "x"},
        3000,
        sdk.ImageBlock.image_url_max_length,
    ),
    "table rows": (lambda n: rows(n, 1), 100, None),
    "table columns": (lambda n: rows(1, n), 20, None),
    "data table rows": (lambda n: data_table([[RAW]] * n), 101, None),
    "data table columns": (lambda n: data_table([[RAW] * n] * 2), 20, None),
    "data table page": (lambda n: data_table([[RAW], [RAW]], page_size=n), 100, None),
    "chart title": (lambda n: chart(pie(1), title="x" * n), 50, None),
    "pie segments": (lambda n: chart(pie(n)), 12, None),
    "chart series": (lambda n: chart(line(n, 1)), 12, None),
    "chart categories": (lambda n: chart(line(1, n)), 20, None),
    "chart label": (lambda n: chart(pie(1, label="x" * n)), 20, None),
    "card body": (
        lambda n: {"type": "card", "body": mrkdwn("x" * n)},
        200,
        sdk.CardBlock.body_max_length,
    ),
    "container children": (
        lambda n: {"type": "container", "title": plain("t"), "child_blocks": [section()] * n},
        10,
        sdk.ContainerBlock.child_blocks_max_length,
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_what_fits_passes_and_one_more_is_refused(name):
    of_size, most, sdk_says = LIMITS[name]
    check_message_blocks([of_size(most)])
    assert "[json-pointer:/blocks/0" in complaint_of([of_size(most + 1)])
    assert sdk_says in (None, most)


WRONG = {
    "a data table without a row": (data_table([[RAW]]), "no less than 2 items allowed [json-pointer:/blocks/0/rows]"),
    "a data table with a short row": (
        data_table([[RAW, RAW], [RAW]]),
        "rows must have the same number of cells [json-pointer:/blocks/0]",
    ),
    "rich text in a data table's header": (
        data_table([[{"type": "rich_text", "elements": []}], [RAW]]),
        "the header row cannot contain rich_text [json-pointer:/blocks/0]",
    ),
    "a row header that is no column": (
        data_table([[RAW], [RAW]], row_header_column_index=1),
        "row_header_column_index must be the index of a column [json-pointer:/blocks/0]",
    ),
    "a slice of nothing": (
        chart(pie(1, value=0)),
        "must be no less than 1 [json-pointer:/blocks/0/chart/segments/0/value]",
    ),
    "an unknown chart": (chart({"type": "donut"}), "unsupported type: donut [json-pointer:/blocks/0/chart/type]"),
    "a series that lacks a category": (
        chart(line(1, 2) | {"axis_config": {"categories": ["0", "9"]}}),
        "series must have one data point for each of the categories [json-pointer:/blocks/0/chart]",
    ),
    "two series of one name": (
        chart(line(1, 1) | {"series": line(1, 1)["series"] * 2}),
        "series must have unique names [json-pointer:/blocks/0/chart]",
    ),
    "an alert in a message": (
        {"type": "alert", "text": plain("x")},
        "unsupported type: alert [json-pointer:/blocks/0/type]",
    ),
    "an unknown type": ({"type": "poem"}, "unsupported type: poem [json-pointer:/blocks/0/type]"),
    "a missing field": ({"type": "header"}, "missing required field: text [json-pointer:/blocks/0]"),
    "a field that no block has": (
        section(colour="red"),
        "invalid additional property: colour [json-pointer:/blocks/0]",
    ),
    "an empty text": (
        section(text=mrkdwn("")),
        "must be no less than 1 characters [json-pointer:/blocks/0/text/text]",
    ),
    "a section with nothing in it": (
        {"type": "section"},
        "must provide either text or fields [json-pointer:/blocks/0]",
    ),
    "mrkdwn where only plain text may be": (
        actions(button(text=mrkdwn("x"))),
        "unsupported type: mrkdwn [json-pointer:/blocks/0/elements/0/text/type]",
    ),
    "an input among actions": (
        actions({"type": "plain_text_input"}),
        "unsupported type: plain_text_input [json-pointer:/blocks/0/elements/0/type]",
    ),
    "a button in an input block": (
        input_of(button()),
        "unsupported type: button [json-pointer:/blocks/0/element/type]",
    ),
    "an unknown style": (
        actions(button(style="loud")),
        "Invalid enum value 'loud' [json-pointer:/blocks/0/elements/0/style]",
    ),
    "an initial option with another text than its option": (
        actions(select(2, initial_option=option(text="other", value="1"))),
        "initial options must exactly match options [json-pointer:/blocks/0/elements/0]",
    ),
    "an initial option that no group has": (
        actions(
            {
                "type": "multi_static_select",
                "option_groups": [{"label": plain("g"), "options": [option(value="1")]}],
                "initial_options": [option(value="1"), option(value="2")],
            }
        ),
        "initial options must exactly match options [json-pointer:/blocks/0/elements/0]",
    ),
    "a time of eleven digits": (
        actions({"type": "datetimepicker", "initial_date_time": 10**10}),
        "must be no more than 9999999999 [json-pointer:/blocks/0/elements/0/initial_date_time]",
    ),
    "a select without options": (
        actions({"type": "static_select"}),
        "must provide either options or option_groups [json-pointer:/blocks/0/elements/0]",
    ),
    "a text that is no object": (
        section(text="x"),
        "Expected `object`, got `str` [json-pointer:/blocks/0/text]",
    ),
    "an empty cell": (
        {"type": "table", "rows": [[{"type": "raw_text", "text": ""}]]},
        "must be no less than 1 characters [json-pointer:/blocks/0/rows/0/0/text]",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_block_is_refused_with_its_place(name):
    block, said = WRONG[name]
    assert complaint_of([block]) == f"[ERROR] {said}"


def test_fifty_blocks_are_a_message_and_fifty_one_are_not():
    check_message_blocks([{"type": "divider"}] * 50)
    assert complaint_of([{"type": "divider"}] * 51) == ("[ERROR] no more than 50 items allowed [json-pointer:/blocks]")


def test_ids_must_not_come_twice():
    assert "`block_id` a already exists" in complaint_of([section(block_id="a"), section(block_id="a")])
    assert '`action_id` "b"' in complaint_of([actions(button(action_id="b"), button(action_id="b"))])
    check_message_blocks([actions(button(action_id="b")), actions(button(action_id="b"))])


def test_a_message_has_one_table_at_most_and_12000_characters_of_markdown():
    assert "only_one_table_allowed" in complaint_of([rows(1, 1), rows(1, 1)])
    half = {"type": "markdown", "text": "x" * 6001}
    assert "12000" in complaint_of([half, half])


def test_all_text_together_has_a_limit():
    with pytest.raises(SlackError, match="msg_blocks_too_long"):
        check_message_blocks([section(text=mrkdwn("x" * 3000))] * 5)


def test_blocks_that_are_no_list_are_refused():
    with pytest.raises(SlackError, match="invalid_blocks_format"):
        check_message_blocks({"type": "divider"})
    assert check_message_blocks(None) == []


def test_what_came_is_stored_as_it_came_with_ids_where_they_were_missing():
    given = [section(text=mrkdwn("<!channel> & <b>"), accessory=button(value="v")), actions(button(action_id="a"))]
    stored = check_message_blocks(given)
    assert stored[0]["text"] == given[0]["text"]
    assert stored[0]["block_id"]
    assert stored[0]["accessory"]["action_id"]
    assert stored[1]["elements"][0]["action_id"] == "a"
    assert "block_id" not in given[0], "what was given is not touched"


def test_all_that_slack_sdk_can_build_is_known_here():
    known = {
        "rich_text": {
            "type": "rich_text",
            "elements": [
                {"type": "rich_text_section", "elements": [{"type": "text", "text": "x", "style": {"bold": True}}]},
                {
                    "type": "rich_text_list",
                    "style": "bullet",
                    "elements": [{"type": "rich_text_section", "elements": [{"type": "link", "url": "https://x"}]}],
                },
            ],
        },
        "plan": {"type": "plan", "title": "p", "tasks": [{"type": "task_card", "task_id": "1", "title": "t"}]},
        "card": {"type": "card", "icon": IMAGE, "hero_image": IMAGE, "title": plain("x"), "subtitle": mrkdwn("y")},
        "container": {
            "type": "container",
            "rich_text_title": {"type": "rich_text", "elements": []},
            "child_blocks": [{"type": "header", "text": plain("x")}],
            "is_collapsible": True,
        },
        "data_table": data_table([[RAW], [{"type": "raw_number", "value": 1.5, "text": "1.50"}]], page_size=5),
        "bar": chart(line(2, 3, "bar")),
        "area": chart(line(2, 3, "area")),
        "carousel": {"type": "carousel", "elements": [{"type": "card", "title": plain("x"), "actions": [button()]}]},
        "context_actions": {
            "type": "context_actions",
            "elements": [
                {
                    "type": "feedback_buttons",
                    "positive_button": {"text": plain("+"), "value": "1"},
                    "negative_button": {"text": plain("-"), "value": "0"},
                }
            ],
        },
        "file": {"type": "file", "external_id": "1", "source": "remote"},
        "call": {"type": "call", "call_id": "1"},
        "video": {
            "type": "video",
            "alt_text": "x",
            "title": plain("x"),
            "thumbnail_url": "https://x",
            "video_url": "https://x",
        },
    }
    for block in known.values():
        check_message_blocks([block])


IMAGE = {"type": "image", "image_url": "https://x", "alt_text": "x"}

MODAL = {"type": "modal", "title": plain("T"), "blocks": [section()]}


def view_complaint_of(view, kind="modal"):
    with pytest.raises(SlackError) as raised:
        check_view(view, kind)
    assert raised.value.error == "invalid_arguments"
    return raised.value.fields["response_metadata"]["messages"][0]


@pytest.mark.parametrize(
    ("of_size", "most"),
    [
        (lambda n: {"title": plain("x" * n)}, View.title_max_length),
        (lambda n: {"submit": plain("x" * n)}, View.submit_max_length),
        (lambda n: {"close": plain("x" * n)}, View.close_max_length),
        (lambda n: {"private_metadata": "x" * n}, View.private_metadata_max_length),
        (lambda n: {"callback_id": "x" * n}, View.callback_id_max_length),
        (lambda n: {"blocks": [section()] * n}, View.blocks_max_length),
    ],
)
def test_a_views_parts_have_the_sizes_that_slack_sdk_says(of_size, most):
    check_view(MODAL | of_size(most), "modal")
    assert "[json-pointer:/view" in view_complaint_of(MODAL | of_size(most + 1))


def test_a_modal_with_inputs_needs_a_submit_label():
    asking = MODAL | {"blocks": [input_of({"type": "plain_text_input"})]}
    assert view_complaint_of(asking) == "[ERROR] missing required field: submit [json-pointer:/view]"
    check_view(asking | {"submit": plain("Go")}, "modal")


def test_a_view_of_the_wrong_kind_or_with_a_messages_blocks_is_refused():
    assert "modal" in view_complaint_of(MODAL, "home")
    assert "markdown" in view_complaint_of(MODAL | {"blocks": [{"type": "markdown", "text": "x"}]})
    assert "object" in view_complaint_of("modal")
    with pytest.raises(SlackError, match="view_too_large"):
        check_view(MODAL | {"private_metadata": "x" * 250_000}, "modal")


def test_each_block_is_taken_where_slack_shows_it():
    alert = {"type": "alert", "text": mrkdwn("x"), "level": "warning"}
    card = {"type": "card", "title": plain("x")}
    carousel = {"type": "carousel", "elements": [card]}
    home = {"type": "home", "blocks": []}
    check_view(MODAL | {"blocks": [alert, card]}, "modal")
    check_view(home | {"blocks": [card, carousel]}, "home")
    assert "unsupported type: alert" in view_complaint_of(home | {"blocks": [alert]}, "home")
    for only_in_messages in (data_table([[RAW], [RAW]]), chart(pie(1)), {"type": "plan", "title": "p"}):
        assert "unsupported type" in view_complaint_of(MODAL | {"blocks": [only_in_messages]})
    too_long = MODAL | {"blocks": [alert | {"text": mrkdwn("x" * 201)}]}
    assert "must be no more than 200 characters" in view_complaint_of(too_long)


def test_a_message_has_two_charts_at_most():
    check_message_blocks([chart(pie(1))] * 2)
    assert "no more than 2 data_visualization blocks allowed" in complaint_of([chart(pie(1))] * 3)


def test_attachments_are_counted_and_their_blocks_checked():
    assert check_attachments([{"color": "#fff", "text": "x"}]) == [{"color": "#fff", "text": "x"}]
    with pytest.raises(SlackError, match="too_many_attachments"):
        check_attachments([{}] * 101)
    with pytest.raises(SlackError, match="invalid_blocks"):
        check_attachments([{"blocks": [{"type": "poem"}]}])
    with pytest.raises(SlackError, match="invalid_attachments"):
        check_attachments("x")
