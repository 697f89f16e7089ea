"""The decision: every step in every situation, and the properties that must hold whatever happens."""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.builders.machines import boot, request
from tests.builders.offers import offer
from tests.builders.story import Timeline
from workers.decision.next_step import (
    Abandon,
    Create,
    Drain,
    EndDeployment,
    Exhaust,
    GiveUp,
    Keep,
    LaunchReplica,
    PlanLadder,
    Terminate,
    Wait,
    next_step,
)
from workers.decision.next_step import Test as TestStep
from workers.decision.retry_policy import BOOTS_WITHIN, failures_in_a_row
from workers.deployment.attempt import KEPT, MAY_COST, Phase
from workers.deployment.condition import DeploymentStatus, condition_of
from workers.deployment.events import (
    Control,
    Failure,
    KeepTryingRequested,
    LadderPlanned,
    LaunchIntended,
    ProbeFailed,
    ReplicaDraining,
    ReplicaNotReady,
)
from workers.deployment.state import fold
from workers.machines import BootPhase
from workers.placement.ladder import Rung
from workers.placement.refusals import Scope


def test_a_request_is_planned_first():
    assert Timeline().step == PlanLadder()


def test_the_cheapest_usable_rung_is_asked_for():
    story = Timeline().tell(
        LadderPlanned,
        rungs=(Rung(offer=offer("r-1"), usable=False, reason="no credentials"), Rung(offer=offer("r-2"), usable=True)),
    )
    assert story.step == LaunchReplica(attempt=1, replica=1, offers=(offer("r-2"),))


def test_an_intent_is_acted_on():
    assert isinstance(Timeline().planned().asked().step, Create)


def test_a_refused_zone_is_left_out_until_its_block_ends():
    story = Timeline().planned(offer("r-1"), offer("r-2", 2)).asked().refused()
    assert story.step == LaunchReplica(attempt=2, replica=1, offers=(offer("r-2", 2),))


def test_a_refused_cloud_rules_out_its_every_offer():
    aws = offer("aws r-9", 9)
    story = Timeline().planned(offer("r-1"), offer("r-2", 2), aws).asked().refused(scope=Scope.CLOUD)
    assert story.step == LaunchReplica(attempt=2, replica=1, offers=(aws,))


def test_a_dry_ladder_without_a_machine_is_told_and_ended_after_a_while():
    story = Timeline().planned().asked().refused()
    assert story.step == Exhaust("No machine is available. 1 offer: no capacity.")
    story.exhausted("dry")
    assert condition_of(story.state).status is DeploymentStatus.NO_CAPACITY
    assert story.step == Wait(until=story.now + timedelta(minutes=10))
    assert story.wait(minutes=10).step == EndDeployment(failed="dry")


def test_a_ladder_that_only_another_recipe_can_mend_ends_the_deployment_at_once():
    story = Timeline().planned(offer("r-1"), offer("q-1", 2)).asked()
    story.refused("the machine image does not exist", code="imageNotFound", scope=Scope.CLOUD)
    assert story.step == EndDeployment(failed="No machine is available. 2 offers: the machine image does not exist.")


@pytest.mark.parametrize("other", ["forbidden", "ZONE_RESOURCE_POOL_EXHAUSTED"])
def test_a_ladder_that_time_or_the_cloud_s_settings_can_mend_too_is_dry(other):
    story = Timeline().planned(offer("r-1"), offer("aws use1-az1", 2, region="us-east-1"))
    story.asked().refused("the machine image does not exist", code="imageNotFound", scope=Scope.CLOUD)
    story.asked(offer("aws use1-az1", 2, region="us-east-1")).refused("no", code=other, scope=Scope.CLOUD)
    assert isinstance(story.step, Exhaust)


def test_a_ladder_that_only_another_recipe_can_mend_does_not_end_what_has_answered():
    story = Timeline().planned().asked().created().ready().gone()
    story.asked().refused("the machine image does not exist", code="imageNotFound", scope=Scope.CLOUD)
    assert not isinstance(story.step, EndDeployment)


