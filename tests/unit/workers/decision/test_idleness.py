"""When a deployment without requests is announced to end, ends, or is noticed."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.builders.story import Story
from workers.decision.end_time import NOTICE
from workers.decision.idleness import (
    NOTICED_EVERY,
    UNUSED_FOR,
    AnnounceIdleEnd,
    EndIdle,
    NoticeIdle,
    WithdrawIdleEnd,
    idle_step,
    observed,
)
from workers.decision.load import STALE
from workers.deployment.events import Clock
from workers.deployment.idle_times import IdleTime
from workers.deployment.loads import Load, ReplicaLoad

AFTER = timedelta(hours=2)
OFFICE = "mon-fri 09:00-19:00 Europe/Paris"
LOOK = timedelta(seconds=10)


def served(**clocks):
    return Story("fast", **clocks).served()


def load(at, **fields):
    return Load(at=at, **{"qps": 0.0, **fields})


class Day:
    """A deployment that is looked at every ten seconds, as the sweeper does, by a gateway that may be away."""

    def __init__(self, after=AFTER, **clocks):
        self.told = served(stop_after_idle=after, **clocks)
        self.idle = None
        self.last = None
        self.away = False
        self.in_work = 0

    def look(self):
        self.told.wait(LOOK.total_seconds())
        state, now = self.told.state, self.told.now
        seen = None if self.away else load(now, last_request_at=self.last, in_work=self.in_work)
        self.idle = observed(state, seen, self.idle, now)
        match step := idle_step(state, self.idle, now):
            case AnnounceIdleEnd(until, since):
                self.told.announced(until, Clock.IDLE, since)
            case WithdrawIdleEnd(until, why):
                self.told.held(Clock.IDLE, until, why=why)
            case EndIdle():
                self.told.stopped(by="", clock=Clock.IDLE)
        return step

    def until(self, wanted, within=timedelta(hours=24)):
        """Look until this step; the time that it took."""
        begin = self.told.now
        while self.told.now - begin < within:
            if isinstance(self.look(), wanted):
                return self.told.now - begin
        raise AssertionError(wanted)

    def looks(self, length):
        return [step for _ in range(length // LOOK) if (step := self.look())]

    def ask(self):
        self.last = self.told.now


def test_it_is_announced_a_quarter_of_an_hour_ahead_and_ends_after_the_idle_time():
    day = Day()
    assert AFTER - NOTICE <= day.until(AnnounceIdleEnd) <= AFTER - NOTICE + 3 * LOOK
    assert NOTICE - LOOK <= day.until(EndIdle) <= NOTICE + 3 * LOOK
    assert day.told.state.stopped_for is Clock.IDLE


def test_a_request_in_the_notice_withdraws_it_and_the_idle_time_begins_again():
    day = Day()
    day.until(AnnounceIdleEnd)
    day.ask()
    [withdrawn] = day.looks(timedelta(minutes=1))
    assert withdrawn == WithdrawIdleEnd(day.last + AFTER, "a request arrived")
    assert day.told.state.idle_end is None
    assert day.until(EndIdle) >= AFTER - timedelta(minutes=2)


def test_a_request_that_is_answered_for_longer_than_the_idle_time_keeps_it():
    day = Day()
    day.in_work = 1
    assert not day.looks(timedelta(hours=5))


def test_a_gateway_that_is_silent_ends_nothing():
    day = Day()
    day.looks(timedelta(minutes=1))
    day.away = True
    assert not day.looks(timedelta(hours=30))


def test_after_a_restart_of_the_gateway_the_idle_time_counts_from_the_first_look():
    day = Day()
    day.ask()
    day.looks(timedelta(hours=1, minutes=50))
    assert day.told.state.idle_end
    day.last = None
    [withdrawn] = day.looks(timedelta(minutes=5))
    assert withdrawn.why == "a request may have been missed"
    assert day.until(AnnounceIdleEnd) >= AFTER - NOTICE - timedelta(minutes=6)


def test_a_gateway_that_was_silent_and_remembers_no_request_may_have_missed_one():
    day = Day()
    day.looks(timedelta(hours=1))
    day.away = True
    day.looks(timedelta(minutes=2))
    day.away = False
    assert day.until(AnnounceIdleEnd) >= AFTER - NOTICE


def test_a_worker_that_was_away_continues_with_what_the_gateway_remembers():
    day = Day()
    day.ask()
    day.looks(timedelta(hours=1))
    day.told.wait(hours=3)  # no worker looks, and the gateway runs on
    assert isinstance(day.look(), AnnounceIdleEnd)
    assert NOTICE <= day.until(EndIdle) <= NOTICE + 3 * LOOK


def test_a_person_who_keeps_it_keeps_it_for_that_time():
    day = Day()
    day.until(AnnounceIdleEnd)
    day.told.held(Clock.IDLE, day.told.now + timedelta(hours=4), by="U")
    assert not day.looks(timedelta(hours=3, minutes=44))
    assert day.until(EndIdle) <= timedelta(minutes=17)


def test_an_end_that_a_pause_precedes_is_not_announced_and_one_that_was_announced_gives_the_pause_as_its_reason():
    zone, closes = ZoneInfo("Europe/Paris"), datetime(2026, 11, 30, 19, tzinfo=ZoneInfo("Europe/Paris"))
    told = Story("fast", at=datetime(2026, 11, 30, 10, tzinfo=zone), stop_after_idle=AFTER, hours=OFFICE).served()
    told.now = closes - timedelta(minutes=5)
    idle = IdleTime(since=told.now - AFTER, seen=told.now)
    assert idle_step(told.state, idle, told.now) is None
    told.announced(closes + timedelta(minutes=5), Clock.IDLE, idle.since)
    told.now = closes
    told.paused()
    idle = observed(told.state, load(told.now), idle, told.now)
    step = idle_step(told.state, idle, told.now)
    assert isinstance(step, WithdrawIdleEnd)
    assert step.why == "it pauses outside its hours"


def test_a_stream_that_an_older_process_of_haproxy_finishes_is_in_work():
    told = served(stop_after_idle=AFTER)
    begin = told.now
    told.wait(hours=1)
    idle = IdleTime(since=begin, seen=told.now - LOOK)
    streaming = {1: ReplicaLoad(up=True, requests=1)}
    assert observed(told.state, load(told.now, replicas=streaming), idle, told.now).since == told.now


def test_what_starts_is_not_idle():
    told = Story("fast", stop_after_idle=AFTER).planned().asked().created()
    idle = observed(told.state, load(told.now), None, told.now)
    told.wait(hours=3)
    assert observed(told.state, load(told.now), idle, told.now).since == told.now


def test_nothing_is_announced_that_ends_earlier_at_a_set_time():
    day = Day(until=Story("x").now + timedelta(hours=1))
    assert not day.looks(timedelta(hours=3))


def test_a_deployment_without_clocks_is_noticed_once_a_day_while_nobody_asks():
    day = Day(after=None)
    steps = []
    for _ in range(2 * 24 * 360):
        if step := day.look():
            steps.append((day.told.now, step))
            day.told.noticed_idle(step.since)
    assert all(isinstance(step, NoticeIdle) for _, step in steps)
    (first, _), (second, _) = steps
    assert second - first >= NOTICED_EVERY


def test_one_at_zero_replicas_or_with_a_clock_is_not_noticed():
    for told in (served().scaled(0), served(until=Story("x").now + timedelta(days=9)), served(hours="x")):
        idle = IdleTime(since=told.now, seen=told.now)
        told.wait(hours=9)
        assert idle_step(told.state, replace(idle, seen=told.now), told.now) is None


def test_one_that_was_asked_within_three_hours_is_not_noticed():
    told = served()
    begin = told.now
    told.wait(UNUSED_FOR.total_seconds() - 60)
    assert idle_step(told.state, IdleTime(since=begin, seen=told.now), told.now) is None
    told.wait(60)
    assert idle_step(told.state, IdleTime(since=begin, seen=told.now), told.now) == NoticeIdle(begin)


HAPPENINGS = st.lists(st.sampled_from(["look", "ask", "restart", "away", "back", "work", "rest", "keep"]), max_size=60)


@settings(deadline=None)  # it replays a log for each look
@example(["look", "away", "work", "rest", "back", *["look"] * 9], 30)
@example(["look", "work", "away", "rest", "back", *["look"] * 9], 30)
@given(HAPPENINGS, st.integers(min_value=1, max_value=40))
def test_it_never_ends_within_the_idle_time_of_a_request_or_without_a_whole_notice(happenings, step):
    """Whatever the gateway does: a request, one in work, and an unknown load are never followed by an early end."""
    day, length = Day(after=timedelta(minutes=30)), step * LOOK
    asked = [day.told.now]
    for happening in happenings:
        match happening:
            case "ask":
                day.ask()
                asked.append(day.last)
            case "restart":
                day.last = None
            case "away" | "back":
                day.away = happening == "away"
            case "work":
                day.in_work = 1
                day.ask()  # what is in work has arrived
            case "rest":
                day.in_work = 0
            case "keep" if day.told.state.idle_end:
                day.told.held(Clock.IDLE, day.told.now + timedelta(hours=1), by="U")
                asked.append(day.told.now + timedelta(minutes=30))
        if day.in_work:
            asked.append(day.told.now)
        for _ in range(length // LOOK):
            before = day.told.state.idle_end
            ended = isinstance(day.look(), EndIdle)
            if day.in_work:
                asked.append(day.told.now)
            if ended:
                assert day.told.now - max(asked) >= timedelta(minutes=30)
                assert day.told.now - before.at >= NOTICE
                assert not day.away
                assert day.in_work == 0
                return


def test_an_old_observation_decides_nothing():
    told = served(stop_after_idle=AFTER)
    idle = IdleTime(since=told.now, seen=told.now)
    told.wait(hours=5)
    assert idle_step(told.state, idle, told.now) is None
    late = replace(idle, seen=told.now - STALE - timedelta(seconds=1))
    assert idle_step(told.state, late, told.now) is None


def test_it_ends_only_after_a_look_that_is_later_than_the_notice():
    """Else a request between the last look and the end of the notice would be passed over."""
    told = served(stop_after_idle=AFTER)
    begin, until = told.now, told.now + AFTER
    told.wait((AFTER - NOTICE).total_seconds()).announced(until, Clock.IDLE, begin).wait(NOTICE.total_seconds())
    seen = IdleTime(since=begin, seen=until - timedelta(seconds=1))
    assert idle_step(told.state, seen, told.now) is None
    assert idle_step(told.state, replace(seen, seen=told.now), told.now) == EndIdle()


def test_an_old_load_is_no_observation():
    told = served(stop_after_idle=AFTER)
    idle = IdleTime(since=told.now, seen=told.now)
    told.wait(hours=1)
    assert observed(told.state, load(told.now - timedelta(minutes=1)), idle, told.now) is idle


def test_an_end_that_was_announced_by_a_clock_that_was_30_hours_ahead_is_not_postponed_by_that():
    day = Day()
    day.ask()
    day.looks(timedelta(hours=1))
    day.told.wait(hours=30)
    day.until(AnnounceIdleEnd, within=timedelta(minutes=1))
    day.told.wait(hours=-30)
    day.until(EndIdle, within=AFTER)


def test_a_request_by_a_clock_that_was_30_hours_ahead_does_not_postpone_the_end():
    day = Day()
    day.looks(timedelta(hours=1))
    day.told.wait(hours=30)
    day.ask()
    day.looks(timedelta(minutes=1))
    day.told.wait(hours=-30)
    day.until(EndIdle, within=AFTER + NOTICE)
