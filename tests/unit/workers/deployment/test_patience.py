"""What goes wrong again and again: it costs a bounded sum, and ends nothing that people use."""

from datetime import timedelta
from itertools import pairwise

import pytest

from tests.fakes.told import NOON, Story, offer
from workers.deployment.attempt import Phase
from workers.deployment.events import (
    Autoscaled,
    DeploymentEnded,
    Failure,
    KeepTryingRequested,
    LadderExhausted,
    LadderPlanned,
    MachineGone,
    ReplicaDrained,
    ReplicaDraining,
    ReplicaGivenUp,
    ReplicaKept,
    ReplicaNotReady,
    ReplicasAbandoned,
    ScaleRequested,
    StopRequested,
    TestCompletionAnswered,
)
from workers.deployment.next_step import (
    Abandon,
    Create,
    Drain,
    End,
    Exhaust,
    GiveUp,
    Launch,
    Plan,
    Terminate,
    Wait,
    next_step,
)
from workers.deployment.next_step import Test as TestStep
from workers.placement.offer import Rung

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
            self.story.tell(MachineGone, attempt=number, why="engine exited", preempted=self._preempted)

    def _do(self, step):
        story = self.story
        match step:
            case Plan():
                story.planned()
            case Launch(attempt, replica, offers):
                self.bought_at.append(story.now)
                story.intended(attempt, replica, offers[0]).created(attempt, offers[0])
                if self._ready_after is not None:
                    self._coming.append((story.now + timedelta(seconds=self._ready_after), "ready", attempt))
                lives = timedelta(seconds=self._dies_after(attempt))
                self._coming.append((story.now + lives, "gone", attempt))
            case GiveUp():
                story.tell(ReplicaGivenUp, attempt=step.attempt, why=step.why, failure=step.failure)
            case Terminate(attempt):
                self._coming = [due for due in self._coming if due[2] != attempt.number]
                story.gone(attempt.number)
            case TestStep():
                story.tell(TestCompletionAnswered, prompt="p", text="t", seconds=0.1)
            case Exhaust(why):
                story.tell(LadderExhausted, why=why)
            case Abandon(why):
                story.tell(ReplicasAbandoned, why=why)
            case End(failed):
                self.ended = failed
                story.tell(DeploymentEnded, failed=failed)
            case _:
                raise AssertionError(step)


def answering(replicas=1, **lasting):
    """A deployment that has answered for a while, by default for three days, with its first replica."""
    return Story(replicas).served().wait(**(lasting or {"days": 3}))


def taken_back(story, attempt=1):
    return story.tell(MachineGone, attempt=attempt, why="taken back", preempted=True)


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("ready_after", [60, None])
def test_a_day_of_crashes_buys_a_bounded_number_of_machines(replicas, ready_after):
    day = Day(Story(replicas), ready_after=ready_after, dies_after=lambda n: 90 + n * 37 % 90 + (not ready_after) * 300)
    assert day.run(hours=24) <= 6 * replicas
    if ready_after is None:
        assert "failed to start 2 times in a row" in day.ended
    else:
        assert day.ended is None  # its endpoint and its keys stay, and nothing is billed
        assert day.story.state.abandoned
        assert not day.story.state.live


def test_a_replica_that_dies_ten_minutes_after_each_start_is_backed_off_and_given_up():
    assert Day(Story(), ready_after=60, dies_after=lambda _: 660).run(hours=24) <= 6


def test_a_replica_that_hangs_is_no_better_than_one_that_dies():
    story = Story().served().wait(minutes=2).tell(ReplicaNotReady, attempt=1, why="timeout").wait(minutes=40)
    story.tell(ReplicaGivenUp, attempt=1, why="failed its probe", failure=Failure.PROBING).gone()
    story.planned().intended(2).created(2).gone(2)
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
    story = Story(2).planned().intended(1, 1).created(1).intended(2, 2).created(2).gone(1).gone(2)
    assert isinstance(story.step, Launch)
    six = answering(1, hours=1).tell(ScaleRequested, replicas=6, by="U").planned()
    for attempt in range(2, 7):
        six.intended(attempt, attempt).created(attempt)
    for attempt in range(1, 7):
        six.gone(attempt)
    assert isinstance(six.step, Launch)