def test_a_dry_ladder_is_climbed_again_where_somebody_asked_to_keep_trying():
    story = Timeline().planned().asked().refused().exhausted("dry")
    dry = story.now
    every, until = timedelta(minutes=5), dry + timedelta(hours=1)
    story.tell(KeepTryingRequested, by="U", every=every, until=until)
    assert story.step == Wait(until=dry + every)
    story.wait(minutes=5)
    assert story.step == PlanLadder()
    assert isinstance(story.planned().step, LaunchReplica)
    story.asked().refused().exhausted("dry").wait(hours=1)
    assert story.step == EndDeployment(failed="dry")


def test_a_throttle_is_waited_for_instead_of_paying_more():
    story = Timeline().planned(offer("r-1"), offer("r-2", 2)).asked().refused(scope=Scope.BACK_OFF)
    assert isinstance(story.step, Wait)
    assert story.wait(minutes=5).step == LaunchReplica(attempt=2, replica=1, offers=(offer("r-1"),))


def test_one_call_asks_for_all_zones_of_the_region_at_that_price():
    story = Timeline().planned(offer("r-1"), offer("r-2"), offer("r-3", 2))
    assert story.step.offers == (offer("r-1"), offer("r-2"))


def test_a_dry_ladder_is_tried_again_where_something_answers():
    story = Timeline(replicas=2).served().asked().refused()
    assert isinstance(story.step, Exhaust)
    story.exhausted("dry")
    assert story.step == Wait(until=story.now + timedelta(minutes=1))
    assert story.wait(minutes=11).step == PlanLadder()


def test_an_unusable_ladder_says_why_and_what_mends_it():
    rung = Rung(offer=offer(), usable=False, reason="AWS: no credentials found", mend="run `aws configure`")
    step = Timeline().tell(LadderPlanned, rungs=(rung,)).step
    assert step == EndDeployment(
        failed="No machine is available. 1 offer: AWS: no credentials found. To fix it: run `aws configure`."
    )


def test_a_starting_replica_is_waited_for_until_its_initial_delay():
    story = Timeline().planned().asked().created()
    assert story.step == Wait(until=story.now + timedelta(seconds=1200))
    step = story.wait(seconds=1200).step
    assert isinstance(step, GiveUp)
    assert step.failure
    assert "not ready 1200 s after the machine started" in step.why


def booting(phase, **bytes_):
    return Timeline().planned().asked().created().wait(minutes=4).progressed("at work", phase, **bytes_)


def test_the_initial_delay_begins_when_the_engine_is_started():
    story = booting(BootPhase.BOOTING).wait(minutes=5).progressed("pulling v:1", BootPhase.PULLING).wait(minutes=14)
    story.progressed("starting m", BootPhase.LOADING)
    assert story.step == Wait(until=story.now + timedelta(seconds=1200))
    step = story.wait(seconds=1200).step
    assert isinstance(step, GiveUp)
    assert step.failure is Failure.INITIAL_DELAY
    assert step.why == "its engine was not ready 1200 s after it was started"


@pytest.mark.parametrize(
    ("phase", "minutes", "says"),
    [
        (BootPhase.BOOTING, 20, "still booting after 20 min (50 % done; at work)"),
        (BootPhase.INSTALLING, 60, "(Docker, or the recipe's setup) took longer than 60 min (50 % done; at work)"),
        (BootPhase.PULLING, 40, "pull of the container image took longer than 40 min (50 % done; at work)"),
    ],
)
def test_each_phase_of_a_boot_has_its_own_limit_and_is_named_when_it_takes_too_long(phase, minutes, says):
    story = booting(phase, done=5, total=10)
    assert story.step == Wait(until=story.now + timedelta(minutes=minutes))
    step = story.wait(minutes=minutes).step
    assert isinstance(step, GiveUp)
    assert says in step.why


