"""The decision: every step in every situation, and the properties that must hold whatever happens."""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes.told import ID, Story, offer
from workers.clouds.driver import Scope
from workers.deployment.attempt import KEPT, MAY_COST, Phase
from workers.deployment.condition import Status, condition_of
from workers.deployment.events import (
    Autoscaled,
    DeploymentEnded,
    EndpointPublished,
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
    Keep,
    Launch,
    Plan,
    Terminate,
    Wait,
)
from workers.deployment.next_step import Test as TestStep
from workers.deployment.patience import failures_in_a_row
from workers.deployment.state import fold
from workers.placement.offer import Rung


def test_a_request_is_planned_first():
    assert Story().step == Plan()


def test_the_cheapest_usable_rung_is_asked_for():
    story = Story().tell(
        LadderPlanned,
        rungs=(Rung(offer=offer("z1"), usable=False, reason="no credentials"), Rung(offer=offer("z2"), usable=True)),
    )
    assert story.step == Launch(attempt=1, replica=1, offers=(offer("z2"),))


def test_an_intent_is_acted_on():
    assert isinstance(Story().planned().intended().step, Create)


def test_a_refused_zone_is_left_out_until_its_block_ends():
    story = Story().planned(offer("z1"), offer("z2", "2")).intended().refused()
    assert story.step == Launch(attempt=2, replica=1, offers=(offer("z2", "2"),))


def test_a_refused_cloud_rules_out_its_every_offer():
    aws = offer("z9", "9", cloud="aws")
    story = Story().planned(offer("z1"), offer("z2", "2"), aws).intended().refused(scope=Scope.CLOUD)
    assert story.step == Launch(attempt=2, replica=1, offers=(aws,))


def test_a_dry_ladder_without_a_machine_is_told_and_ended_after_a_while():
    story = Story().planned().intended().refused()
    assert story.step == Exhaust("No machine is available. 1 offer: no capacity.")
    story.tell(LadderExhausted, why="dry")
    assert condition_of(story.state).status is Status.NO_CAPACITY
    assert story.step == Wait(until=story.now + timedelta(minutes=10))
    assert story.wait(minutes=10).step == End(failed="dry")


def test_a_dry_ladder_is_climbed_again_where_somebody_asked_to_keep_trying():
    story = Story().planned().intended().refused().tell(LadderExhausted, why="dry")
    dry = story.now
    every, until = timedelta(minutes=5), dry + timedelta(hours=1)
    story.tell(KeepTryingRequested, by="U", every=every, until=until)
    assert story.step == Wait(until=dry + every)
    story.wait(minutes=5)
    assert story.step == Plan()
    assert isinstance(story.planned().step, Launch)
    story.intended(2).refused(2).tell(LadderExhausted, why="dry").wait(hours=1)
    assert story.step == End(failed="dry")


def test_a_throttle_is_waited_for_instead_of_paying_more():
    story = Story().planned(offer("z1"), offer("z2", "2")).intended().refused(scope=Scope.BACK_OFF)
    assert isinstance(story.step, Wait)
    assert story.wait(minutes=5).step == Launch(attempt=2, replica=1, offers=(offer("z1"),))


def test_one_call_asks_for_all_zones_of_the_region_at_that_price():
    story = Story().planned(offer("z1"), offer("z2"), offer("z3", "2"))
    assert story.step.offers == (offer("z1"), offer("z2"))


def test_a_dry_ladder_is_tried_again_where_something_answers():
    story = Story(replicas=2).served().intended(2, 2).refused(2)
    assert isinstance(story.step, Exhaust)
    story.tell(LadderExhausted, why="dry")
    assert story.step == Wait(until=story.now + timedelta(minutes=1))
    assert story.wait(minutes=11).step == Plan()


def test_an_unusable_ladder_says_why_and_what_mends_it():
    rung = Rung(offer=offer(), usable=False, reason="AWS: no credentials found", mend="run `aws configure`")
    step = Story().tell(LadderPlanned, rungs=(rung,)).step
    assert step == End(
        failed="No machine is available. 1 offer: AWS: no credentials found. To fix it: run `aws configure`."
    )


