"""Of 200 cards whose costs change, and of others: changes come first, elapsed times use a part of the budget."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cards.schedule import Schedule
from bot.cards.ticks import SHARE, spacing, stretch
from workers.deployment.events import DeploymentId, Version

PER_MINUTE = 40
MONEY = timedelta(minutes=5)
LAUNCH = timedelta(seconds=5)


class Wall:
    """Cards on a schedule, in virtual time. `every` is by card; None for one that does not change by itself."""

    def __init__(self, every):
        self.schedule, self.every, self.now = Schedule(PER_MINUTE), every, 1000.0
        self.refreshed = {id_: [] for id_ in every}
        for id_ in every:
            self.schedule.changed(id_)

    def step(self):
        """Show what is due, and return it."""
        due = self.schedule.due(self.now)
        for id_ in due:
            if not self.schedule[id_].changed:
                self.refreshed[id_].append(self.now)
            self.schedule.shown(id_, Version(1), self.every[id_], self.now)
        return due

    def run(self, minutes):
        until = self.now + minutes * 60
        while self.now < until:
            self.step()
            self.now += 1
        return [at for each in self.refreshed.values() for at in each]


def wall(ready, launching=0):
    ids = [DeploymentId(f"d{n:012}") for n in range(ready + launching)]
    return Wall({id_: LAUNCH if n < launching else MONEY for n, id_ in enumerate(ids)})


def test_200_ready_cards_use_their_share_of_each_minute_and_each_is_refreshed():
    cards = wall(200)
    refreshed = cards.run(minutes=60)
    most = max(sum(at <= each < at + 60 for each in refreshed) for at in refreshed)
    assert most <= PER_MINUTE * SHARE + 1
    assert len(refreshed) >= 40 * PER_MINUTE * SHARE  # the share is used
    assert min(len(times) for times in cards.refreshed.values()) >= 2


def test_a_launch_among_200_ready_cards_is_refreshed_more_often_and_delays_none_for_ever():
    cards = wall(200, launching=1)
    cards.run(minutes=80)
    launch, *ready = cards.refreshed.values()
    assert 100 < len(launch) < 400
    assert min(len(times) for times in ready) >= 2


@pytest.mark.parametrize(("every", "minutes", "times"), [(LAUNCH, 2, 23), (MONEY, 61, 12)])
def test_one_card_by_itself_is_refreshed_at_its_own_interval(every, minutes, times):
    [id_] = (cards := Wall({DeploymentId("d"): every})).every
    cards.run(minutes)
    assert len(cards.refreshed[id_]) == pytest.approx(times, abs=1)


def test_a_change_is_shown_at_once_though_all_others_are_due():
    cards = wall(200)
    cards.run(minutes=5)
    cards.now += 3600
    [first, *_] = cards.every
    cards.schedule.changed(first)
    assert cards.step()[0] == first


def test_what_an_earlier_follower_left_current_is_refreshed_by_and_by():
    cards = wall(200)
    cards.schedule.left_current(list(cards.every), MONEY, cards.now)
    assert len(cards.step()) == 200  # compared, and not refreshed
    cards.refreshed = {id_: [] for id_ in cards.every}
    refreshed = cards.run(minutes=20)
    assert max(sum(at <= each < at + 60 for each in refreshed) for at in refreshed) <= PER_MINUTE * SHARE + 1
    assert len(refreshed) > 150


@given(st.lists(st.timedeltas(timedelta(seconds=1), timedelta(hours=1)), max_size=300), st.floats(1, 1000))
def test_all_together_wish_for_no_more_than_the_share(intervals, per_minute):
    longer = stretch(intervals, per_minute)
    rate = sum(60 / (every.total_seconds() * longer) for every in intervals)
    assert longer >= 1
    assert rate <= per_minute * SHARE * 1.0001
    assert spacing(per_minute).total_seconds() == pytest.approx(60 / (per_minute * SHARE), abs=1e-5)