def test_a_download_of_weights_that_moves_is_not_held_against_the_engine_and_is_bounded():
    story = booting(BootPhase.LOADING)
    began = story.now
    for gb in range(1, 200):
        story.wait(seconds=59)
        if not isinstance(story.step, Wait):
            break
        story.progressed("at work", BootPhase.LOADING, done=gb * 10**9, total=200 * 10**9)
        until = min(story.now, began + timedelta(minutes=60)) + timedelta(minutes=20)
        assert story.now >= until or story.step == Wait(until=until)
    assert isinstance(story.step, GiveUp)
    assert timedelta(minutes=79) < story.now - began < timedelta(minutes=82)


def test_a_download_that_stands_still_delays_nothing():
    story = booting(BootPhase.LOADING).wait(seconds=60).progressed("x", BootPhase.LOADING, done=10**9, total=10**10)
    moved = story.now
    for _ in range(5):
        story.wait(seconds=60).progressed("x", BootPhase.LOADING, done=10**9, total=10**10)
    assert story.step == Wait(until=moved + timedelta(seconds=1200))


def test_a_machine_that_boots_again_and_again_gets_no_phase_twice():
    story = booting(BootPhase.BOOTING)
    began = story.now
    story.wait(minutes=2).progressed("x", BootPhase.LOADING)
    loading = story.now
    for _ in range(5):
        story.wait(minutes=3).progressed("x", BootPhase.BOOTING).wait(seconds=30).progressed("x", BootPhase.LOADING)
    assert [stage.since for stage in story.state.attempts[0].boot] == [began, loading]
    assert story.step == Wait(until=loading + timedelta(seconds=1200))


def test_a_cloud_s_machine_that_reports_nothing_is_given_time_to_boot_and_is_bounded():
    story = Timeline().planned()
    asked = request("t-1", (offer(),), attempt=1, boots_within=BOOTS_WITHIN)
    story.tell(LaunchIntended, request=asked).created()
    assert story.step == Wait(until=story.now + BOOTS_WITHIN + asked.boot.initial_delay)
    step = story.wait(minutes=45).step
    assert isinstance(step, GiveUp)
    assert "not ready 2400 s after the machine started, and its console reported no phase" in step.why


@pytest.mark.parametrize("phase", [BootPhase.BOOTING, BootPhase.INSTALLING, BootPhase.PULLING])
@pytest.mark.parametrize("minutes", [20, 70])
def test_a_console_that_falls_silent_ends_no_machine_earlier_than_one_that_never_spoke(phase, minutes):
    story = Timeline().planned()
    delay = timedelta(minutes=minutes)
    asked = request("t-1", (offer(),), attempt=1, boots_within=BOOTS_WITHIN, boot=boot(initial_delay=delay))
    story.tell(LaunchIntended, request=asked).created()
    silent_all_the_time = story.now + BOOTS_WITHIN + delay
    story.wait(seconds=30).progressed("at work", phase)
    assert isinstance(story.step, Wait)
    assert story.step.until is not None
    assert story.step.until >= silent_all_the_time
    step = story.wait(minutes=100).step
    assert isinstance(step, GiveUp)
    if minutes == 70:
        assert f"5400 s after the machine started; the last phase in its console is {phase} (at work)" in step.why


def test_once_the_gateway_has_a_route_the_endpoint_is_tested_and_then_left_alone():
    story = Timeline().planned().asked().created().ready()
    assert isinstance(story.step, Wait)
    story.published("http://gateway")
    assert story.step == TestStep("http://gateway")
    story.tested()
    assert story.step == Wait(until=None)
    assert condition_of(story.state).status is DeploymentStatus.READY


def test_scaling_up_fills_the_free_replica_number():
    story = Timeline().served().scaled(2)
    assert story.step == LaunchReplica(attempt=2, replica=2, offers=(offer(),))