def test_a_starting_replica_is_waited_for_until_its_initial_delay():
    story = Story().planned().intended().created()
    assert story.step == Wait(until=story.now + timedelta(seconds=1200))
    step = story.wait(seconds=1200).step
    assert isinstance(step, GiveUp)
    assert step.failure
    assert "not ready 1200 s after the machine started" in step.why


def test_once_the_gateway_has_a_route_the_endpoint_is_tested_and_then_left_alone():
    story = Story().planned().intended().created().ready()
    assert isinstance(story.step, Wait)
    story.tell(EndpointPublished, url="http://gateway")
    assert story.step == TestStep("http://gateway")
    story.tell(TestCompletionAnswered, prompt="p", text="t", seconds=0.1)
    assert story.step == Wait(until=None)
    assert condition_of(story.state).status is Status.READY


def test_scaling_up_fills_the_free_replica_number():
    story = Story().served().tell(ScaleRequested, replicas=2, by="U")
    assert story.step == Launch(attempt=2, replica=2, offers=(offer(),))


def test_scaling_down_ends_what_serves_least_then_the_dearest():
    story = Story(replicas=3).planned().intended(1).created(1).ready(1)
    story.intended(2, 2, offer("z2", "5")).created(2, offer("z2", "5")).ready(2).intended(3, 3).created(3)
    story.tell(ScaleRequested, replicas=2, by="U")
    assert story.step.attempt == 3
    story.tell(ReplicaGivenUp, attempt=3, why="scaled down").tell(ScaleRequested, replicas=1, by="U").gone(3)
    assert story.step.attempt == 2


def test_a_replica_that_may_be_answering_is_drained_before_it_ends():
    story = Story(replicas=2).served().intended(2, 2).created(2).ready(2).tell(ScaleRequested, replicas=1, by="U")
    assert story.step == Drain(2, "scaled down")
    story.tell(ReplicaDraining, attempt=2, why="scaled down")
    assert condition_of(story.state).status is Status.SCALING
    assert isinstance(story.step, Wait)
    assert isinstance(story.tell(ReplicaDrained, attempt=2).step, Terminate)
    assert story.gone(2).state.attempts[1].phase is Phase.ENDED


def test_a_replica_that_is_taken_back_while_it_drains_counts_against_its_zone():
    story = Story(replicas=2).served().intended(2, 2).created(2).ready(2)
    story.tell(ScaleRequested, replicas=1, by="U").tell(ReplicaDraining, attempt=2, why="scaled down")
    story.tell(MachineGone, attempt=2, why="taken back", preempted=True)
    assert story.state.attempts[1].phase is Phase.PREEMPTED
    assert isinstance(story.step, Wait), "nobody wants another in its place"


def test_a_drain_that_never_ends_is_cut_short():
    story = Story(replicas=2).served().intended(2, 2).created(2).ready(2).tell(ScaleRequested, replicas=1, by="U")
    story.tell(ReplicaDraining, attempt=2, why="scaled down")
    step = story.wait(minutes=15).step
    assert isinstance(step, GiveUp)
    assert step.failure is None


def test_a_replica_that_drains_is_taken_back_before_a_new_one_is_bought():
    story = Story(replicas=2).served().intended(2, 2).created(2).ready(2).tell(ScaleRequested, replicas=1, by="U")
    story.tell(ReplicaDraining, attempt=2, why="scaled down").tell(ScaleRequested, replicas=2, by="U")
    assert story.step == Keep(2)
    story.tell(ReplicaKept, attempt=2).tell(ReplicaDrained, attempt=2)  # the gateway was a moment late
    assert condition_of(story.state).status is Status.READY


def test_scaled_to_zero_is_a_rest_and_not_an_end():
    story = Story().served().tell(ScaleRequested, replicas=0, by="U")
    story.tell(ReplicaDraining, attempt=1, why="scaled down").tell(ReplicaDrained, attempt=1).gone()
    assert condition_of(story.state).status is Status.SCALED_TO_ZERO
    assert story.step == Wait()
    assert isinstance(story.tell(Autoscaled, replicas=1, why="a request waits").step, Launch)


