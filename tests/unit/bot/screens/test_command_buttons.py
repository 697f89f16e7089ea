"""A button that carries a command out works once, and for an hour."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from bot.commands.context import Caller
from bot.commands.settle import settle
from bot.screens.answer_buttons import AnswerButtons
from bot.screens.command_buttons import CommandButtons
from bot.screens.presses import Presses
from tests.fakes.office import Office
from tests.person import words

POSTED = time.time()
LAUNCH = "- /mixtral launch scripted as new-1"


@pytest.fixture
def office(redis):
    return Office(redis)


def pressed(office, once, *, age=0.0, value=LAUNCH):
    """What a press of the button shows; the message is `age` seconds old."""
    works: list[Any] = []
    presses: Any = SimpleNamespace(context=office.context, click=lambda _, work: works.append(work))
    app: Any = SimpleNamespace(action=lambda _: lambda _: None)
    CommandButtons(presses).register(app)
    body = {"actions": [{"value": value}], "container": {"message_ts": f"{POSTED - age:.6f}"}}
    caller = Caller(team="T1", channel="C0HERE", user="U1", once=once)
    message = settle("test", caller, lambda: works[0](body, caller))
    return words({"text": message.text, "blocks": list(message.blocks)})


def test_each_press_has_another_trigger_and_yet_it_launches_once(office):
    assert "Launching *new-1*" in pressed(office, "1.1")
    assert "Launching *new-1*" in pressed(office, "1.2")
    assert "is taken" in pressed(office, "1.3", age=60)
    id_ = office.requests.get("new-1").id
    office.running.append(office.running.story(id_).stopped().ended())
    assert "was already launched by this button, and it is down" in pressed(office, "1.4")
    assert office.requests.all() == []


def test_a_key_is_made_once_also_if_the_button_is_pressed_twice_at_the_same_moment(office):
    office.running.put("fast", "http://127.0.0.1:1")
    id_ = office.requests.get("fast").id
    press = partial(pressed, office, value=f"{id_} /mixtral key fast new")
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(press, ("1.1", "1.2", "1.3", "1.4")))
    assert sorted("mxk_" in one for one in said) == [False, False, False, True]
    assert all("No other key was made" in one for one in said if "mxk_" not in one)
    assert len(office.requests.get("fast").keys) == len({key.id for key in office.requests.get("fast").keys}) == 2
    assert "mxk_" in press("1.5", age=60)


def test_a_button_of_more_than_an_hour_ago_does_nothing_and_leads_to_the_form(office):
    said = pressed(office, "1.1", age=3700)
    assert "more than an hour old" in said
    assert "Launch…" in said
    assert office.requests.all() == []


@pytest.mark.parametrize("value", ["", "-", "- /mixtral status"])
def test_an_old_button_with_a_forged_value_is_answered_too(office, value):
    assert "Nothing was done" in pressed(office, "1.1", age=3700, value=value)


def test_a_choice_that_an_older_version_posted_does_not_claim_that_its_deployment_has_ended(office):
    works: list[Any] = []
    nothing: Any = None
    presses: Any = Presses(office.context, nothing, nothing)
    presses.click = lambda _, work: works.append(work)
    app: Any = SimpleNamespace(action=lambda _: lambda _: None)
    AnswerButtons(presses).register(app)
    of_older = {"actions": [{"value": '{"id": "E1", "team": "T1", "text": "What is salt?", "deployment": "fast"}'}]}
    caller = Caller(team="T1", channel="C0HERE", user="U1", once="1.1")
    shown = settle("test", caller, lambda: works[0](of_older, caller)).text
    assert "no longer valid" in shown
    assert "ended" not in shown
