"""Co-owners: who names them, what they may, and who acts where none of them is active any more."""

import pytest

from bot.slack.facts import PersonFacts
from tests.fakes.office import Office


@pytest.fixture
def office(redis):
    office = Office(redis)
    office.running.put("fast", "http://127.0.0.1:1", user="U1")
    return office


def test_a_co_owner_may_what_the_launcher_may_until_they_are_removed(office):
    assert "only they or an admin" in office.says("scale fast 2", user="U2")
    assert "<@U2> is a co-owner of *fast* now" in office.says("share fast <@U2|ada>")
    assert "from 1 replica to 2" in office.says("scale fast 2", user="U2")
    assert "Named co-owners: <@U2>" in office.says("share fast", user="U5")
    assert "<@U2> is a co-owner of *fast* already" in office.says("share fast <@U2|ada>")
    assert "<@U3> is a co-owner" in office.says("share fast <@U3|eve>", user="U2")
    assert "no longer a co-owner" in office.says("unshare fast <@U2|ada>", user="U2"), "people may remove themselves"
    assert "only they, <@U3> or an admin" in office.says("scale fast 1", user="U2")


@pytest.mark.parametrize(
    ("person", "said"),
    [
        (PersonFacts(is_deleted=True), "is closed: nothing was changed"),
        (PersonFacts(is_guest=True), "guests cannot be co-owners"),
        (None, "Slack does not return the profile of this person"),
    ],
)
def test_accounts_that_cannot_be_co_owners_are_refused(office, person, said):
    office.directory.people["U2"] = person
    assert said in office.says("share fast <@U2|ada>")
    assert office.requests.get("fast").co_owners == ()


def test_the_launcher_stays_a_co_owner(office):
    assert "<@U1> launched it, so they stay" in office.says("unshare fast <@U1|robin>")
    assert "is no co-owner" in office.says("unshare fast <@U7|x>")


def test_admins_of_the_workspace_act_only_where_no_co_owner_has_an_active_account(office):
    office.says("share fast <@U2|ada>")
    people = office.directory.people
    people["U8"] = PersonFacts(is_admin=True)
    gone = PersonFacts(is_deleted=True)
    for user in ("U1", "UADMIN"):
        people[user] = gone
        assert "only they" in office.says("scale fast 2", user="U8"), "a co-owner is active"
    people["U2"] = None
    assert "only they" in office.says("scale fast 2", user="U8"), "Slack does not say whether the last one is"
    people["U2"] = gone
    assert "an admin of the workspace may" in office.says("scale fast 2", user="U9")
    assert "from 1 replica to 2" in office.says("scale fast 2", user="U8")
