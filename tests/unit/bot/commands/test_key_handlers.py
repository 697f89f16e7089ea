"""Who gets a key, who is shown it, and who ends it."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from bot.commands import asking
from bot.commands.context import Caller
from bot.language.direct_request import Deed
from bot.slack.facts import PersonFacts
from tests.fakes.office import Office
from workers.api import TooManyKeys
from workers.deployment.events import FIRST_KEY
from workers.deployment.key_uses import KeyUses
from workers.deployment.keys import MAX_KEYS

KEY = "mxk_"


@pytest.fixture
def office(redis):
    it = Office(redis)
    it.running.put("fast", "http://127.0.0.1:1")
    return it


def take(office, offer, user):
    """The key that a person is shown who presses the button."""
    caller = Caller(team="T1", channel="D1", user=user, once="1.2.press")
    request, _, key = asking.take_key(offer.id, caller, office.context)
    asking.shown(request, office.context)
    office.context.direct_requests.remove(request, again=True)
    return key


def give(office, user):
    """A key of the person."""
    office.says(f"key fast new <@{user}>")
    [offer] = [one for one in office.context.direct_requests.all() if one.to == user]
    return take(office, offer, user)


def keys(office):
    return {key.user: key.id for key in office.requests.get("fast").keys if key.id != "first"}


def test_the_launcher_makes_a_key_of_their_own_and_sees_it_once(office):
    said = office.says("key fast new")
    assert KEY in said
    assert "http://127.0.0.1:1/v1" in said
    assert "curl" in said
    assert "not shown again" in said
    assert office.context.direct_requests.all() == []
    assert KEY not in office.says("key fast list")
    assert office.requests.key(office.requests.get("fast").id) not in said


def test_a_key_for_somebody_else_is_offered_to_them_and_does_not_exist_before_they_take_it(office):
    said = office.says("key fast new <@U2|ada>", user="UADMIN")
    assert "<@U2> gets a direct message from the bot with a button that shows them their key to *fast*, once." in said
    assert KEY not in said
    [offer] = office.context.direct_requests.all()
    assert (offer.deed, offer.to, offer.asker) == (Deed.TAKE_KEY, "U2", "UADMIN")
    assert keys(office) == {}
    assert take(office, offer, "U2").startswith(KEY)
    assert set(keys(office)) == {"U2"}


def test_a_key_that_waits_to_be_taken_is_not_offered_a_second_time(office):
    office.says("key fast new <@U2>")
    office.says("key fast new <@U2>")
    assert len(office.context.direct_requests.all()) == 1


def test_a_key_for_an_account_that_is_closed_is_refused(office):
    office.directory.people["U2"] = PersonFacts(is_deleted=True)
    assert "The account of <@U2> is closed" in office.says("key fast new <@U2>")
    assert office.context.direct_requests.all() == []


def test_who_did_not_launch_it_makes_no_key(office):
    said = office.says("key fast new", user="U2")
    assert "<@U1> launched *fast*: only they or an admin (<@UADMIN>) may make a key to it" in said
    assert keys(office) == {}


def test_everybody_sees_whose_keys_there_are_and_no_key(office):
    give(office, "U2")
    said = office.says("key fast", user="U9")
    assert "*fast* has 2 keys" in said
    assert "`first` · <@U1> · since" in said
    assert f"`{keys(office)['U2']}` · <@U2> · since" in said
    assert KEY not in said
    assert said == office.says("key", user="U9")


def test_a_person_revokes_their_own_key_and_nobody_elses(office):
    give(office, "U2")
    give(office, "U3")
    mine, theirs = keys(office)["U2"], keys(office)["U3"]
    assert "may revoke a key that is not theirs" in office.says(f"key fast revoke {theirs}", user="U2")
    assert f"The key `{mine}` of <@U2> to *fast* is revoked. 2 keys are left." in office.says(
        f"key fast revoke {mine}", user="U2"
    )
    assert keys(office) == {"U3": theirs}
    assert "to *fast* is revoked" in office.says(f"key fast revoke {theirs}")


def test_an_unknown_or_revoked_id_is_answered_with_those_that_there_are(office):
    said = office.says("key fast revoke k-000000", user="U2")
    assert "no key `k-000000`; it may have been revoked. Its keys are `first` (<@U1>)." in said
    office.says("key fast revoke first")
    said = office.says("key fast revoke first")
    assert "It has no keys" in said
    assert "/mixtral key fast new" in said


def test_who_was_given_a_key_is_shown_how_to_use_it_and_nobody_else_s(office):
    give(office, "U2")
    said = office.says("endpoint fast", user="U2")
    assert "http://127.0.0.1:1/v1" in said
    assert f"You have a key to it: `{keys(office)['U2']}`" in said
    assert "$MIXTRAL_KEY" in said
    assert KEY not in said
    assert "only they" in office.says("endpoint fast", user="U3")


def test_once_the_first_key_is_revoked_the_endpoint_says_how_to_make_another(office):
    assert "`/mixtral key fast new` makes another" in office.says("key fast revoke first")
    said = office.says("endpoint fast")
    assert "Its first key was revoked: `/mixtral key fast new` makes another" in said
    assert "http://127.0.0.1:1/v1" in said
    assert KEY not in said
    assert "*fast* has no keys" in office.says("key fast")


def test_a_key_to_what_has_no_endpoint_or_ends_is_refused(office):
    office.running.start("slow")
    assert "has no endpoint yet" in office.says("key slow new")
    office.requests.stop(office.requests.get("fast").id, by="U1")
    assert "its keys no longer work" in office.says("key fast new")
    assert "its keys no longer work" in office.says("key fast revoke first")


def test_an_unknown_name_is_answered_with_the_nearest(office):
    assert "/mixtral key fast" in office.says("key fats new")


def test_no_key_reaches_the_log_or_an_event(office, redis, caplog):
    caplog.set_level(logging.DEBUG)
    said = office.says("key fast new")
    key = next(word for word in said.replace("`", " ").split() if word.startswith(KEY))
    other = give(office, "U2")
    assert KEY not in caplog.text
    state = office.requests.get("fast")
    written = b"".join(fields[b"e"] for _, fields in redis.xrange(f"mixtral:d:{state.id}"))
    assert key.encode() not in written
    assert other.encode() not in written + b"".join(redis.hgetall("mixtral:direct").values())


def test_the_list_advises_only_what_its_reader_may_do(office):
    """Whoever was refused a new key is not told to make one."""
    assert "may make a key to it" in office.says("key fast new", user="U2")
    for _ in range(2):
        said = office.says("key fast list", user="U2")
        assert "`/mixtral key fast new`" not in said
        assert "revoke ID" not in said
        assert "For a key of your own, ask <@U1> to type `/mixtral key fast new @YOU`." in said
        office.says("key fast revoke first")
    unknown = office.says("key fast revoke k-9", user="U2")
    assert "It has no keys." in unknown
    assert "key fast new" not in unknown
    assert "`/mixtral key fast new`" in office.says("key fast list")
    give(office, "U2")
    assert "`/mixtral key fast revoke ID` revokes your own" in office.says("key fast list", user="U2")


def test_the_list_shows_when_each_key_was_last_used_to_the_launcher_and_to_its_owner(office, redis):
    give(office, "U2")
    state = office.requests.get("fast")
    own = keys(office)["U2"]
    used = datetime.now(UTC) - timedelta(days=1)
    KeyUses(redis).write(state.id, {own: used, FIRST_KEY: used})
    assert office.says("key fast list").count("last used") == 2
    theirs = office.says("key fast list", user="U2").splitlines()
    assert [line.split(" · ")[0] for line in theirs if "last used" in line] == [f"`{own}`"]


def test_a_deployment_has_no_more_keys_than_the_maximum_and_who_wants_another_learns_how(office):
    office.says("key fast new <@U2>")
    [offer] = office.context.direct_requests.all()
    state = office.requests.get("fast")
    while len(office.requests.get("fast").keys) < MAX_KEYS:
        last, _ = office.requests.issue_key(state.id, user="U1", by="U1")
    for said in (office.says("key fast new"), office.says("key fast new <@U3>")):
        assert f"fast has {MAX_KEYS} keys, which is the maximum" in said
        assert "`/mixtral key fast revoke ID`" in said
    with pytest.raises(TooManyKeys):
        take(office, offer, "U2")
    assert len(office.requests.get("fast").keys) == MAX_KEYS
    office.says(f"key fast revoke {last}")
    assert KEY in take(office, offer, "U2")
    assert [one.to for one in office.context.direct_requests.all()] == []
