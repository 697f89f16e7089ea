"""What goes wrong again and again: it costs a bounded sum, and ends nothing that people use."""

from datetime import timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace

from tests.builders.events import BEGIN
from tests.builders.machines import machine
from tests.builders.offers import offer
from tests.builders.story import Story, Timeline
from workers.decision.next_step import (
    Abandon,
    Create,
    Drain,
    EndDeployment,
    Exhaust,
    GiveUp,
    LaunchReplica,
    PlanLadder,
    Terminate,
    Wait,
    next_step,
)
from workers.decision.next_step import Test as TestStep
from workers.decision.retry_policy import MAX_FAILURES, START_TRIES, deadline
from workers.deployment.attempt import Phase
from workers.deployment.events import (
    Failure,
    KeepTryingRequested,
    LadderPlanned,
    MachineCreated,
    ProbeFailed,
)
from workers.machines import BootPhase, Token
from workers.placement.ladder import Rung
from workers.placement.refusals import Scope

DRY = "no machine is to be had"


class Day:
    """The decisions of a day, carried out at once by a cloud whose machines all come to the same end."""

    def __init__(self, story, *, ready_after, dies_after, preempted=False):
        """Seconds: from a machine's making to its readiness (None: never), and, by its number, to its end."""
        self.story, self.bought_at, self.ended = story, [], None
        self._ready_after, self._dies_after, self._preempted = ready_after, dies_after, preempted
        self._coming = []
        self._silent = set()

    def run(self, **duration):
        until = self.story.now + timedelta(**duration)
        while self.story.now < until and self.ended is None:
            for due in sorted(due for due in self._coming if due[0] <= self.story.now):
                self._coming.remove(due)
                self._happens(*due[1:])
            step = next_step(self.story.state, self.story.now, self._silent)
            if not isinstance(step, Wait):
                self._do(step)
                continue
            if self._silent:  # the sweeper nudges, and all are asked again
                self._silent.clear()
                self._coming.append((self.story.now + timedelta(minutes=1), "nudge", 0))
            later = [at for at in (step.until, *(due[0] for due in self._coming)) if at and at > self.story.now]
            self.story.now = min([*later, until])
        return len(self.bought_at)

    def _happens(self, what, number):
        if what == "ready":
            self.story.ready(number)
        elif what == "gone":
            self.story.gone("engine exited", number, preempted=self._preempted)

    def _do(self, step):
        story = self.story
        match step:
            case PlanLadder():
                story.planned()
            case LaunchReplica(attempt, replica, offers):
                self.bought_at.append(story.now)
                story.asked(offers[0], attempt=attempt, replica=replica).created()
                if self._ready_after is not None:
                    self._coming.append((story.now + timedelta(seconds=self._ready_after), "ready", attempt))
                lives = timedelta(seconds=self._dies_after(attempt))
                self._coming.append((story.now + lives, "gone", attempt))
            case GiveUp():
                story.given_up(step.why, step.attempt, step.failure)
            case Terminate(attempt):
                self._coming = [due for due in self._coming if due[2] != attempt.number]
                story.gone(attempt=attempt.number)
            case TestStep():
                story.tested()
            case Exhaust(why):
                story.exhausted(why)
            case Abandon(why):
                story.abandoned(why)
            case EndDeployment(failed):
                self.ended = failed
                story.ended(failed)
            case _:
                raise AssertionError(step)


def answering(replicas=1, **lasting):
    """A deployment that has answered for a while, by default for three days, with its first replica."""
    return Timeline(replicas=replicas).served().wait(**(lasting or {"days": 3}))


def taken_back(story, attempt=1):
    return story.gone("taken back", attempt, preempted=True)


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("ready_after", [60, None])
def test_a_day_of_crashes_buys_a_bounded_number_of_machines(replicas, ready_after):
    day = Day(
        Timeline(replicas=replicas),
        ready_after=ready_after,
        dies_after=lambda n: 90 + n * 37 % 90 + (not ready_after) * 300,
    )
    assert day.run(hours=24) <= 6 * replicas
    if ready_after is None:
        assert "failed to start 2 times in a row" in day.ended
    else:
        assert day.ended is None  # its endpoint and its keys stay, and nothing is billed
        assert day.story.state.abandoned
        assert not day.story.state.live


