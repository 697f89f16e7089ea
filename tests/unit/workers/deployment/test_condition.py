"""One answer to how a deployment stands, and nobody who gives another one."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.commands.context import Caller
from bot.commands.scale_handler import scale_to
from bot.commands.sight import Sight
from bot.prompting.routing import AnswersNow, HasEnded, HasToWait, availability
from bot.views import alerts as notices
from bot.views import card, endpoint, status, words
from tests.builders.recipes import SCRIPTED, scaled_by
from tests.builders.story import Timeline
from tests.fakes.office import Directory
from workers.deployment import condition
from workers.deployment.attempt import MAY_COST, Phase
from workers.deployment.condition import DeploymentStatus, awaits_decision, condition_of, is_asleep, is_ending
from workers.deployment.events import KeepTryingRequested
from workers.gateway.outlook import outlook
from workers.policy.schema import Policy

WAKES = scaled_by(min_replicas=0, max_replicas=2)

ALONE = ("planned", "refused", "exhausted", "abandoned", "published", "keep_trying")
NUMBERED = (*(("scaled", n) for n in (0, 1, 2)), *(("moved", n) for n in (0, 1, 2)))
OF_ONE = ("intended", "created", "ready", "not_ready", "gone", "given_up", "draining", "kept", "drained")
STEPS = st.sampled_from([*((kind, 0) for kind in ALONE), *NUMBERED, *((kind, n) for kind in OF_ONE for n in (1, 2))])
ENDS = st.sampled_from([(), (), (), (), (), (), ("stopped",), ("stopped", "ended"), ("failed",)])


def told(steps, replicas=1, recipe=WAKES):
    """A story of these steps; those of an attempt that was never asked for, or twice, are left out."""
    story = Timeline("m", recipe, replicas=replicas)
    for kind, number in steps:
        known = any(a.number == number for a in story.state.attempts)
        match kind:
            case "intended" if not known:
                story.asked(attempt=number, replica=number)
            case "created" | "ready" | "gone" | "draining" | "kept" | "drained" | "not_ready" | "given_up" if known:
                getattr(story, kind)(attempt=number)
            case "refused" if any(a.number == 1 for a in story.state.attempts):
                story.refused(attempt=1)
            case "scaled" | "moved":
                getattr(story, kind)(number)
            case "published":
                story.published("http://gateway")
            case "keep_trying":
                every, until = timedelta(minutes=5), story.now + timedelta(hours=1)
                story.tell(KeepTryingRequested, by="U", every=every, until=until)
            case "failed":
                story.ended("No machine.")
            case "planned" | "exhausted" | "abandoned" | "stopped" | "ended":
                getattr(story, kind)()
    return story


def of(*kinds, **how):
    """The state after these, each of the first attempt unless it names another."""
    return told([kind if isinstance(kind, tuple) else (kind, 1) for kind in kinds], **how).state


SERVED = ("planned", "intended", "created", "ready", "published")
WITHOUT_REPLICA = (*SERVED, "gone", "abandoned")
ASKED_WHILE_DRY = ("planned", "intended", "exhausted")
SILENT_AT_ZERO = (*SERVED, "not_ready", ("moved", 0))


def status_before(state):
    """What a deployment's status was before there was a condition, word for word."""
    if state.ended:
        return DeploymentStatus.FAILED if state.ended.failed else DeploymentStatus.ENDED
    if state.stopped_by is not None:
        return DeploymentStatus.ENDING
    if state.wanted == 0:
        return (
            DeploymentStatus.SCALING
            if any(a.phase in MAY_COST for a in state.attempts)
            else DeploymentStatus.SCALED_TO_ZERO
        )
    if state.abandoned is not None and (state.ready or not state.live):
        return DeploymentStatus.DEGRADED
    if state.ready:
        whole = len(state.ready) >= state.wanted and all(a.phase is not Phase.DRAINING for a in state.attempts)
        return DeploymentStatus.READY if whole else DeploymentStatus.SCALING
    if any(a.phase is Phase.NOT_READY for a in state.attempts):
        return DeploymentStatus.NOT_READY
    if any(a.phase is Phase.STARTING for a in state.attempts):
        return DeploymentStatus.STARTING
    if state.exhausted is not None:
        return DeploymentStatus.NO_CAPACITY
    return DeploymentStatus.PROVISIONING if state.planned_at else DeploymentStatus.PLANNING


