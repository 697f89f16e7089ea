"""The ceiling of a deployment: nothing is bought over it, and nothing that was climbed before is prevented by it."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from recipes.schema import Resources
from tests.builders.attempts import attempt
from tests.builders.events import BEGIN
from tests.builders.machines import request
from tests.builders.offers import HERE, ladder, offer, spot_offer
from tests.builders.recipes import MIXTRAL, scaled_by
from tests.builders.story import Timeline
from workers.decision.ceiling import ceiling_of, committed, raised
from workers.decision.next_step import EndDeployment, Exhaust, LaunchReplica, next_step
from workers.decision.scaling_cost import next_price
from workers.deployment.attempt import Phase
from workers.placement.limits import NO_LIMITS, Limits

CHEAP, DEAR = offer("r-a", 10), offer("aws s-a", 40)


def with_ceiling(usd, *attempts, wanted=2, rungs=(CHEAP, DEAR)):
    story = Timeline(replicas=wanted).planned(*rungs)
    return replace(story.state, attempts=attempts, ceiling=None if usd is None else Decimal(usd)), story.now


def test_a_rung_that_would_take_the_replicas_over_the_ceiling_is_left_out():
    state, now = with_ceiling(30, attempt(1, CHEAP))
    assert next_step(state, now) == LaunchReplica(attempt=2, replica=2, offers=(CHEAP,))
    state, now = with_ceiling(30, attempt(1, CHEAP), rungs=(DEAR,))
    [why] = [step.why for step in [next_step(state, now)] if isinstance(step, Exhaust)]
    assert "the ceiling of 30.00 USD/h leaves 20.00 USD/h for a further replica" in why
    assert "`/mixtral scale smollm2-135m 2`" in why


def test_a_launch_whose_ceiling_holds_no_replica_ends_and_says_why():
    state, now = with_ceiling(5)
    step = next_step(state, now)
    assert isinstance(step, EndDeployment)
    assert "the ceiling of 5.00 USD/h" in step.failed


def test_an_intent_counts_by_the_dearest_offer_that_it_may_become():
    asked = replace(attempt(1, CHEAP, Phase.PROVISIONING), request=request("d-1", (CHEAP, DEAR), attempt=1, replica=1))
    state, _ = with_ceiling(30, asked)
    assert committed(state) == DEAR.usd_per_hour


def test_the_default_holds_every_replica_at_the_dearest_usable_rung_and_those_that_the_load_may_add():
    rungs = ladder(CHEAP, DEAR, HERE)
    assert ceiling_of(MIXTRAL, NO_LIMITS, 3, rungs) == 120
    elastic = scaled_by(min_replicas=1, max_replicas=5, target_qps_per_replica=2.0)
    assert ceiling_of(elastic, NO_LIMITS, 1, rungs) == 200
    closed = (replace(rungs[1], usable=False), rungs[0])
    assert ceiling_of(MIXTRAL, NO_LIMITS, 1, closed) == 10
    assert ceiling_of(MIXTRAL, NO_LIMITS, 1, closed[:1]) == 40
    assert ceiling_of(MIXTRAL, NO_LIMITS, 1, ()) is None


def test_a_scale_raises_the_ceiling_and_never_lowers_it():
    state, _ = with_ceiling(80, wanted=2)
    assert raised(state, 3, ()) == 120
    assert raised(state, 1, ()) == 80
    assert raised(state, 0, ()) == 80
    assert raised(replace(state, ceiling=None), 3, ()) is None


def test_the_price_of_a_further_replica_is_told_whatever_the_ceiling_is():
    state, now = with_ceiling(10, attempt(1, CHEAP), wanted=1)
    assert next_price(state, now) == 10


OFFERS = [offer("r-a", 3), offer("s-a", 7), offer("aws t-a", "12.5"), spot_offer("r-b", 2), spot_offer("aws u-a", 5)]
SPOT = replace(
    scaled_by(base_ondemand_fallback_replicas=1, num_overprovision=1, dynamic_ondemand_fallback=True),
    resources=(Resources(use_spot=True),),
)
PHASES = st.sampled_from(
    [Phase.PROVISIONING, Phase.STARTING, Phase.READY, Phase.NOT_READY, Phase.DRAINING, Phase.FAILED]
)


@st.composite
def states(draw):
    recipe = draw(st.sampled_from([MIXTRAL, SPOT]))
    story = Timeline(recipe=recipe, replicas=draw(st.integers(1, 5)), limits=Limits(spot=recipe is SPOT))
    story.planned(*draw(st.lists(st.sampled_from(OFFERS), min_size=1, unique=True)))
    taken = draw(st.lists(st.tuples(st.sampled_from(OFFERS), PHASES), max_size=5))
    attempts = tuple(attempt(n, one, phase, at=BEGIN) for n, (one, phase) in enumerate(taken, start=1))
    ceiling = draw(st.none() | st.decimals(0, 60, places=2))
    return replace(story.state, attempts=attempts, ceiling=ceiling), story.now + draw(
        st.sampled_from([timedelta(0), timedelta(minutes=5)])
    )


@settings(max_examples=200, deadline=None)
@given(states())
def test_no_machine_is_intended_that_would_take_the_live_ones_over_the_ceiling(drawn):
    state, now = drawn
    step = next_step(state, now)
    if isinstance(step, LaunchReplica) and state.ceiling is not None:
        assert committed(state) + max(o.usd_per_hour for o in step.offers) <= state.ceiling


@settings(max_examples=100, deadline=None)
@given(states(), st.integers(1, 5))
def test_with_the_default_ceiling_the_same_machine_is_intended_as_without_one(drawn, replicas):
    state, now = drawn
    state = replace(
        state, wanted=replicas, attempts=tuple(a for a in state.attempts if a.phase is Phase.READY)[:replicas]
    )
    rungs = (*state.rungs, *ladder(*(a.offer for a in state.attempts)))
    ceiling = ceiling_of(state.recipe, state.limits, replicas, rungs)
    assert next_step(replace(state, ceiling=ceiling), now) == next_step(replace(state, ceiling=None), now)