def test_a_replica_that_dies_ten_minutes_after_each_start_is_backed_off_and_given_up():
    assert Day(Timeline(), ready_after=60, dies_after=lambda _: 660).run(hours=24) <= 6


def test_a_replica_that_hangs_is_no_better_than_one_that_dies():
    story = Timeline().served().wait(minutes=2).not_ready().wait(minutes=40)
    story.given_up("failed its probe", 1, Failure.PROBING).gone(attempt=1)
    story.planned().asked().created().gone()
    assert isinstance(story.step, Wait)


def test_spot_that_is_taken_back_at_once_is_bought_again_after_longer_and_longer_pauses():
    day = Day(answering(), ready_after=None, dies_after=lambda _: 20, preempted=True)
    taken_back(day.story)
    assert day.run(hours=24) <= 60
    pauses = [later - earlier for earlier, later in pairwise(day.bought_at)]
    assert max(pauses[:2]) < timedelta(seconds=60)
    assert pauses[-1] >= timedelta(minutes=30)


def test_spot_that_lived_is_replaced_at_once_however_often_it_is_taken_back():
    day = Day(answering(), ready_after=60, dies_after=lambda _: 1200, preempted=True)
    taken_back(day.story)
    assert day.run(hours=24) >= 24 * 3 - 4


def test_those_that_were_bought_together_fail_as_one_try():
    story = Timeline(replicas=2).planned().asked().created().asked().created().gone(attempt=1).gone()
    assert isinstance(story.step, LaunchReplica)
    six = answering(1, hours=1).scaled(6).planned()
    for _ in range(5):
        six.asked().created()
    for attempt in range(1, 7):
        six.gone(attempt=attempt)
    assert isinstance(six.step, LaunchReplica)


@pytest.mark.parametrize("minutes", [0, 1, 9, 12])
@pytest.mark.parametrize("preempted", [True, False])
def test_the_loss_of_the_last_replica_is_made_good_though_the_ladder_was_dry_before(minutes, preempted):
    story = answering(2).planned().asked().refused().exhausted(DRY).wait(minutes=minutes)
    story.gone("gone", 1, preempted=preempted)
    if isinstance(story.step, PlanLadder):  # the prices are old by now
        story.planned()
    assert isinstance(story.wait(minutes=5).step, LaunchReplica | PlanLadder)


def test_what_was_dry_when_it_fell_asleep_is_forgotten_when_a_request_wakes_it():
    story = answering(2).planned().asked().refused().exhausted(DRY)
    story.moved(0, "no request").draining(1).gone(attempt=1)
    story.wait(hours=5).moved(1, "a request waits")
    assert story.step == PlanLadder()
    assert isinstance(story.planned().step, LaunchReplica)


def test_a_deployment_that_has_answered_waits_out_a_drought_with_its_endpoint():
    story = taken_back(answering())
    asked = 0
    for _ in range(1000):
        step = story.step
        match step:
            case PlanLadder():
                story.planned()
            case LaunchReplica():
                asked += 1
                story.asked(attempt=step.attempt, replica=step.replica).refused()
            case Exhaust(why):
                story.exhausted(why)
            case Wait(until):
                assert until is not None
                if until > BEGIN + timedelta(days=5):
                    break
                story.now = until
            case _:
                raise AssertionError(step)
    assert 48 <= asked <= 120  # two days, at last every half an hour


def test_a_drought_of_weeks_does_not_grow_the_state():
    story = taken_back(answering())
    for _ in range(498):
        story.wait(minutes=30).tell(LadderPlanned, rungs=(), as_before=True).asked().refused()
    assert len(story.state.attempts) < 20
    assert story.state.rungs == (Rung(offer=offer(), usable=True),)
    assert story.state.attempts[-1].number == 499


def test_unusable_clouds_and_broken_prices_end_nothing_that_has_answered():
    story = taken_back(answering()).tell(LadderPlanned, rungs=(), why_empty="prices.csv cannot be read")
    assert story.step == Exhaust("prices.csv cannot be read")


def test_a_wish_to_keep_trying_that_has_run_out_shortens_no_decision():
    story = Timeline().planned().asked().refused()
    story.tell(KeepTryingRequested, by="U", every=timedelta(minutes=5), until=story.now)
    dry = story.wait(hours=1).planned().asked().refused().exhausted(DRY).now
    assert story.step == Wait(until=dry + timedelta(minutes=10))