def test_scaling_down_ends_what_serves_least_then_the_dearest():
    story = Timeline(replicas=3).planned().asked().created().ready()
    story.asked(offer("r-2", 5)).created().ready().asked().created()
    story.scaled(2)
    assert story.step.attempt == 3
    story.given_up(attempt=3).scaled(1).gone(attempt=3)
    assert story.step.attempt == 2


def test_a_replica_that_may_be_answering_is_drained_before_it_ends():
    story = Timeline(replicas=2).served().asked().created().ready().scaled(1)
    assert story.step == Drain(2, "scaled down")
    story.draining(2)
    assert condition_of(story.state).status is DeploymentStatus.SCALING
    assert isinstance(story.step, Wait)
    assert isinstance(story.drained(2).step, Terminate)
    assert story.gone(attempt=2).state.attempts[1].phase is Phase.ENDED


def test_a_replica_that_is_taken_back_while_it_drains_counts_against_its_zone():
    story = Timeline(replicas=2).served().asked().created().ready()
    story.scaled(1).draining(2)
    story.gone("taken back", 2, preempted=True)
    assert story.state.attempts[1].phase is Phase.PREEMPTED
    assert isinstance(story.step, Wait), "nobody wants another in its place"


def test_a_drain_that_never_ends_is_cut_short():
    story = Timeline(replicas=2).served().asked().created().ready().scaled(1)
    story.draining(2)
    step = story.wait(minutes=15).step
    assert isinstance(step, GiveUp)
    assert step.failure is None


def test_a_replica_that_drains_is_taken_back_before_a_new_one_is_bought():
    story = Timeline(replicas=2).served().asked().created().ready().scaled(1)
    story.draining(2).scaled(2)
    assert story.step == Keep(2)
    story.kept(2).drained(2)  # the gateway was a moment late
    assert condition_of(story.state).status is DeploymentStatus.READY


def test_scaled_to_zero_is_a_rest_and_not_an_end():
    story = Timeline().served().scaled(0)
    story.draining(1).drained(1).gone(attempt=1)
    assert condition_of(story.state).status is DeploymentStatus.SCALED_TO_ZERO
    assert story.step == Wait()
    assert isinstance(story.moved(1, "a request waits").step, LaunchReplica)


def test_a_replica_that_crashes_again_and_again_is_given_up_while_the_others_serve_on():
    story = Timeline(replicas=2).served()
    for _ in range(5):
        story.wait(hours=1).planned().asked().created().gone()
    step = story.step
    assert isinstance(step, Abandon)
    assert "5 times in a row" in step.why
    assert "status 1" in step.why
    story.abandoned(step.why)
    assert condition_of(story.state).status is DeploymentStatus.DEGRADED
    assert isinstance(story.wait(hours=9).step, Wait)
    story.scaled(2).planned()
    assert isinstance(story.step, LaunchReplica)


def test_when_the_last_replica_goes_what_was_given_up_is_tried_again():
    story = Timeline(replicas=2).served()
    for _ in range(5):
        story.asked().created().gone()
    story.abandoned("they crash").wait(days=1)
    story.gone("taken back", 1, preempted=True).planned()
    assert isinstance(story.step, LaunchReplica)


def test_how_a_replica_failed_is_kept():
    story = Timeline().planned().asked().created().gone()
    assert story.state.attempts[0].failure is Failure.CRASHED
    story = Timeline().planned().asked().created().wait(seconds=1200)
    story.given_up(story.step.why, 1, story.step.failure).gone(attempt=1)
    assert story.state.attempts[0].failure is Failure.INITIAL_DELAY
    assert story.state.attempts[0].phase is Phase.FAILED


def test_a_stop_ends_every_machine_before_the_deployment():
    story = Timeline().served().stopped()
    assert isinstance(story.step, Terminate)
    assert story.gone(attempt=1).step == EndDeployment()
    assert story.ended().step == Wait()
    assert condition_of(story.state).status is DeploymentStatus.ENDED


def test_a_stop_during_a_create_ends_the_machine_that_comes_of_it():
    story = Timeline().planned().asked().stopped()
    assert isinstance(story.step, Terminate)
    story.created()
    assert isinstance(story.step, Terminate)