def one_is_asked_for_while_dry(state):
    """The one state whose status has changed: a cloud is asked for a machine, and "no capacity" was said of it."""
    return status_before(state) is DeploymentStatus.NO_CAPACITY and bool(state.live)


BEGINNINGS = (
    (),
    ("planned", "intended"),
    ("planned", "intended", "created"),
    SERVED,
    (*SERVED, ("intended", 2), ("created", 2)),
    (*SERVED, ("intended", 2), ("created", 2), ("ready", 2)),
    (*SERVED, "not_ready"),
    (*SERVED, "gone"),
    (*SERVED, "gone", "exhausted"),
    WITHOUT_REPLICA,
    ("planned", "exhausted"),
)


def history(begun, steps, end, replicas, recipe):
    return told(
        [*((k if isinstance(k, tuple) else (k, 1)) for k in begun), *steps, *((k, 1) for k in end)], replicas, recipe
    )


HISTORIES = st.builds(
    history,
    st.sampled_from(BEGINNINGS),
    st.lists(STEPS, max_size=6),
    ENDS,
    st.integers(1, 2),
    st.sampled_from((SCRIPTED, WAKES)),
)


@given(HISTORIES)
@settings(max_examples=600, deadline=None)
def test_whatever_happened_there_is_one_condition_with_the_status_that_it_always_had(story):
    state = story.state
    stands, expected = condition_of(state), status_before(state)
    if one_is_asked_for_while_dry(state):
        expected = DeploymentStatus.PROVISIONING if state.planned_at else DeploymentStatus.PLANNING
    assert stands.status is expected
    assert is_ending(state) == isinstance(stands, condition.Ending | condition.Ended | condition.Failed)
    assert is_asleep(state) == (isinstance(stands, condition.ScaledToZero) and stands.wakes)


@given(HISTORIES)
@settings(max_examples=600, deadline=None)
@example(told([(kind, 1) for kind in (*SERVED, "not_ready")] + [("moved", 0)]))
@example(told([(kind, 1) for kind in WITHOUT_REPLICA] + [("moved", 0)]))
@example(told([(kind, 1) for kind in SERVED] + [("abandoned", 1), ("not_ready", 1)], 2))
@example(told([("planned", 0), ("scaled", 0)]))
def test_the_gateway_and_the_answer_to_a_question_never_contradict(story):
    state = story.state
    hope = outlook(state, serving=False)
    match availability(state):
        case HasEnded():
            assert not hope.coming
            assert hope == outlook(None, serving=False) == outlook(state, serving=True)
        case AnswersNow():
            assert hope.coming
        case HasToWait(sentence=sentence, wake=wake):
            assert (wake is not None) == ("your question wakes it" in sentence)
            assert wake is None or (hope.coming and "starts a replica" in hope.sentence)
            if "no replica left" in sentence or "has not found a machine" in sentence:
                assert not hope.coming
            elif "starts a replica" in sentence:
                assert not hope.coming or state.endpoint is None  # whose route opens, and nobody has its address yet
            else:
                assert hope.coming
            if "no replica left" not in sentence:
                assert ("does not answer at the moment" in sentence) == ("it is replaced" in hope.sentence)