def test_another_number_ends_the_pause_after_a_dry_ladder():
    story = answering(2)
    for _ in range(7):
        story.planned().asked().refused().exhausted(DRY).wait(minutes=31)
    story.planned().asked().refused().exhausted(DRY).wait(minutes=6)
    assert isinstance(story.step, Wait)
    assert isinstance(story.scaled(3).step, LaunchReplica)


def test_a_deployment_that_ends_takes_what_drains_along():
    story = answering(2).asked().created().ready().scaled(1)
    story.draining(2).gone(attempt=1).ended("it failed")
    assert story.step == Terminate(story.state.attempts[1])


def test_a_replica_that_failed_its_probe_as_it_drained_still_does_when_it_is_kept():
    story = answering(2).asked().created().ready().not_ready()
    since = story.now
    story.draining(2).kept(2)
    assert story.state.attempts[1].phase is Phase.NOT_READY
    assert story.state.attempts[1].not_ready_at == since


def test_a_zone_that_gave_no_answer_is_avoided_at_the_next_try():
    near, far = offer("r-1"), offer("r-2", 2)
    story = Timeline().planned(near, far).asked().wait(minutes=31)
    story.given_up("no answer", 1, Failure.PROVISION).gone(attempt=1).planned(near, far)
    assert story.step.offers == (far,)


def test_a_cloud_that_is_silent_keeps_nothing_else_waiting():
    story = answering(2).asked().created().ready()
    story.given_up("failed its probe", 1, Failure.PROBING)
    taken_back(story, 2).planned()
    assert isinstance(story.step, Terminate)
    bought = next_step(story.state, story.now, {1})
    assert isinstance(bought, LaunchReplica)
    story.asked(attempt=bought.attempt, replica=bought.replica)
    assert isinstance(next_step(story.state, story.now, {1}), Create)
    assert isinstance(next_step(story.state, story.now, {1, bought.attempt}), LaunchReplica)  # two are wanted
    story.stopped()
    assert isinstance(next_step(story.state, story.now, {1}), Terminate)
    assert next_step(story.state, story.now, {1, 3}) == Wait()  # not before every machine has ended


class Unending(Day):
    """A cloud that makes machines, and gives no answer when they are to end."""

    def _do(self, step):
        match step:
            case Terminate(attempt):
                self._silent.add(attempt.number)
            case Drain():
                self.story.draining(step.attempt, step.why)
                self.story.drained(step.attempt)
            case _:
                super()._do(step)


@pytest.mark.parametrize("established", [True, False])
def test_a_cloud_that_ends_nothing_is_bought_from_a_few_times_and_no_more(established):
    story = answering() if established else Timeline()
    if established:
        taken_back(story)
    day = Unending(story, ready_after=None, dies_after=lambda _: 10**7)
    assert day.run(hours=24) <= 2
    assert day.ended is None  # machines of it run


def test_scaling_up_and_down_all_day_on_a_cloud_that_ends_nothing_buys_a_few_machines_and_no_more():
    day = Unending(answering(), ready_after=60, dies_after=lambda _: 10**7)
    for hour in range(24):
        day.story.moved(2 - hour % 2)
        day.run(hours=1)
    assert len(day.bought_at) <= 3


def test_a_group_of_spot_machines_that_is_taken_back_at_once_is_replaced_at_once():
    story = Timeline(replicas=6).planned()
    for _ in range(6):
        story.asked().created()
    for attempt in range(1, 7):
        taken_back(story, attempt)
    assert isinstance(story.step, LaunchReplica)


def test_a_machine_that_came_in_spite_of_a_refusal_is_not_forgotten_before_it_has_ended():
    story = answering(2).planned().asked().refused().created()
    story.wait(hours=7).asked().refused().planned()
    assert [a.number for a in story.state.attempts] == [1, 2, 3]
    assert story.step == Terminate(story.state.attempts[1])


def test_an_outage_lasts_from_the_last_answer_to_the_next_one():
    story = answering(2).asked().created().ready().gone(attempt=1)
    assert story.state.out_since is None
    since = story.not_ready("timeout", 2).now
    story.wait(minutes=3).given_up("failed", 2, Failure.PROBING)
    assert story.state.out_since == story.wait(minutes=5).gone(attempt=2).state.out_since == since
    assert story.planned().asked().created().ready().state.out_since is None
    assert story.scaled(0).gone(attempt=3).state.out_since is None


