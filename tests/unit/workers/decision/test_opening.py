"""A deployment with hours pauses outside them, is announced before, and is restored at the opening."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from recipes.hours import hours_of, is_open
from recipes.schema import ReplicaPolicy, Service
from tests.builders.recipes import SCRIPTED
from tests.builders.story import Story
from workers.decision.end_time import NOTICE
from workers.decision.next_step import LaunchReplica, PlanLadder
from workers.decision.opening import AnnouncePause, Pause, Resume, hours_step, opening, opens_at, pauses_at
from workers.deployment.condition import ScaledToZero, condition_of, is_asleep
from workers.deployment.events import Clock
from workers.gateway.outlook import outlook

TEXT = "mon-fri 09:00-19:00 Europe/Paris"
HOURS = hours_of(TEXT)


def paris(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Paris"))


MONDAY = paris("2026-11-30T10:00")
CLOSES = paris("2026-11-30T19:00")
OPENS = paris("2026-12-01T09:00")


def served(at=MONDAY, replicas=1, **fields):
    return Story("fast", at=at, hours=TEXT, replicas=replicas, **fields).served()


def step(told, at):
    return hours_step(told.state, at)


def followed(told, at):
    """Do at this time what the hours require; the step."""
    told.now = at - told.tick
    match found := step(told, at):
        case AnnouncePause(until):
            told.announced(until, Clock.HOURS)
        case Pause():
            told.paused()
        case Resume(replicas):
            told.resumed(replicas)
    return found


def test_it_is_announced_a_quarter_of_an_hour_ahead_pauses_and_is_restored_at_the_opening():
    told = served(replicas=3)
    assert step(told, CLOSES - NOTICE - timedelta(seconds=1)) is None
    assert followed(told, CLOSES - NOTICE) == AnnouncePause(CLOSES)
    assert step(told, CLOSES - timedelta(seconds=1)) is None
    assert isinstance(followed(told, CLOSES), Pause)
    assert (told.state.wanted, told.state.paused) == (0, 3)
    assert step(told, OPENS - timedelta(seconds=1)) is None
    assert followed(told, OPENS) == Resume(3, "its hours begin")
    assert (told.state.wanted, told.state.paused) == (3, None)
    assert step(told, OPENS) is None


def test_an_announcement_that_came_late_gives_a_quarter_of_an_hour_all_the_same():
    told, late = served(), CLOSES + timedelta(hours=1)
    assert followed(told, late) == AnnouncePause(late + NOTICE)
    assert step(told, late + NOTICE - timedelta(seconds=1)) is None
    assert isinstance(followed(told, late + NOTICE), Pause)


def test_an_announcement_of_another_day_pauses_nothing():
    told = served()
    followed(told, CLOSES - NOTICE)  # and then no worker runs until the next day
    assert step(told, OPENS + timedelta(hours=1)) is None
    next_close = CLOSES + timedelta(days=1)
    assert followed(told, next_close) == AnnouncePause(next_close + NOTICE)


def test_who_keeps_it_keeps_it_for_four_hours_and_hears_of_the_next_pause():
    told = served()
    followed(told, CLOSES - NOTICE)
    until = CLOSES + timedelta(hours=4)
    told.held(Clock.HOURS, until, by="U")
    assert step(told, until - NOTICE - timedelta(seconds=1)) is None
    assert followed(told, until - NOTICE) == AnnouncePause(until)
    assert isinstance(followed(told, until), Pause)


def test_who_scales_it_up_in_a_pause_gets_replicas_for_four_hours_and_they_are_restored_later():
    told = served()
    followed(told, CLOSES - NOTICE)
    followed(told, CLOSES)
    told.wait(hours=1).scaled(2)
    until = told.now + timedelta(hours=4)
    assert (told.state.wanted, pauses_at(told.state, told.now)) == (2, until)
    assert followed(told, until - NOTICE) == AnnouncePause(until)
    followed(told, until)
    assert followed(told, OPENS) == Resume(2, "its hours begin")


def test_who_starts_one_outside_its_hours_that_a_person_had_scaled_to_zero_gets_replicas_for_four_hours():
    night = CLOSES + timedelta(hours=1)
    for told in (served().scaled(0), Story("fast", at=night, hours=TEXT).paused().scaled(0)):
        told.now = night
        told.scaled(1)
        until = told.now + timedelta(hours=4)
        assert pauses_at(told.state, told.now) == until
        assert step(told, until - NOTICE - timedelta(seconds=1)) is None
        assert told.scaled(0).state.hours_held.until == until  # fewer replicas do not keep it longer


def test_who_adds_replicas_after_an_announcement_outside_the_hours_hears_of_the_next_pause_and_shortens_no_keep():
    told = served()
    followed(told, CLOSES - NOTICE)
    kept = CLOSES + timedelta(hours=4)
    told.held(Clock.HOURS, kept, by="U")
    followed(told, kept - NOTICE)
    told.wait(minutes=5).scaled(2)
    until = told.now + timedelta(hours=4)
    assert step(told, until - NOTICE - timedelta(seconds=1)) is None
    assert followed(told, until - NOTICE) == AnnouncePause(until)
    told.held(Clock.HOURS, until + timedelta(hours=4), by="U")
    assert told.scaled(3).state.hours_held.until == until + timedelta(hours=4)


def test_hours_of_an_unknown_time_zone_do_not_stop_a_fold():
    assert Story("fast", hours="moonrise Mars/Olympus").served().scaled(0).scaled(2).state.hours_held is None


def test_one_that_a_person_scaled_to_zero_stays_there():
    told = served().scaled(0)
    assert step(told, CLOSES + timedelta(hours=1)) is None
    assert step(told, OPENS) is None
    told = served()
    followed(told, CLOSES - NOTICE)
    followed(told, CLOSES)
    told.scaled(0)
    assert step(told, OPENS) is None
    assert told.state.wanted == 0


def test_a_launch_outside_the_hours_rents_nothing_before_they_begin():
    told = Story("fast", at=CLOSES + timedelta(hours=1), hours=TEXT)
    assert isinstance(told.step, Pause)
    told.paused()
    assert not isinstance(told.step, PlanLadder | LaunchReplica)
    assert opens_at(told.state) == OPENS
    assert followed(told, OPENS) == Resume(1, "its hours begin")


def test_a_request_in_a_pause_neither_wakes_it_nor_waits():
    told = served(recipe=replace(SCRIPTED, service=Service(replica_policy=ReplicaPolicy(min_replicas=0))))
    followed(told, CLOSES - NOTICE)
    followed(told, CLOSES)
    told.given_up().gone("scaled down")
    condition = condition_of(told.state)
    assert isinstance(condition, ScaledToZero)
    assert not condition.wakes
    assert not is_asleep(told.state)
    told_so = outlook(told.state, serving=False)
    assert not told_so.coming
    assert "It opens Tue 2026-12-01 09:00 Europe/Paris" in told_so.sentence
    assert opening(told.state) == "Tue 2026-12-01 09:00 Europe/Paris"


def test_hours_that_this_version_cannot_read_pause_nothing():
    told = Story("fast", at=MONDAY, hours="moonrise Mars/Olympus").served()
    assert step(told, CLOSES + timedelta(hours=9)) is None


WAITS = st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=80)


@settings(deadline=None)  # it replays a log for each look
@given(WAITS, st.integers(0, 13))
def test_it_never_pauses_in_its_hours_or_without_a_whole_notice(waits, day):
    """However rarely a worker looks: also across both changes of the clocks."""
    begin = paris("2027-03-22T10:00" if day % 2 else "2026-10-19T10:00") + timedelta(days=day)
    told = served(at=begin)
    at = told.now
    for wait in waits:
        at += timedelta(minutes=wait * 15)
        notice = told.state.pause_announced
        match followed(told, at):
            case Pause():
                assert not is_open(HOURS, at)
                assert notice is not None
                assert at >= notice.at + NOTICE
            case Resume(replicas):
                assert is_open(HOURS, at)
                assert replicas == 1


def test_an_announcement_by_a_clock_that_was_30_hours_ahead_does_not_prevent_the_pause_of_today():
    told = served()
    told.now += timedelta(hours=33)  # the next evening
    told.announced(CLOSES + timedelta(days=1), Clock.HOURS)
    told.now -= timedelta(hours=33)
    assert step(told, CLOSES - NOTICE - timedelta(seconds=1)) is None
    assert pauses_at(told.state, CLOSES - NOTICE) == CLOSES
    assert followed(told, CLOSES - NOTICE) == AnnouncePause(CLOSES)
    assert isinstance(followed(told, CLOSES), Pause)