def test_a_machine_that_turns_up_after_the_end_is_ended():
    story = Timeline().planned().asked().stopped().gone().ended()
    assert story.step == Wait()
    assert isinstance(story.created().step, Terminate)


def test_a_machine_beats_the_refusal_of_a_rival_worker():
    assert Timeline().planned().asked().created().refused().state.attempts[0].phase is Phase.STARTING
    assert isinstance(Timeline().planned().asked().refused().created().step, Terminate)


def test_an_engine_that_dies_at_start_is_tried_twice():
    story = Timeline().planned().asked().created().gone()
    assert story.step == LaunchReplica(attempt=2, replica=1, offers=(offer(),))
    step = story.asked().created().gone().step
    assert isinstance(step, EndDeployment)
    assert "failed to start 2 times in a row" in step.failed


def test_a_replica_that_dies_is_replaced_and_a_crash_loop_is_backed_off():
    story = Timeline().served().gone()
    assert isinstance(story.step, LaunchReplica)
    story.asked().created().ready().gone()
    assert isinstance(story.step, Wait)
    assert isinstance(story.wait(minutes=1).step, LaunchReplica)


def test_a_failing_replica_is_given_time_and_then_replaced():
    story = Timeline().served().not_ready()
    assert condition_of(story.state).status is DeploymentStatus.NOT_READY
    assert isinstance(story.step, Wait)
    assert isinstance(story.wait(seconds=180).step, GiveUp)


def test_a_replica_is_given_180_seconds_from_its_first_failed_probe():
    story = Timeline().served()
    story.wait(seconds=42).tell(ReplicaNotReady, attempt=1, why="timeout", since=story.now - timedelta(seconds=31))
    assert isinstance(story.wait(seconds=140).step, Wait)
    assert isinstance(story.wait(seconds=9).step, GiveUp)


def test_a_replica_that_fails_its_probe_and_answers_requests_drains_and_counts_as_failed():
    story = Timeline().served().not_ready().wait(seconds=180)
    step = next_step(story.state, story.now, streaming={1})
    assert isinstance(step, Drain)
    assert step.failure is Failure.PROBING
    story.tell(ReplicaDraining, attempt=1, why=step.why, failure=step.failure)
    assert isinstance(story.step, LaunchReplica), "it is replaced, and not kept in place of a new one"
    assert len(failures_in_a_row(story.state)) == 1
    story.asked().created()
    assert story.step == Wait(until=story.state.attempts[0].since + timedelta(minutes=15))
    late = next_step(story.state, story.now + timedelta(minutes=15), streaming={1})
    assert isinstance(late, GiveUp)
    assert late.failure is Failure.PROBING
    story.drained(1).gone(attempt=1)
    assert story.state.attempts[0].phase is Phase.FAILED


def test_a_replica_whose_engine_has_ended_is_given_up_whatever_the_gateway_believes():
    story = Timeline().served().not_ready().engine_ended(start=3, again=False)
    assert isinstance(next_step(story.state, story.now, streaming={1}), GiveUp)


@pytest.mark.parametrize("established", [False, True])
def test_an_engine_that_refuses_its_key_is_given_up_at_once_and_tried_again_only_if_others_were_ready(established):
    story = Timeline().served().gone() if established else Timeline().planned()
    story.asked().created()
    number = story.state.attempts[-1].number
    story.tell(ProbeFailed, attempt=number, why="this engine asks for another key")
    assert isinstance(story.step, Wait), "one refusal may be of a proxy"
    story.tell(ProbeFailed, attempt=number, why="this engine asks for another key", key_refused=True)
    assert story.step == GiveUp(number, "this engine asks for another key", failure=Failure.KEY_REFUSED)
    story.given_up("this engine asks for another key", number, Failure.KEY_REFUSED).gone(attempt=number)
    if established:
        assert isinstance(story.step, Wait)
    else:
        assert story.step == EndDeployment(failed="No replica is ready: this engine asks for another key.")


