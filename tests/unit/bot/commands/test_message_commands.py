"""Which messages are commands, and what those are told that change something."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.commands import message_commands
from bot.commands.context import Caller
from bot.commands.one_press import carry_out, carry_out_confirmed
from bot.commands.settle import settle
from bot.language.command import Command, Help, Status
from bot.language.confirmation import Confirmation
from bot.language.grammar import parse
from bot.language.message_command import whole
from bot.slack.facts import ChannelFacts, PersonFacts
from bot.views import confirm
from bot.views.amounts import moment
from tests.builders.offers import HERE, ladder, offer
from tests.fakes.office import Office
from tests.person import words
from workers.placement.ladder import Rung

BOT = "UBOT"


@pytest.fixture
def office(redis):
    office = Office(redis)
    here = Rung(offer=HERE, usable=True)
    office.context = replace(office.context, ladder=lambda *_: ((here,), ""))
    for name in ("fast", "help", "a"):
        office.running.put(name, f"http://127.0.0.1:{len(name)}")
    return office


def caller(user="U1"):
    return Caller(team="T1", channel="C0HERE", user=user, once="E1")


def command(office, text, user="U1"):
    return message_commands.command_of(f"<@{BOT}> {text}", BOT, caller(user), office.context)


def answered(office, text, user="U1"):
    found = command(office, text, user)
    return settle("test", caller(user), lambda: message_commands.answer(found, text, caller(user), office.context))


def said(message):
    return words({"text": message.text, "blocks": list(message.blocks)})


def button_of(message):
    [buttons] = [block for block in message.blocks if block["type"] == "actions"]
    return next(b["value"] for b in buttons["elements"] if b["action_id"] == "do_command")


def pressed(office, value, user="U1"):
    return said(settle("test", caller(user), lambda: carry_out(value, caller(user), office.context)))


def told(office, text, user="U1"):
    return said(answered(office, text, user))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "help",
            "Help",
            "help scale",
            "scale --help",
            "status",
            "status fast",
            "logs fast",
            "plan",
            "plan scripted --spot",
            "recipes",
        ),
        *("key fast", "endpoint fast", "launch", "launch scripted as new-1", "scale fast 2", "scale 2", "down fast"),
    ],
)
def test_a_whole_command_whose_names_exist_is_one(office, text):
    assert command(office, text) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "plan a trip",
            "plan salads",
            "launch codes",
            "status quo",
            "down syndrome",
            "help me",
            "help!",
            "fast: hi",
        ),
        *(
            "help: me",
            "a",
            "a plan",
            "ask fast Hello",
            "scale fast two",
            "status <@U2>",
            "what is status",
            "logs of war",
            "plan how to use ls -h",
            "status of --help in git",
        ),
    ],
)
def test_everything_else_is_a_question(office, text):
    assert command(office, text) is None


def test_what_its_author_cannot_see_does_not_exist(office):
    office.running.put("secret", "http://127.0.0.1:9", "C0OPS")
    office.directory.channels["C0OPS"] = ChannelFacts()
    assert command(office, "status secret", user="U2") is None
    assert command(office, "status secret", user="U1") == Status(name="secret")


def test_a_deployment_whose_log_is_damaged_is_said_to_have_a_damaged_log(office, redis):
    id_ = office.requests.get("fast").id
    version = office.requests.get("fast").version
    redis.xadd(f"mixtral:d:{id_}", {"e": "damaged"}, id=f"{version + 1}-0")
    assert "cannot be read" in told(office, "status fast")


def test_who_may_not_do_it_is_refused_and_not_told_what_to_type(office):
    office.directory.people["U2"] = PersonFacts(team="T1", is_guest=True)
    assert "Guests of the workspace cannot launch" in told(office, "launch scripted", user="U2")
    for text, deed in (("scale fast 2", "scale it"), ("down fast", "end it"), ("key fast new", "make a key to it")):
        said = told(office, text, user="U2")
        assert f"may {deed}" in said
        assert f"/mixtral {text.split(maxsplit=1)[0]} fast 2" not in said
        assert "Nothing was changed" not in said


@pytest.mark.parametrize(
    ("text", "cost", "done"),
    [
        (
            "launch scripted as new-1",
            "Launch *new-1*? *Cheapest now*: CPU only, this machine, free",
            "Launching *new-1*",
        ),
        ("scale fast 5", "Scale *fast* from 1 to 5?", "from 1 replica to 5"),
        ("down fast", "End *fast*? Its replica and its endpoint are removed", "Ending *fast*"),
        ("key fast new", "Make a key to *fast*?", "mxk_"),
        ("key fast revoke first", "Revoke the key `first` of *fast*?", "is revoked"),
        ("endpoint fast", "A message cannot show a key.", "mxk_"),
    ],
)
def test_what_changes_something_is_done_by_one_press_of_the_button_in_its_answer(office, text, cost, done):
    before = [state.version for state in office.requests.all()]
    shown = answered(office, text)
    assert cost in said(shown)
    assert "mxk_" not in str(shown)
    assert [state.version for state in office.requests.all()] == before
    assert done in pressed(office, button_of(shown))


def test_what_is_written_in_place_of_a_key_is_only_shown(office):
    shown = answered(office, "key fast revoke `k`&lt;!channel&gt;")
    assert "<!channel>" not in str((shown.text, shown.blocks[0]))
    assert "Revoke the key `'k'&lt;!channel&gt;` of *fast*?" in shown.text


def test_a_button_launches_once_however_often_it_is_pressed(office):
    value = button_of(answered(office, "launch scripted as new-1"))
    for _ in range(2):
        assert "Launching *new-1*" in pressed(office, value)
    assert office.nudged == [office.requests.get("new-1").id] * 2
    office.requests.stop(office.requests.get("new-1").id, by="U1")
    office.running.append(office.running.story(office.requests.get("new-1").id).ended())
    assert "*new-1* was already launched by this button, and it is down" in pressed(office, value)
    assert "new-1" not in [state.name for state in office.requests.all()]


def test_a_press_after_the_time_of_the_day_does_not_launch_until_the_next_day(office):
    at = (datetime.now(UTC) + timedelta(minutes=40)).replace(second=0, microsecond=0)
    asked = answered(office, f"launch scripted as new-1 --until {at:%H:%M}")
    assert f"It ends {moment(at)}." in said(asked)
    early, office.context = office.context, replace(office.context, now=lambda: at + timedelta(minutes=5))
    assert "less than 30 minutes away, or over" in pressed(office, button_of(asked))
    office.context = early
    assert "Launching *new-1*" in pressed(office, button_of(asked))
    assert office.requests.get("new-1").until == at


@pytest.mark.parametrize("text", ["scale fast 5", "down fast", "key fast new", "endpoint fast"])
def test_a_press_is_refused_to_others_and_for_another_deployment_of_the_name(office, text):
    value = button_of(answered(office, text))
    assert "launched *fast*: only they or an admin" in pressed(office, value, user="U2")
    fast = office.requests.get("fast").id
    office.running.append(office.running.story(fast).stopped().ended())
    assert "has ended, or never existed" in pressed(office, value)
    office.running.put("fast", "http://127.0.0.1:8")
    assert "has ended, or never existed" in pressed(office, value)
    assert office.requests.get("fast").wanted == 1
    assert office.requests.get("fast").stopped_by is None


@pytest.mark.parametrize("value", ["", "-", "- /mixtral status", "- /mixtral ask hi", "d-1 rm -rf", "- /mixtral down"])
def test_a_forged_value_of_a_button_does_nothing(office, value):
    assert "no longer valid, so nothing was done" in pressed(office, value)


@given(st.text(max_size=80))
def test_no_message_is_too_odd(text):
    found = whole(text, BOT)
    assert found is None or isinstance(found, Command)
    assert not isinstance(found, Help) or text.strip()


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("launch scripted as new-1 --replicas 3 --max-price 9", "Launching *new-1* with 3 replicas costs 15.00 USD/h"),
        ("scale fast 5", "Scaling *fast* from 1 to 5 replicas costs 25.00 USD/h"),
    ],
)
def test_what_has_to_be_confirmed_is_asked_once_and_not_twice(office, text, question):
    rungs = ladder(offer("r-1", 5))
    office.context = replace(office.context, confirm_above=Decimal(10), ladder=lambda *_: (rungs, ""))
    shown = answered(office, text)
    assert question in said(shown)
    [buttons] = [block for block in shown.blocks if block["type"] == "actions"]
    [value] = [b["value"] for b in buttons["elements"] if b["action_id"] == confirm.CONFIRM]
    confirmed = carry_out_confirmed(
        office.context.drafts.get(caller().user, value, Confirmation), caller(), office.context
    )
    assert "aunching" in confirmed.text or "from 1 replica to 5" in confirmed.text
