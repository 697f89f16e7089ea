"""Which messages are commands, and what those are told that change something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands import message_commands
from bot.commands.context import Caller
from bot.commands.settle import settle
from bot.language.command import Command, Help, Status
from bot.language.grammar import parse
from bot.language.message_command import whole
from bot.slack.facts import ChannelFacts, PersonFacts
from tests.fakes.office import Office
from tests.person import words

BOT = "UBOT"


@pytest.fixture
def office(redis):
    office = Office(redis)
    for name in ("fast", "help", "a"):
        office.running.put(name, f"http://127.0.0.1:{len(name)}")
    return office


def caller(user="U1"):
    return Caller(team="T1", channel="C0HERE", user=user, once="E1")


def command(office, text, user="U1"):
    return message_commands.command_of(f"<@{BOT}> {text}", BOT, caller(user), office.context)


def told(office, text, user="U1"):
    found = command(office, text, user)
    said = settle("test", caller(user), lambda: message_commands.answer(found, text, caller(user), office.context))
    return words({"text": said.text, "blocks": list(said.blocks)})


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
    "text", ["launch scripted --spot", "scale fast 5", "down fast", "key fast new", "key fast revoke first"]
)
def test_what_changes_something_is_answered_with_what_to_type_and_changes_nothing(office, text):
    before = [state.version for state in office.requests.all()]
    said = told(office, text)
    assert f"Nothing was changed: a message cannot do that. Type `/mixtral {text}`" in said
    assert "outside of threads" in said
    assert [state.version for state in office.requests.all()] == before


def test_a_key_is_shown_by_the_slash_command_alone(office):
    said = told(office, "endpoint fast")
    assert "`/mixtral endpoint fast`" in said
    assert "mxk_" not in said


@given(st.text(max_size=80))
def test_no_message_is_too_odd(text):
    found = whole(text, BOT)
    assert found is None or isinstance(found, Command)
    assert not isinstance(found, Help) or text.strip()