@given(HISTORIES)
@settings(max_examples=300, deadline=None)
def test_the_views_show_one_dot_one_decision_and_no_outage_that_is_none(story):
    state = story.state
    title, overview = words.title(state), status.overview([state], story.now)
    assert overview.blocks[0]["text"]["text"].startswith(title[: title.index(" ")])
    assert ("Keep trying" in str(card.card(state, story.now).blocks)) == awaits_decision(state)
    if not isinstance(condition_of(state), condition.Abandoned | condition.NoCapacity | condition.Looking):
        assert notices.out_since(state, story.now) is None


def test_replicas_that_failed_too_often_are_not_said_to_wake_by_a_request():
    state = of(*WITHOUT_REPLICA, ("moved", 0))
    assert not is_asleep(state)
    assert not outlook(state, serving=False).coming
    assert "starts a replica" in availability(state).sentence
    assert "/mixtral scale m 1" in words.now_happening(state, state.updated_at)
    assert words.verdict(state) == "is scaled to zero"
    assert notices.out_since(state, state.updated_at) is None


def test_one_that_still_starts_is_not_called_lost_because_another_was_given_up():
    state = of("planned", "intended", "created", ("intended", 2), ("gone", 2), "abandoned", replicas=2)
    assert condition_of(state).status is DeploymentStatus.STARTING
    assert "is starting" in availability(state).sentence
    assert outlook(state, serving=False).coming


def test_while_a_cloud_is_asked_nobody_has_to_decide():
    state = of(*ASKED_WHILE_DRY, replicas=2)
    assert condition_of(state) == condition.Looking()
    assert not awaits_decision(state)
    assert words.now_happening(state, state.updated_at).startswith("Asking")
    assert outlook(state, serving=False).coming


def test_a_replica_that_nobody_wants_any_more_is_not_said_to_be_replaced():
    state = of(*SILENT_AT_ZERO)
    assert "this request starts a replica" in outlook(state, serving=False).sentence
    assert availability(state).wake == "http://gateway"
    assert words.verdict(state) == "is scaling"


def test_a_question_is_not_said_to_wake_what_it_cannot_reach():
    state = of("planned", ("scaled", 0))
    assert availability(state) == HasToWait(sentence=availability(state).sentence)
    assert "is scaled to zero; `/mixtral scale m 1` starts a replica" in availability(state).sentence


def test_a_wish_to_keep_trying_that_has_run_out_is_asked_for_anew():
    story = told([("planned", 0), ("exhausted", 0), ("keep_trying", 0)])
    assert not awaits_decision(story.state)
    story.wait(hours=2).planned().exhausted("None is free.")
    assert awaits_decision(story.state)
    assert "Press *Keep trying* within 10 min" in words.now_happening(story.state, story.now)
    assert "Keep trying" in str(card.card(story.state, story.now).blocks)


@pytest.mark.parametrize("kinds", [SERVED, ("planned",)], ids=["served", "never ready"])
def test_what_shuts_down_shows_no_endpoint_for_its_route_is_closed(kinds):
    state = of(*kinds, "stopped")
    assert "http://gateway" not in status.overview([state], state.updated_at).blocks[0]["text"]["text"]
    assert "its endpoint is closed" in endpoint.endpoint(state, "mxk_1").text


def test_the_number_that_it_has_is_another_try_where_the_card_says_so():
    state = of(*SERVED, ("intended", 2), ("gone", 2), "abandoned", ("moved", 1), replicas=2)
    assert "`/mixtral scale m 1` tries again" in words.now_happening(state, state.updated_at)

    asked = []

    class Requests:
        def scale(self, _id, replicas, *, by, **_more):
            asked.append((replicas, by))
            return state

    context: Any = SimpleNamespace(
        deployments=Requests(),
        admins=frozenset({state.place.user}),
        sight=Sight(Directory(), ()),
        now=lambda: state.updated_at,
        ladder=lambda *_: ((), ""),
        confirm_above=60,
        policy=Policy,
    )
    scale_to(state, 1, Caller(team="T", channel="C", user=state.place.user, once="1"), context)
    assert asked == [(1, state.place.user)]
