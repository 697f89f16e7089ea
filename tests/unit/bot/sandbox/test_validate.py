"""blocks.validate: the checker's result for blocks, messages and views."""

import pytest

from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import SlackError
from bot.sandbox.methods.blocks import validate
from bot.sandbox.stand_in import Settings, StandIn

HEADER = {"type": "header"}
SECTION = {"type": "section", "text": {"type": "plain_text", "text": "x"}}
MODAL = {"type": "modal", "title": {"type": "plain_text", "text": "T"}}
MISSING = {"code": "failed_constraint", "message": "missing required field: text"}


def verdict(**given):
    try:
        return validate(StandIn(Settings()), Arguments(given))
    except SlackError as refusal:
        return refusal.answer()


@pytest.mark.parametrize(
    "given",
    [
        {"blocks": [SECTION]},
        {"message": {"blocks": [SECTION], "attachments": [{"blocks": [SECTION]}]}},
        {"view": MODAL | {"blocks": [SECTION]}},
        {"view": {"type": "home", "blocks": [SECTION]}},
    ],
)
def test_what_slack_would_take_is_fine(given):
    assert verdict(**given) == {}


@pytest.mark.parametrize(
    ("given", "error", "pointer"),
    [
        ({"blocks": [HEADER]}, "invalid_blocks", "/0"),
        ({"message": {"blocks": [HEADER]}}, "invalid_message", "/blocks/0"),
        ({"view": MODAL | {"blocks": [HEADER]}}, "invalid_view", "/blocks/0"),
    ],
)
def test_what_it_would_refuse_is_reported_with_the_place(given, error, pointer):
    assert verdict(**given) == {"ok": False, "error": error, "errors": [MISSING | {"pointer": pointer}]}


def test_a_message_that_is_too_long_as_a_whole_is_refused_without_a_place():
    told = verdict(
        blocks=[{"type": "markdown", "text": "x" * 12_000}, SECTION | {"text": {"type": "mrkdwn", "text": "x" * 1_500}}]
    )
    assert told["errors"] == [{"pointer": "", "code": "failed_constraint", "message": "msg_blocks_too_long"}]


def test_it_takes_one_thing_at_a_time():
    for given in ({}, {"blocks": [SECTION], "view": MODAL}):
        assert verdict(**given)["error"] == "invalid_arguments"
