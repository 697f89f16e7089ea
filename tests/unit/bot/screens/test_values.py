"""What buttons and modals hold: ids of stored things, counts and commands. Nobody's name, no place, no address."""

import re
from typing import Any

import pytest

from bot.language.direct_request import wanted_of
from bot.language.grammar import parse
from bot.language.question import QuestionKey
from bot.slack.hosts import response_url
from bot.views import answer
from bot.views.command_button import pressed
from tests import gallery
from workers.deployment.events import Clock

DRAFT = r"[0-9a-f]{24}"
DEPLOYMENT = r"d-?[0-9a-z-]+"
REQUEST = r"r-\d+|[0-9a-f]{16}(?:-key)?"
ANSWER = r"[CGD][A-Z0-9]+:\d+\.\d+|\d+\.\d+|Ev\w+"
"""The key of a stored answer: a press elsewhere than in its channel finds nothing."""

SHAPES = {
    "ask_of_": rf"{DRAFT} {DEPLOYMENT}",
    "confirm_command": DRAFT,
    "config_reset": DRAFT,
    "drop_command": "-",
    "card_keep_trying": DEPLOYMENT,
    "card_keep": rf"{DEPLOYMENT} \d+(?: (?:{'|'.join(Clock)}))?",
    "card_": DEPLOYMENT,
    "details_refresh": DEPLOYMENT,
    "answer_other_": rf"{DEPLOYMENT} (?:{ANSWER})",
    "answer_rate_": rf"(?:good|bad) (?:{ANSWER})",
    "answer_feedback": rf"(?:good|bad) (?:{ANSWER})",
    "answer_": ANSWER,
    "approve_request": REQUEST,
    "deny_request": REQUEST,
    "grant_request": REQUEST,
    "decline_request": REQUEST,
    "take_key": REQUEST,
}
METADATA = rf"|{DRAFT}|{DEPLOYMENT}|{REQUEST}"
NAMES_SOMEONE = re.compile(r"\b[UWCGDTE]0[A-Z0-9]{5,}\b|://|xox|mxk_")
KEY = QuestionKey("C0MIXTRAL01:1795442700.1")


def answers() -> dict[str, Any]:
    buttons = answer.buttons(KEY, [("fast", "d-1")])
    shapes = answer.Below(buttons=buttons, rates=KEY).shapes(9_000)
    return {"answer": {"blocks": [*shapes[0], *shapes[-2]]}, "growing answer": {"blocks": answer.growing(KEY)}}


def shown() -> dict[str, Any]:
    messages = {**gallery.cards(), **gallery.others()}
    rendered = {name: {"blocks": message.blocks} for name, message in messages.items()}
    return {**rendered, **gallery.views(), **answers()}


def elements(value: Any, action: str = "") -> Any:
    """Each value in blocks, with the action that it belongs to; options of inputs belong to their input."""
    if isinstance(value, dict):
        action = value.get("action_id", action)
        if isinstance(value.get("value"), str):  # charts have numbers
            yield action, value["value"]
        for inner in value.values():
            yield from elements(inner, action)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from elements(inner, action)


def wrong(action: str, value: str) -> str:
    """Why a value is none that a button may hold; empty if it is."""
    if action == "ask_launcher":
        wanted_of(value)
        return "names someone" if NAMES_SOMEONE.search(value) else ""
    if action == "do_command" or re.match(r"launch_form(_|$)", action):
        # The press parses it again, and does what the person who presses could type where they press.
        text = pressed(value)[1] if action == "do_command" else value
        return "" if not text or parse(text.removeprefix("/mixtral")) else "no command"
    shape = next((shape for start, shape in SHAPES.items() if action.startswith(start)), None)
    if shape is None:  # an option of an input
        return "names someone" if NAMES_SOMEONE.search(value) else ""
    return "" if re.fullmatch(shape, value) else f"is not {shape}"


@pytest.mark.parametrize("name", sorted(shown()))
def test_a_view_holds_ids_of_stored_things_alone(name):
    view = shown()[name]
    found = [(action, value, why) for action, value in elements(view) if (why := wrong(action, value))]
    assert found == []
    metadata = view.get("private_metadata", "")
    if metadata.startswith("{"):
        assert not wrong("ask_launcher", metadata)
    else:
        assert re.fullmatch(METADATA, metadata), metadata
    ids = [block["block_id"] for block in view.get("blocks", ()) if "block_id" in block]
    assert not [id_ for id_ in ids if NAMES_SOMEONE.search(id_)]


def test_the_check_finds_what_a_value_may_not_hold():
    question = '{"id":"Ev1","channel":"C0GENERAL01","user":"U0ROBIN0001","text":"Hi"}'
    assert wrong("ask_of_0", question)
    assert wrong("config_reset", "C0GENERAL01")
    assert wrong("card_down", "https://198.51.100.7/")
    assert wrong("launching_recipe", "U0ROBIN0001")
    with pytest.raises(ValueError, match="missing required field"):
        wrong("ask_launcher", '{"channel":"C0GENERAL01"}')


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://hooks.slack.com/actions/T1/2/x", True),
        ("https://hooks.slack-gov.com/commands/T1/2/x", True),
        ("http://127.0.0.1:3000/actions/x", True),
        ("http://hooks.slack.com/actions/T1/2/x", False),
        ("https://hooks.slack.com:8443/x", False),
        ("https://hooks.slack.com@198.51.100.7/x", False),
        ("https://hooks.slack.com.evil.example/x", False),
        ("https://evil.slack.com/x", False),
        ("http://127.0.0.1:6379/", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("file:///etc/passwd", False),
        ("http://[", False),
        ("\x00", False),
        ("", False),
        (None, False),
        (7, False),
    ],
)
def test_answers_go_to_slacks_addresses_alone(given, kept):
    assert response_url(given, "http://127.0.0.1:3000/api/") == (given if kept else None)