def test_a_replica_whose_machine_starts_its_engine_again_has_as_long_as_the_first_time_on_top():
    story = Timeline().planned().asked().created().wait(seconds=100).ready()
    story.published("http://h").tested()
    story.not_ready("refused", 1).engine_ended(start=1)
    assert story.step == Wait(until=story.state.attempts[0].since + timedelta(seconds=180 + 102))
    ready = story.wait(seconds=200).ready(1).state.attempts[0]
    assert ready.phase is Phase.READY
    assert ready.engine_end is None, "it is over"
    assert ready.engine_ends == 1, "and not told again"


@pytest.mark.parametrize("ready", [False, True])
def test_a_replica_whose_machine_has_given_up_is_replaced_at_once(ready):
    story = Timeline().served() if ready else Timeline().planned().asked().created()
    if ready:
        story.not_ready("refused", 1)
    assert isinstance(story.engine_ended(start=1).step, Wait)
    step = story.engine_ended(start=3, again=False).step
    assert step == GiveUp(1, "vllm exited with status 1", failure=Failure.CRASHED)
    story.given_up(step.why, 1, step.failure).gone(attempt=1)
    assert story.state.attempts[0].phase is Phase.FAILED
    assert isinstance(story.planned().step, LaunchReplica)


def test_an_engine_that_answers_after_all_has_not_given_up():
    story = Timeline().served().engine_ended(again=False)
    assert isinstance(story.step, Wait)
    story.not_ready("refused", 1)
    assert story.step == Wait(until=story.now + timedelta(seconds=180)), "nor later, when its probe fails"


@pytest.mark.parametrize(("minutes", "replaced"), [(10, True), (31, False)])
def test_an_engine_that_ends_again_and_again_is_not_left_to_its_machine(minutes, replaced):
    story = Timeline().served()
    for start in range(1, 20):
        story.wait(minutes=minutes).not_ready("refused", 1).engine_ended(start=start)
        if isinstance(story.step, GiveUp):
            break
        story.wait(seconds=60).ready(1)
    assert isinstance(story.step, GiveUp) == replaced
    if replaced:
        assert start == 5
        assert "5 times without answering for 30 min in between" in story.step.why
        story.given_up(story.step.why, 1, Failure.CRASHED).gone(attempt=1)
        assert len(failures_in_a_row(story.state)) == 1, "it counts, though it was ready for most of an hour"
        assert isinstance(story.planned().step, LaunchReplica), "and that is the end of it"


def test_a_hiccup_of_a_replica_that_has_long_been_sound_takes_no_forgiveness_back():
    story = Timeline().planned()
    for _ in range(4):
        story.asked().created().ready().gone()
    story.asked().created().ready().wait(days=3)
    assert failures_in_a_row(story.not_ready("busy", 5).state) == ()
    story.wait(seconds=20).ready(5).wait(minutes=10).gone(attempt=5)
    assert failures_in_a_row(story.state) == ()


def test_old_prices_are_looked_at_again_before_money_is_spent():
    story = Timeline().served().wait(hours=1).scaled(2)
    assert story.step == PlanLadder()


def test_the_cost_is_the_price_times_the_time():
    story = Timeline().planned(offer(usd=6)).asked().created().ready()
    assert story.state.usd_per_hour == 6
    assert story.state.spent(story.state.attempts[0].machine.created_at + timedelta(minutes=10)) == 1