def test_a_replica_that_crashes_again_and_again_is_given_up_while_the_others_serve_on():
    story = Story(replicas=2).served()
    for attempt in range(2, 7):
        story.wait(hours=1).planned().intended(attempt, 2).created(attempt).gone(attempt)
    step = story.step
    assert isinstance(step, Abandon)
    assert "5 times in a row" in step.why
    assert "status 1" in step.why
    story.tell(ReplicasAbandoned, why=step.why)
    assert condition_of(story.state).status is Status.DEGRADED
    assert isinstance(story.wait(hours=9).step, Wait)
    story.tell(ScaleRequested, replicas=2, by="U").planned()
    assert isinstance(story.step, Launch)


def test_when_the_last_replica_goes_what_was_given_up_is_tried_again():
    story = Story(replicas=2).served()
    for attempt in range(2, 7):
        story.intended(attempt, 2).created(attempt).gone(attempt)
    story.tell(ReplicasAbandoned, why="they crash").wait(days=1)
    story.tell(MachineGone, attempt=1, why="taken back", preempted=True).planned()
    assert isinstance(story.step, Launch)


def test_how_a_replica_failed_is_kept():
    story = Story().planned().intended().created().gone()
    assert story.state.attempts[0].failure is Failure.CRASHED
    story = Story().planned().intended().created().wait(seconds=1200)
    story.tell(ReplicaGivenUp, attempt=1, why=story.step.why, failure=story.step.failure).gone()
    assert story.state.attempts[0].failure is Failure.INITIAL_DELAY
    assert story.state.attempts[0].phase is Phase.FAILED


def test_a_stop_ends_every_machine_before_the_deployment():
    story = Story().served().tell(StopRequested, by="U")
    assert isinstance(story.step, Terminate)
    assert story.gone().step == End()
    assert story.tell(DeploymentEnded).step == Wait()
    assert condition_of(story.state).status is Status.ENDED


def test_a_stop_during_a_create_ends_the_machine_that_comes_of_it():
    story = Story().planned().intended().tell(StopRequested, by="U")
    assert isinstance(story.step, Terminate)
    story.created()
    assert isinstance(story.step, Terminate)


def test_a_machine_that_turns_up_after_the_end_is_ended():
    story = Story().planned().intended().tell(StopRequested, by="U").gone().tell(DeploymentEnded)
    assert story.step == Wait()
    assert isinstance(story.created().step, Terminate)


def test_a_machine_beats_the_refusal_of_a_rival_worker():
    assert Story().planned().intended().created().refused().state.attempts[0].phase is Phase.STARTING
    assert isinstance(Story().planned().intended().refused().created().step, Terminate)


def test_an_engine_that_dies_at_start_is_tried_twice():
    story = Story().planned().intended().created().gone()
    assert story.step == Launch(attempt=2, replica=1, offers=(offer(),))
    step = story.intended(2).created(2).gone(2).step
    assert isinstance(step, End)
    assert "failed to start 2 times in a row" in step.failed


def test_a_replica_that_dies_is_replaced_and_a_crash_loop_is_backed_off():
    story = Story().served().gone()
    assert isinstance(story.step, Launch)
    story.intended(2).created(2).ready(2).gone(2)
    assert isinstance(story.step, Wait)
    assert isinstance(story.wait(minutes=1).step, Launch)


def test_a_failing_replica_is_given_time_and_then_replaced():
    story = Story().served().tell(ReplicaNotReady, attempt=1, why="timeout")
    assert condition_of(story.state).status is Status.NOT_READY
    assert isinstance(story.step, Wait)
    assert isinstance(story.wait(seconds=180).step, GiveUp)


def test_a_replica_whose_machine_starts_its_engine_again_has_as_long_as_the_first_time_on_top():
    story = Story().planned().intended().created().wait(seconds=100).ready()
    story.tell(EndpointPublished, url="http://h").tell(TestCompletionAnswered, prompt="p", text="t", seconds=0.1)
    story.tell(ReplicaNotReady, attempt=1, why="refused").engine_ended(start=1)
    assert story.step == Wait(until=story.state.attempts[0].since + timedelta(seconds=180 + 102))
    ready = story.wait(seconds=200).ready().state.attempts[0]
    assert ready.phase is Phase.READY
    assert ready.engine_end is None, "it is over"
    assert ready.engine_ends == 1, "and not told again"