@pytest.mark.parametrize("minutes", [0, 1, 9, 12])
@pytest.mark.parametrize("preempted", [True, False])
def test_the_loss_of_the_last_replica_is_made_good_though_the_ladder_was_dry_before(minutes, preempted):
    story = answering(2).planned().intended(2, 2).refused(2).tell(LadderExhausted, why=DRY).wait(minutes=minutes)
    story.tell(MachineGone, attempt=1, why="gone", preempted=preempted)
    if isinstance(story.step, Plan):  # the prices are old by now
        story.planned()
    assert isinstance(story.wait(minutes=5).step, Launch | Plan)


def test_what_was_dry_when_it_fell_asleep_is_forgotten_when_a_request_wakes_it():
    story = answering(2).planned().intended(2, 2).refused(2).tell(LadderExhausted, why=DRY)
    story.tell(Autoscaled, replicas=0, why="no request").tell(ReplicaDraining, attempt=1, why="scaled down").gone()
    story.wait(hours=5).tell(Autoscaled, replicas=1, why="a request waits")
    assert story.step == Plan()
    assert isinstance(story.planned().step, Launch)


def test_a_deployment_that_has_answered_waits_out_a_drought_with_its_endpoint():
    story = taken_back(answering())
    asked = 0
    for _ in range(1000):
        step = story.step
        match step:
            case Plan():
                story.planned()
            case Launch():
                asked += 1
                story.intended(step.attempt, step.replica).refused(step.attempt)
            case Exhaust(why):
                story.tell(LadderExhausted, why=why)
            case Wait(until):
                assert until is not None
                if until > NOON + timedelta(days=5):
                    break
                story.now = until
            case _:
                raise AssertionError(step)
    assert 48 <= asked <= 120  # two days, at last every half an hour


def test_a_drought_of_weeks_does_not_grow_the_state():
    story = taken_back(answering())
    for attempt in range(2, 500):
        story.wait(minutes=30).tell(LadderPlanned, rungs=(), as_before=True).intended(attempt).refused(attempt)
    assert len(story.state.attempts) < 20
    assert story.state.rungs == (Rung(offer=offer(), usable=True),)
    assert story.state.attempts[-1].number == 499


def test_unusable_clouds_and_broken_prices_end_nothing_that_has_answered():
    story = taken_back(answering()).tell(LadderPlanned, rungs=(), why_empty="prices.csv cannot be read")
    assert story.step == Exhaust("prices.csv cannot be read")


def test_a_wish_to_keep_trying_that_has_run_out_shortens_no_decision():
    story = Story().planned().intended().refused()
    story.tell(KeepTryingRequested, by="U", every=timedelta(minutes=5), until=story.now)
    dry = story.wait(hours=1).planned().intended(2).refused(2).tell(LadderExhausted, why=DRY).now
    assert story.step == Wait(until=dry + timedelta(minutes=10))


def test_another_number_ends_the_pause_after_a_dry_ladder():
    story = answering(2)
    for attempt in range(2, 9):
        story.planned().intended(attempt, 2).refused(attempt).tell(LadderExhausted, why=DRY).wait(minutes=31)
    story.planned().intended(9, 2).refused(9).tell(LadderExhausted, why=DRY).wait(minutes=6)
    assert isinstance(story.step, Wait)
    assert isinstance(story.tell(ScaleRequested, replicas=3, by="U").step, Launch)


def test_a_deployment_that_ends_takes_what_drains_along():
    story = answering(2).intended(2, 2).created(2).ready(2).tell(ScaleRequested, replicas=1, by="U")
    story.tell(ReplicaDraining, attempt=2, why="scaled down").gone(1).tell(DeploymentEnded, failed="it failed")
    assert story.step == Terminate(story.state.attempts[1])