class World(RuleBasedStateMachine):
    """A deployment, a cloud that answers as it likes, and workers that run twice or not at all."""

    @initialize(replicas=st.integers(1, 3))
    def begin(self, replicas):
        self.story = Timeline(replicas=replicas)
        self.story.planned(*(offer(f"r-{n}", n) for n in range(1, 5)))
        self.machines = set()

    @rule(answer=st.sampled_from(["made", "refused", "made, answer lost", "lost"]))
    def act(self, answer):  # noqa: C901 - a branch for each step
        story, step = self.story, self.story.step
        match step:
            case LaunchReplica():
                story.asked(step.offers[0], attempt=step.attempt, replica=step.replica)
            case Create(attempt):
                number = attempt.number
                if "made" in answer:
                    self.machines.add(number)
                if answer == "made":
                    story.created(attempt=number)
                if answer == "refused" and number not in self.machines:
                    story.refused(attempt=number)
            case Terminate(attempt):
                self.machines.discard(attempt.number)
                if answer != "lost":
                    story.gone("ended", attempt.number)
            case GiveUp():
                story.given_up(step.why, step.attempt, step.failure)
            case Drain():
                story.draining(step.attempt, step.why)
            case Keep():
                story.kept(step.attempt)
            case Abandon(why):
                story.abandoned(why)
            case TestStep():
                story.tested()
            case Exhaust(why):
                story.exhausted(why)
            case EndDeployment(failed):
                story.ended(failed)
            case PlanLadder():
                story.planned(*(offer(f"r-{n}", n) for n in range(1, 5)))
            case Wait():
                story.wait(seconds=30)

    @precondition(lambda self: self.machines)
    @rule(data=st.data(), event=st.sampled_from(["ready", "failing", "dies"]))
    def observe(self, data, event):
        number = data.draw(st.sampled_from(sorted(self.machines)))
        if event == "ready":
            self.story.ready(number)
        elif event == "failing":
            self.story.not_ready("timeout", number)
        elif any(a.number == number and a.machine for a in self.story.state.attempts):
            self.machines.discard(number)
            self.story.gone(attempt=number)

    @precondition(lambda self: self.machines)
    @rule(data=st.data(), again=st.booleans(), times=st.integers(1, 5))
    def engine_ends(self, data, again, times):
        number = data.draw(st.sampled_from(sorted(self.machines)))
        for start in range(times):
            self.story.engine_ended(start=start, attempt=number, again=again)

    @precondition(lambda self: self.machines)
    @rule(data=st.data(), what=st.sampled_from(Control), regained=st.booleans())
    def control(self, data, what, regained):
        number = data.draw(st.sampled_from(sorted(self.machines)))
        if regained:
            self.story.control_regained(what, number)
        else:
            self.story.control_lost(what, "denied", attempt=number)

    @rule(drained=st.booleans())
    def route(self, drained):
        """What the gateway tells: a route where a replica is ready, and the end of drains, also too late."""
        state = self.story.state
        if state.ready and state.endpoint is None:
            self.story.published("http://gateway")
        for attempt in state.attempts:
            if drained and (attempt.phase is Phase.DRAINING or attempt.number == 1):
                self.story.drained(attempt.number)

    @rule(replicas=st.integers(0, 4))
    def scale(self, replicas):
        if not self.story.state.ended:
            self.story.scaled(replicas)

    @rule()
    def stop(self):
        if not self.story.state.ended:
            self.story.stopped()

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
        if isinstance(step, LaunchReplica):
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
    story = Timeline(replicas=2).served().asked().refused().stopped().gone(attempt=1).ended()
    assert fold(story.id, story.events[cut:], onto=fold(story.id, story.events[:cut])) == story.state


def test_an_end_that_the_cloud_refuses_comes_after_the_others():
    told = Timeline(replicas=2).planned().asked().created().ready().asked().created().ready()
    told.stopped().control_lost(Control.END, "protected", attempt=1)
    assert told.step.attempt.number == 2
    told.gone("ended by request", 2)
    assert told.step.attempt.number == 1


def test_a_machine_that_is_billed_is_ended_before_the_cloud_of_a_lost_call_is_asked():
    """A cloud without answers takes minutes to say that it has none."""
    told = Timeline(replicas=2).planned().asked().asked().created(attempt=2)
    told.given_up(attempt=1).given_up(attempt=2)
    assert told.step.attempt.number == 2
    told.gone("scaled down", 2).scaled(0)
    assert told.step.attempt.number == 1