@pytest.mark.parametrize("ready", [False, True])
def test_a_replica_whose_machine_has_given_up_is_replaced_at_once(ready):
    story = Story().served() if ready else Story().planned().intended().created()
    if ready:
        story.tell(ReplicaNotReady, attempt=1, why="refused")
    assert isinstance(story.engine_ended(start=1).step, Wait)
    step = story.engine_ended(start=3, again=False).step
    assert step == GiveUp(1, "vllm exited with status 1", failure=Failure.CRASHED)
    story.tell(ReplicaGivenUp, attempt=1, why=step.why, failure=step.failure).gone()
    assert story.state.attempts[0].phase is Phase.FAILED
    assert isinstance(story.planned().step, Launch)


def test_an_engine_that_answers_after_all_has_not_given_up():
    story = Story().served().engine_ended(again=False)
    assert isinstance(story.step, Wait)
    story.tell(ReplicaNotReady, attempt=1, why="refused")
    assert story.step == Wait(until=story.now + timedelta(seconds=180)), "nor later, when its probe fails"


@pytest.mark.parametrize(("minutes", "replaced"), [(10, True), (31, False)])
def test_an_engine_that_ends_again_and_again_is_not_left_to_its_machine(minutes, replaced):
    story = Story().served()
    for start in range(1, 20):
        story.wait(minutes=minutes).tell(ReplicaNotReady, attempt=1, why="refused").engine_ended(start=start)
        if isinstance(story.step, GiveUp):
            break
        story.wait(seconds=60).ready()
    assert isinstance(story.step, GiveUp) == replaced
    if replaced:
        assert start == 5
        assert "5 times without answering for 30 min in between" in story.step.why
        story.tell(ReplicaGivenUp, attempt=1, why=story.step.why, failure=Failure.CRASHED).gone()
        assert len(failures_in_a_row(story.state)) == 1, "it counts, though it was ready for most of an hour"
        assert isinstance(story.planned().step, Launch), "and that is the end of it"


def test_a_hiccup_of_a_replica_that_has_long_been_sound_takes_no_forgiveness_back():
    story = Story().planned()
    for attempt in range(1, 5):
        story.intended(attempt).created(attempt).ready(attempt).gone(attempt)
    story.intended(5).created(5).ready(5).wait(days=3)
    assert failures_in_a_row(story.tell(ReplicaNotReady, attempt=5, why="busy").state) == ()
    story.wait(seconds=20).ready(5).wait(minutes=10).gone(5)
    assert failures_in_a_row(story.state) == ()


def test_old_prices_are_looked_at_again_before_money_is_spent():
    story = Story().served().wait(hours=1).tell(ScaleRequested, replicas=2, by="U")
    assert story.step == Plan()


def test_the_cost_is_the_price_times_the_time():
    story = Story().planned(offer(price="6")).intended(1, 1, offer(price="6")).created(1, offer(price="6")).ready()
    assert story.state.usd_per_hour == 6
    assert story.state.spent(story.state.attempts[0].machine.created_at + timedelta(minutes=10)) == 1


