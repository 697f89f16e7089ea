"""Every view as it was last looked at; `MIXTRAL_GOLDEN=write` writes them anew, to be looked at again."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from slack_sdk.models.blocks import Block

from bot.sandbox.block_kit import check
from tests import gallery

GOLDEN = Path(__file__).parent / "golden"
MESSAGES = {**gallery.cards(), **gallery.others()}
VIEWS = gallery.views()


def _shown(message):
    shown = msgspec.to_builtins(message)
    return shown if shown["instead"] else {name: value for name, value in shown.items() if name != "instead"}


EVERYTHING = {**{name: _shown(message) for name, message in MESSAGES.items()}, **VIEWS}


def _file(name):
    return GOLDEN / f"{name.replace(', ', '-').replace(' ', '-')}.json"


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_view_is_as_it_was_last_looked_at(name):
    shown = json.dumps(EVERYTHING[name], indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("MIXTRAL_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        _file(name).write_text(shown)
    assert shown == _file(name).read_text()


def test_no_golden_file_is_left_over():
    assert {path.name for path in GOLDEN.glob("*.json")} == {_file(name).name for name in EVERYTHING}


@pytest.mark.parametrize("name", MESSAGES)
def test_slack_takes_every_message(name):
    message = MESSAGES[name]
    assert 0 < len(message.text) <= 4000
    check.check_message_blocks(list(message.blocks))
    check.check_message_blocks(list(message.instead))


@pytest.mark.parametrize("name", MESSAGES)
def test_the_makers_of_the_sdk_find_no_fault_with_the_blocks(name):
    for block in MESSAGES[name].blocks:
        if block["type"] == "data_visualization":  # the SDK does not have it yet
            continue
        parsed = Block.parse(block)
        assert parsed is not None
        parsed.validate_json()


@pytest.mark.parametrize("name", VIEWS)
def test_slack_takes_every_modal_and_home_tab(name):
    check.check_view(VIEWS[name], VIEWS[name]["type"])
