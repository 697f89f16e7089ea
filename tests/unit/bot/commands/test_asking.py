"""What a person may ask of the launcher, who is asked, and what is done: once, and only by who may."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from bot.commands import asking
from bot.commands.context import Caller
from bot.commands.errors import CommandError
from bot.commands.lookup import check
from bot.commands.policy import Permission
from bot.language.direct_request import APPROVED_WITHIN, Deed, DeedStage, WantedDeed
from bot.slack.facts import ChannelFacts, PersonFacts
from tests.fakes.office import Office
from workers.deployment.events import KeepTryingRequested, KeyIssued, ScaleRequested, StopRequested
from workers.deployment.log import Log

LAUNCHER, ASKER, OTHER, ADMIN = "U1", "U2", "U3", "UADMIN"


@pytest.fixture
def office(redis):
    it = Office(redis)
    it.running.put("fast", "http://127.0.0.1:1")
    return it


def caller(user, once="1.2", channel="C0HERE", **more):
    return Caller(team="T1", channel=channel, user=user, once=once, **more)


def asks(office, deed=Deed.SCALE, replicas=3, user=ASKER, **more):
    """The request, once it is stored."""
    state = office.requests.get("fast")
    wanted = WantedDeed(deed=deed, deployment=state.id, replicas=replicas if deed is Deed.SCALE else None)
    before = {request.id for request in office.context.direct_requests.all()}
    asking.ask(wanted, state, caller(user, **more), office.context)
    return next((r for r in office.context.direct_requests.all() if r.id not in before), None)


def answers(office, request, user=LAUNCHER, *, grants=True, once="1.3"):
    asking.answer(request.id, caller(user, once), office.context, grants=grants)


def events(office, redis, *kinds):
    return [event for event in Log(redis).read(office.ids["fast"]) if isinstance(event, kinds)]


@pytest.fixture(autouse=True)
def _ids(office):
    office.ids = {"fast": office.requests.get("fast").id}


def test_a_refusal_that_has_a_person_to_ask_carries_what_to_ask_for(office):
    state = office.requests.get("fast")
    with pytest.raises(CommandError) as refused:
        check(Permission.SCALE, state, caller(ASKER), office.context, replicas=3)
    assert refused.value.ask == WantedDeed(deed=Deed.SCALE, deployment=state.id, replicas=3)
    with pytest.raises(CommandError) as refused:
        check(Permission.REVOKE_KEY, state, caller(ASKER), office.context)
    assert refused.value.ask is None


@pytest.mark.parametrize(
    ("deed", "kind"),
    [
        (Deed.SCALE, ScaleRequested),
        (Deed.END, StopRequested),
        (Deed.KEEP_TRYING, KeepTryingRequested),
    ],
)
def test_what_the_launcher_grants_is_done_once_however_often_it_is_carried_out(office, redis, deed, kind):
    request = asks(office, deed)
    assert (request.to, request.asker) == (LAUNCHER, ASKER)
    answers(office, request)
    granted = office.context.direct_requests.get(request.id)
    assert (granted.stage, granted.decided_by, granted.done) == (DeedStage.GRANTED, LAUNCHER, True)
    for _ in range(2):  # as after a crash between the deed and its record
        asking.carry_out(replace(granted, done=False), office.context)
    [done] = events(office, redis, kind)
    assert done.by == LAUNCHER


def test_a_later_change_by_another_is_not_undone_by_a_repetition(office, redis):
    request = asks(office)
    answers(office, request)
    office.requests.scale(request.deployment, 1, by=LAUNCHER)
    asking.carry_out(replace(office.context.direct_requests.get(request.id), done=False), office.context)
    assert office.requests.get("fast").wanted == 1
    assert len(events(office, redis, ScaleRequested)) == 2


def test_of_many_presses_at_once_one_decides(office, redis):
    request = asks(office)

    def press(at):
        try:
            answers(office, request, user=(LAUNCHER, ADMIN)[at % 2], grants=at % 3 > 0, once=f"press {at}")
        except CommandError as refused:
            return refused.sentence
        return "decided"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(press, range(8)))
    assert sorted(said) == [asking.ANSWERED] * 7 + ["decided"]
    stage = office.context.direct_requests.get(request.id).stage
    assert len(events(office, redis, ScaleRequested)) == (stage is DeedStage.GRANTED)


def test_a_press_that_was_checked_before_another_one_decided_changes_nothing(office, redis):
    request, times = asks(office), []

    def now():
        times.append(datetime.now(UTC))
        if len(times) == 2:  # after the first check, before the decision is stored
            answers(office, request, ADMIN, grants=False)
        return times[-1]

    with pytest.raises(CommandError, match="answered already"):
        asking.answer(request.id, caller(LAUNCHER), replace(office.context, now=now), grants=True)
    assert len(times) == 2
    assert events(office, redis, ScaleRequested) == []


@pytest.mark.parametrize("grants", [True, False])
def test_only_who_may_do_it_answers(office, redis, grants):
    request = asks(office)
    for user in (ASKER, OTHER):
        with pytest.raises(CommandError, match="only they or an admin"):
            answers(office, request, user, grants=grants)
    office.directory.channels["C0HERE"] = ChannelFacts()
    with pytest.raises(CommandError, match="answered already"):
        asking.answer(request.id, caller(OTHER, channel="C0ELSE"), office.context, grants=grants)
    assert office.context.direct_requests.get(request.id) == request
    answers(office, request, ADMIN, grants=grants)
    assert len(events(office, redis, ScaleRequested)) == grants


def test_a_declined_request_changes_nothing(office, redis):
    answers(office, asks(office), grants=False)
    assert events(office, redis, ScaleRequested) == []


def test_after_a_day_nothing_can_be_granted(office, redis):
    request = asks(office)
    late = replace(office.context, now=lambda: datetime.now(UTC) + APPROVED_WITHIN)
    with pytest.raises(CommandError, match="expired"):
        asking.answer(request.id, caller(LAUNCHER), late, grants=True)
    assert events(office, redis, ScaleRequested) == []


def test_what_has_ended_meanwhile_is_not_changed_and_the_request_is_void(office, redis):
    request = asks(office)
    office.requests.stop(office.ids["fast"], by=LAUNCHER)
    with pytest.raises(CommandError, match="has ended"):
        answers(office, request)
    assert office.context.direct_requests.get(request.id).stage is DeedStage.VOID
    assert events(office, redis, ScaleRequested) == []


def test_an_end_between_the_grant_and_the_deed_makes_it_void(office):
    request = asks(office)
    granted = office.context.direct_requests.change(
        request.id, lambda r: replace(r, stage=DeedStage.GRANTED, decided_by=LAUNCHER)
    )
    office.requests.stop(office.ids["fast"], by=LAUNCHER)
    asking.carry_out(granted, office.context)
    assert office.context.direct_requests.get(request.id).stage is DeedStage.VOID


def test_the_same_is_not_asked_twice_and_another_person_may_ask_too(office):
    first = asks(office)
    assert asks(office, replicas=4) is None
    assert asks(office, user=OTHER).asker == OTHER
    assert asks(office, Deed.END) is not None
    office.context.direct_requests.remove(first, again=False)
    assert asks(office) is None
    office.context.direct_requests.remove(first, again=True)
    assert asks(office) is not None


def test_if_the_account_of_the_launcher_is_closed_an_admin_is_asked_and_without_one_nobody(office):
    office.directory.people[LAUNCHER] = PersonFacts(is_deleted=True)
    assert asks(office).to == ADMIN
    office.directory.people[ADMIN] = PersonFacts(is_deleted=True)
    with pytest.raises(CommandError, match="Nobody was asked"):
        asks(office, user=OTHER)


def test_who_may_do_it_is_told_to_and_pings_nobody(office):
    for user in (LAUNCHER, ADMIN):
        with pytest.raises(CommandError, match="You may scale it yourself"):
            asks(office, user=user)
    assert office.context.direct_requests.all() == []


@pytest.mark.parametrize("outside", [True, False])
def test_guests_and_people_of_other_companies_ask_only_whom_they_share_the_channel_with(office, outside):
    if not outside:
        office.directory.people[ASKER] = PersonFacts(is_guest=True)
    state = office.requests.get("fast")
    for members in (None, frozenset({ASKER}), frozenset({LAUNCHER})):
        office.directory.joined["C0HERE"] = members
        with pytest.raises(CommandError, match="Nobody was asked"):
            asks(office, outside=outside)
        with pytest.raises(CommandError) as refused:
            check(Permission.END, state, caller(ASKER, outside=outside), office.context)
        assert refused.value.ask is None
    office.directory.joined["C0HERE"] = frozenset({ASKER, LAUNCHER})
    assert asks(office, outside=outside).to == LAUNCHER


def test_a_number_that_the_recipe_does_not_allow_is_refused_before_anybody_is_asked(office):
    with pytest.raises(CommandError, match="allows at most"):
        asks(office, replicas=100)
    assert office.context.direct_requests.all() == []


def offered(office):
    office.says(f"key fast new <@{ASKER}>")
    [offer] = office.context.direct_requests.all()
    return offer


def takes(office, offer, user=ASKER, once="1.4", context=None):
    return asking.take_key(offer.id, caller(user, once), context or office.context)


def test_a_key_is_revealed_once_and_only_to_its_owner(office, redis):
    offer = offered(office)
    for user in (LAUNCHER, ADMIN, OTHER):
        with pytest.raises(CommandError, match="for another person"):
            takes(office, offer, user)
    taken, _, key = takes(office, offer)
    assert key in office.requests._log.secrets(offer.deployment).people.values()
    asking.shown(taken, office.context)
    with pytest.raises(CommandError, match="shown already"):
        takes(office, offer, once="1.5")
    assert "An earlier offer of a key was taken just now" in office.says(f"key fast new <@{ASKER}>")
    [issued] = events(office, redis, KeyIssued)
    assert (issued.user, issued.by) == (ASKER, LAUNCHER)


def test_of_many_presses_of_the_owner_at_once_one_shows_a_key(office, redis):
    offer = offered(office)

    def press(at):
        try:
            return takes(office, offer, once=f"press {at}")[2]
        except CommandError:
            return None

    with ThreadPoolExecutor(8) as pool:
        shown = [key for key in pool.map(press, range(8)) if key]
    assert len(shown) == len(events(office, redis, KeyIssued)) == 1


def test_a_key_whose_display_is_not_certain_is_revoked_and_the_button_shows_another(office):
    offer = offered(office)
    lost, _, key = takes(office, offer)
    asking.not_shown(lost, office.context)
    assert key not in office.requests._log.secrets(offer.deployment).opening
    again, _, other = takes(office, offer, once="1.5")
    asking.not_shown(lost, office.context)  # what was left of the first press
    assert other in office.requests._log.secrets(offer.deployment).opening
    assert again.interrupted
    asking.shown(again, office.context)
    asking.not_shown(again, office.context)


def test_an_offer_is_void_if_its_maker_may_no_longer_make_keys_or_the_deployment_has_ended(office, redis):
    office.says(f"key fast new <@{ASKER}>", user=ADMIN)
    [offer] = office.context.direct_requests.all()
    with pytest.raises(CommandError, match="may no longer make a key"):
        takes(office, offer, context=replace(office.context, admins=frozenset()))
    ended = asks(office, Deed.MAKE_KEY, user=OTHER)
    answers(office, ended)
    office.requests.stop(office.ids["fast"], by=LAUNCHER)
    with pytest.raises(CommandError, match="has ended: no key was made"):
        asking.take_key(f"{ended.id}-key", caller(OTHER), office.context)
    assert events(office, redis, KeyIssued) == []


def test_a_granted_key_is_offered_in_the_same_step_and_no_key_exists_yet(office, redis):
    request = asks(office, Deed.MAKE_KEY)
    answers(office, request)
    [granted, offer] = office.context.direct_requests.all()
    assert (granted.stage, granted.done) == (DeedStage.GRANTED, True)
    assert (offer.deed, offer.to, offer.asker) == (Deed.TAKE_KEY, ASKER, LAUNCHER)
    assert events(office, redis, KeyIssued) == []


def test_an_offer_expires(office):
    offer = offered(office)
    later = replace(office.context, now=lambda: datetime.now(UTC) + timedelta(days=8))
    with pytest.raises(CommandError, match="expired"):
        takes(office, offer, context=later)


def test_a_record_that_a_newer_version_wrote_is_left_alone(office, redis):
    offer = offered(office)
    redis.hset("mixtral:direct", "newer", b'{"deed": "dance"}')
    assert office.context.direct_requests.all() == [offer]
    with pytest.raises(CommandError, match="answered already"):
        asking.answer("newer", caller(LAUNCHER), office.context, grants=True)
    assert redis.hexists("mixtral:direct", "newer")


def test_a_forged_request_offers_no_key(office):
    with pytest.raises(CommandError, match="no request was sent"):
        asks(office, Deed.TAKE_KEY)
    assert office.context.direct_requests.all() == []