class World(RuleBasedStateMachine):
    """A deployment, a cloud that answers as it likes, and workers that run twice or not at all."""

    @initialize(replicas=st.integers(1, 3))
    def begin(self, replicas):
        self.story = Story(replicas)
        self.story.planned(*(offer(f"z{n}", str(n)) for n in range(1, 5)))
        self.machines = set()

    @rule(answer=st.sampled_from(["made", "refused", "made, answer lost", "lost"]))
    def act(self, answer):  # noqa: C901 - a branch for each step
        story, step = self.story, self.story.step
        match step:
            case Launch():
                story.intended(step.attempt, step.replica, step.offers[0])
            case Create(attempt):
                number = attempt.number
                if "made" in answer:
                    self.machines.add(number)
                if answer == "made":
                    story.created(number, attempt.offer)
                if answer == "refused" and number not in self.machines:
                    story.refused(number, an_offer=attempt.offer)
            case Terminate(attempt):
                self.machines.discard(attempt.number)
                if answer != "lost":
                    story.gone(attempt.number, "ended")
            case GiveUp():
                story.tell(ReplicaGivenUp, attempt=step.attempt, why=step.why, failure=step.failure)
            case Drain():
                story.tell(ReplicaDraining, attempt=step.attempt, why=step.why)
            case Keep():
                story.tell(ReplicaKept, attempt=step.attempt)
            case Abandon(why):
                story.tell(ReplicasAbandoned, why=why)
            case TestStep():
                story.tell(TestCompletionAnswered, prompt="p", text="t", seconds=0.1)
            case Exhaust(why):
                story.tell(LadderExhausted, why=why)
            case End(failed):
                story.tell(DeploymentEnded, failed=failed)
            case Plan():
                story.planned(*(offer(f"z{n}", str(n)) for n in range(1, 5)))
            case Wait():
                story.wait(seconds=30)

    @precondition(lambda self: self.machines)
    @rule(data=st.data(), event=st.sampled_from(["ready", "failing", "dies"]))
    def observe(self, data, event):
        number = data.draw(st.sampled_from(sorted(self.machines)))
        if event == "ready":
            self.story.ready(number)
        elif event == "failing":
            self.story.tell(ReplicaNotReady, attempt=number, why="timeout")
        elif any(a.number == number and a.machine for a in self.story.state.attempts):
            self.machines.discard(number)
            self.story.gone(number)

    @precondition(lambda self: self.machines)
    @rule(data=st.data(), again=st.booleans(), times=st.integers(1, 5))
    def engine_ends(self, data, again, times):
        number = data.draw(st.sampled_from(sorted(self.machines)))
        for start in range(times):
            self.story.engine_ended(number, start, again=again)

    @rule(drained=st.booleans())
    def route(self, drained):
        """What the gateway tells: a route where a replica is ready, and the end of drains, also too late."""
        state = self.story.state
        if state.ready and state.endpoint is None:
            self.story.tell(EndpointPublished, url="http://gateway")
        for attempt in state.attempts:
            if drained and (attempt.phase is Phase.DRAINING or attempt.number == 1):
                self.story.tell(ReplicaDrained, attempt=attempt.number)

    @rule(replicas=st.integers(0, 4))
    def scale(self, replicas):
        if not self.story.state.ended:
            self.story.tell(ScaleRequested, replicas=replicas, by="U")

    @rule()
    def stop(self):
        if not self.story.state.ended:
            self.story.tell(StopRequested, by="U")

    @invariant()
    def every_machine_is_known_to_the_log(self):
        if not hasattr(self, "story"):
            return
        may_cost = {a.number for a in self.story.state.attempts if a.phase in MAY_COST}
        assert self.machines <= may_cost

    @invariant()
    def nothing_is_decided_for_what_is_gone(self):
        """Such a decision changes nothing, and would be taken for ever."""
        if not hasattr(self, "story"):
            return
        step = self.story.step
        if isinstance(step, GiveUp | Drain):
            assert next(a for a in self.story.state.attempts if a.number == step.attempt).phase in KEPT

    @invariant()
    def no_more_is_asked_for_than_is_wanted(self):
        if not hasattr(self, "story"):
            return
        step = self.story.step
        if isinstance(step, Launch):
            assert len(self.story.state.live) < self.story.state.wanted

    def teardown(self):
        """Left alone, every deployment settles: exactly the wanted machines, or an end with none."""
        if not hasattr(self, "story"):
            return
        for _ in range(400):
            self.act("made")
            self.route(drained=True)
            for number in sorted(self.machines):
                attempt = next(a for a in self.story.state.attempts if a.number == number)
                if attempt.phase in (Phase.STARTING, Phase.NOT_READY):
                    self.story.ready(number)
        state = self.story.state
        if state.abandoned is None:
            assert len(self.machines) == (0 if state.ended else state.wanted)


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_fold_goes_on_from_anywhere(cut):
    story = Story(2).served().intended(2, 2).refused(2).tell(StopRequested, by="U").gone(1).tell(DeploymentEnded)
    assert fold(ID, story.events[cut:], onto=fold(ID, story.events[:cut])) == story.state
