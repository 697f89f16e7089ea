"""A deployment with an end: announced, kept, and ended."""

from datetime import timedelta

from tests.builders.events import BEGIN
from tests.builders.story import Timeline
from workers.decision.end_time import NOTICE, ends_at, is_over
from workers.decision.next_step import AnnounceEnd, EndDeployment, Stop, Terminate

HOURS = timedelta(hours=1)
END = BEGIN + 8 * HOURS


def story():
    return Timeline(until=END).served()


def announced():
    told = story()
    return told.wait(seconds=(END - NOTICE - told.now).total_seconds()).announced(END)


def test_the_end_is_announced_a_quarter_of_an_hour_before_and_once():
    told = story()
    told.wait(seconds=(END - NOTICE - told.now).total_seconds() - 1)
    assert not isinstance(told.step, AnnounceEnd | Stop)
    assert told.wait(1).step == AnnounceEnd(END)
    told.announced(END)
    assert not isinstance(told.step, AnnounceEnd | Stop)


def test_it_ends_at_its_time_and_its_machines_with_it():
    told = announced()
    assert not isinstance(told.wait(seconds=NOTICE.total_seconds() - 1).step, Stop)
    assert told.wait(1).step == Stop()
    told.stopped(by="")
    assert isinstance(told.step, Terminate)
    assert told.gone("ended by request").step == EndDeployment()


def test_an_end_that_nobody_announced_in_time_is_announced_first_and_a_quarter_of_an_hour_passes():
    told = story()
    told.wait(seconds=(END + HOURS - told.now).total_seconds())  # no worker ran
    assert told.step == AnnounceEnd(END)
    assert not is_over(told.state, told.now)
    told.announced(END)
    assert ends_at(told.state) == told.now + NOTICE
    assert not isinstance(told.wait(seconds=NOTICE.total_seconds() - 1).step, Stop)
    assert told.wait(1).step == Stop()


def test_a_deployment_that_is_kept_runs_on_and_its_new_end_is_announced_again():
    told = announced().kept_until(END + 4 * HOURS)
    told.wait(hours=1)
    assert not isinstance(told.step, AnnounceEnd | Stop)
    told.wait(seconds=(END + 4 * HOURS - NOTICE - told.now).total_seconds())
    assert told.step == AnnounceEnd(END + 4 * HOURS)


def test_one_that_never_became_ready_ends_as_well():
    told = Timeline(until=END).planned().asked().refused("no capacity").exhausted("No machine is available.")
    told.wait(seconds=(END - told.now).total_seconds())
    assert told.step == AnnounceEnd(END)


def test_without_an_end_it_runs_on():
    told = Timeline().served().wait(hours=24 * 80)
    assert not isinstance(told.step, AnnounceEnd | Stop)


def test_an_announcement_by_a_clock_that_was_30_hours_ahead_does_not_postpone_the_end():
    told = story()
    told.wait(hours=30).announced(END).wait(hours=-30)
    assert not isinstance(told.step, AnnounceEnd | Stop)
    told.wait(seconds=(END - NOTICE - told.now).total_seconds())
    assert told.step == AnnounceEnd(END)
    assert not isinstance(told.announced(END).step, AnnounceEnd | Stop)
    told.wait(seconds=(END - told.now).total_seconds() + 1)
    assert told.step == Stop()