def test_a_loss_in_the_future_by_a_clock_that_stepped_back_does_not_empty_the_pause_after_a_dry_ladder():
    """The ladder would be dry, planned and dry again without an end until the clock has caught up."""
    told = Story(replicas=2).served().asked().created().wait(minutes=20)
    told = told.gone(attempt=2).wait(minutes=-5).planned().exhausted(DRY)
    assert isinstance(next_step(told.state, told.now), Wait)


@pytest.mark.parametrize("refused", [False, True])
def test_a_dry_ladder_by_a_clock_that_was_30_hours_ahead_is_tried_again_within_the_longest_pause(refused):
    told = Story().served().wait(hours=30).gone().planned()
    told = (told.asked().refused() if refused else told).exhausted(DRY).wait(hours=-30)
    told.wait(minutes=31)
    assert next_step(told.state, told.now) == PlanLadder()
    assert isinstance(next_step(told.planned().state, told.now), LaunchReplica)


def test_failures_by_a_clock_that_was_30_hours_ahead_pause_no_longer_than_others():
    told = Story().served().wait(hours=30).gone().planned()
    for _ in range(2):
        told.asked().created().given_up("crashed", failure=Failure.CRASHED).gone()
    told.wait(hours=-30).wait(minutes=31).planned()
    assert isinstance(next_step(told.state, told.now), LaunchReplica)


def test_a_ladder_that_was_planned_by_a_clock_that_was_30_hours_ahead_is_planned_again():
    told = Story().served().wait(hours=30).planned().wait(hours=-30).wait(hours=1).gone()
    assert next_step(told.state, told.now) == PlanLadder()


def test_a_launch_whose_ladder_was_dry_by_a_clock_that_was_30_hours_ahead_is_tried_again():
    told = Story().wait(hours=30).planned().asked().refused().exhausted(DRY).wait(hours=-30)
    assert next_step(told.state, told.now) == PlanLadder()
    assert isinstance(next_step(told.planned().state, told.now), LaunchReplica)


def test_preemptions_by_a_clock_that_was_30_hours_ahead_do_not_end_the_pauses_after_later_ones():
    told = Story().served().wait(hours=30).planned()
    for _ in range(3):
        told.gone(preempted=True).asked().created()
    told.wait(hours=-30)
    for _ in range(3):
        told.gone(preempted=True).planned().asked().created()
    told.gone(preempted=True).planned()
    assert isinstance(next_step(told.state, told.now), Wait)


def test_a_settled_call_in_the_future_by_a_clock_that_stepped_back_does_not_empty_the_wait_on_a_dry_ladder():
    """The ladder would be dry, planned and dry again without a wait until the clock has caught up."""
    told = Timeline().planned().asked().given_up("no answer").gone("no answer")
    told.wait(minutes=-5).planned().exhausted(DRY)
    assert isinstance(next_step(told.state, told.now), Wait)
    assert next_step(told.state, told.now + timedelta(minutes=6)) == PlanLadder()


def test_a_throttle_by_a_clock_that_was_30_hours_ahead_does_not_end_the_back_offs_of_later_ones():
    """Else the calls of the next 30 hours would be made without a pause."""
    offers = offer("r-1"), offer("r-2", 2)
    told = Timeline().served().planned(*offers).wait(hours=30).gone().asked().refused(scope=Scope.BACK_OFF)
    told.wait(hours=-30).planned(*offers)
    assert isinstance(told.step, LaunchReplica)
    told.asked().refused(scope=Scope.BACK_OFF)
    assert isinstance(told.step, Wait)


def test_a_cloud_that_throttles_for_hours_is_never_called_without_a_wait():
    """No offer is ruled out by a throttle: without a wait, the same one would be requested again and again."""
    offers, waits = (offer("r-1"), offer("r-2", 2)), []
    told = Timeline().served().planned(*offers).gone()
    for _ in range(200):
        match told.step:
            case LaunchReplica(offers=(first, *_)):
                told.wait(seconds=1).asked(first).refused("throttled", scope=Scope.BACK_OFF, lasts=timedelta(seconds=5))
                assert isinstance(told.step, Wait)
            case Wait(until=until) if until:
                waits.append((until - told.now).total_seconds())
                told.now = until
            case step:
                assert step == PlanLadder()
                told.planned(*offers)
    assert waits[:6] == [5, 10, 20, 40, 80, 80]
    assert set(waits[6:]) == {80}