def test_a_replica_that_failed_its_probe_as_it_drained_still_does_when_it_is_kept():
    story = answering(2).intended(2, 2).created(2).ready(2).tell(ReplicaNotReady, attempt=2, why="timeout")
    since = story.now
    story.tell(ReplicaDraining, attempt=2, why="scaled down").tell(ReplicaKept, attempt=2)
    assert story.state.attempts[1].phase is Phase.NOT_READY
    assert story.state.attempts[1].not_ready_at == since


def test_a_zone_that_gave_no_answer_is_avoided_at_the_next_try():
    near, far = offer("z1"), offer("z2", "2")
    story = Story().planned(near, far).intended().wait(minutes=31)
    story.tell(ReplicaGivenUp, attempt=1, why="no answer", failure=Failure.PROVISION).gone().planned(near, far)
    assert story.step.offers == (far,)


def test_a_cloud_that_is_silent_keeps_nothing_else_waiting():
    story = answering(2).intended(2, 2).created(2).ready(2)
    story.tell(ReplicaGivenUp, attempt=1, why="failed its probe", failure=Failure.PROBING)
    taken_back(story, 2).planned()
    assert isinstance(story.step, Terminate)
    bought = next_step(story.state, story.now, {1})
    assert isinstance(bought, Launch)
    story.intended(bought.attempt, bought.replica)
    assert isinstance(next_step(story.state, story.now, {1}), Create)
    assert isinstance(next_step(story.state, story.now, {1, bought.attempt}), Launch)  # two are wanted
    story.tell(StopRequested, by="U")
    assert isinstance(next_step(story.state, story.now, {1}), Terminate)
    assert next_step(story.state, story.now, {1, 3}) == Wait()  # not before every machine has ended


class Unending(Day):
    """A cloud that makes machines, and gives no answer when they are to end."""

    def _do(self, step):
        match step:
            case Terminate(attempt):
                self._silent.add(attempt.number)
            case Drain():
                self.story.tell(ReplicaDraining, attempt=step.attempt, why=step.why)
                self.story.tell(ReplicaDrained, attempt=step.attempt)
            case _:
                super()._do(step)


@pytest.mark.parametrize("established", [True, False])
def test_a_cloud_that_ends_nothing_is_bought_from_a_few_times_and_no_more(established):
    story = answering() if established else Story()
    if established:
        taken_back(story)
    day = Unending(story, ready_after=None, dies_after=lambda _: 10**7)
    assert day.run(hours=24) <= 2
    assert day.ended is None  # machines of it run


def test_scaling_up_and_down_all_day_on_a_cloud_that_ends_nothing_buys_a_few_machines_and_no_more():
    day = Unending(answering(), ready_after=60, dies_after=lambda _: 10**7)
    for hour in range(24):
        day.story.tell(Autoscaled, replicas=2 - hour % 2, why="the load")
        day.run(hours=1)
    assert len(day.bought_at) <= 3


def test_a_group_of_spot_machines_that_is_taken_back_at_once_is_replaced_at_once():
    story = Story(6).planned()
    for attempt in range(1, 7):
        story.intended(attempt, attempt).created(attempt)
    for attempt in range(1, 7):
        taken_back(story, attempt)
    assert isinstance(story.step, Launch)


def test_a_machine_that_came_in_spite_of_a_refusal_is_not_forgotten_before_it_has_ended():
    story = answering(2).planned().intended(2, 2).refused(2).created(2)
    story.wait(hours=7).intended(3, 2).refused(3).planned()
    assert [a.number for a in story.state.attempts] == [1, 2, 3]
    assert story.step == Terminate(story.state.attempts[1])


def test_an_outage_lasts_from_the_last_answer_to_the_next_one():
    story = answering(2).intended(2, 2).created(2).ready(2).gone(1)
    assert story.state.out_since is None
    since = story.tell(ReplicaNotReady, attempt=2, why="timeout").now
    story.wait(minutes=3).tell(ReplicaGivenUp, attempt=2, why="failed", failure=Failure.PROBING)
    assert story.state.out_since == story.wait(minutes=5).gone(2).state.out_since == since
    assert story.planned().intended(3).created(3).ready(3).state.out_since is None
    assert story.tell(ScaleRequested, replicas=0, by="U").gone(3).state.out_since is None