@pytest.mark.parametrize("by_then", ["launched", "scaled", "gone"])
def test_purchases_are_bounded_also_after_what_happened_on_a_clock_that_was_30_hours_ahead(by_then):
    """Else no failure would count until the clock has caught up: no launch would be newer, and the loss be the last."""
    told = Story() if by_then == "launched" else Story().served().wait(hours=1).wait(hours=30)
    told = told.scaled(1) if by_then == "scaled" else told
    told = told.gone() if by_then == "gone" else told
    told.wait(hours=-30).planned()
    told = told.gone() if by_then == "scaled" else told
    bought, step = 0, None
    for _ in range(100):
        match step := next_step(told.state, told.now):
            case LaunchReplica():
                bought += 1
                told.asked().created().wait(minutes=1).given_up("crashed", failure=Failure.CRASHED).gone()
            case PlanLadder():
                told.planned()
            case Wait():
                told.wait(minutes=1)
            case _:
                break
    assert isinstance(step, EndDeployment if by_then == "launched" else Abandon)
    assert bought == (START_TRIES if by_then == "launched" else MAX_FAILURES)


def test_preemptions_are_followed_by_pauses_also_after_a_request_by_a_clock_that_was_30_hours_ahead():
    told = Story().served().wait(hours=30).scaled(1).wait(hours=-30).gone()
    for _ in range(3):
        told.planned().asked().created().wait(minutes=1).gone(preempted=True)
    assert isinstance(next_step(told.planned().state, told.now), Wait)


class TwoClocks(Timeline):
    """The cloud's clock is behind ours; where it is ahead, `behind` is negative."""

    behind = timedelta()

    def created(self, address=None, attempt=None):
        made = machine(self._request(attempt), created_at=self.now + self.tick - self.behind, address=address)
        return self.tell(MachineCreated, attempt=self._number(attempt), machine=made)

    @classmethod
    def answering(cls, minutes):
        story = cls()
        story.behind = timedelta(minutes=minutes)
        return story.served().wait(days=3)


@pytest.mark.parametrize("behind", [-11, 0, 11])
def test_preemptions_count_as_early_whatever_the_clock_of_the_cloud_says(behind):
    early = Day(TwoClocks.answering(behind), ready_after=None, dies_after=lambda _: 60, preempted=True)
    taken_back(early.story)
    assert early.run(hours=6) <= 20
    late = Day(TwoClocks.answering(behind), ready_after=60, dies_after=lambda _: 1200, preempted=True)
    taken_back(late.story)
    assert late.run(hours=6) >= 6 * 3 - 2


@pytest.mark.parametrize("behind", [-11, 0, 11])
def test_an_engine_that_is_restarted_has_the_same_time_whatever_the_clock_of_the_cloud_says(behind):
    story = TwoClocks()
    story.behind = timedelta(minutes=behind)
    story.planned().asked().created().wait(minutes=5).ready().published().tested().wait(hours=1)
    story.not_ready().engine_ended(start=1)
    given_up = deadline(story.state.attempts[0]) - story.state.attempts[0].since
    assert timedelta(minutes=8) <= given_up <= timedelta(minutes=8, seconds=10)


def test_what_waits_begins_again_with_the_first_fact_after_the_clock_was_set_back():
    story = Timeline().planned().asked().created().wait(minutes=1).progressed("", BootPhase.LOADING)
    delay = story.state.attempts[0].request.boot.initial_delay
    story.wait(minutes=2).wait(hours=-2).tell(ProbeFailed, attempt=1, why="connection refused")
    until = deadline(story.state.attempts[0])
    assert until == story.now + delay
    story.wait(minutes=5).tell(ProbeFailed, attempt=1, why="status 503")
    assert deadline(story.state.attempts[0]) == until, "a fact delays nothing while the clock runs"


def test_the_machine_of_another_request_takes_no_attempt():
    """After a failover of Redis that lost an intent, another one has its number."""
    story = Timeline().planned().asked()
    lost = replace(machine(story.state.attempts[0].request), token=Token("lost"))
    story.tell(MachineCreated, attempt=1, machine=lost)
    assert isinstance(story.step, Create)
    assert story.created().state.attempts[0].machine.token == story.state.attempts[0].request.token
