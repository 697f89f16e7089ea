"""What autoscaling keeps to, whatever is observed."""

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from recipes.schema import ReplicaPolicy
from workers.decision.autoscale import Memory, autoscale
from workers.deployment.loads import Load

NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
STEP = timedelta(seconds=10)
COUNTS = st.integers(0, 8)
DELAYS = st.sampled_from([timedelta(), timedelta(seconds=15), timedelta(minutes=3)])
RATES = st.floats(0, 1e12)


@st.composite
def policies(draw):
    least = draw(COUNTS)
    most = draw(st.none() | st.integers(least, 10))
    policy = ReplicaPolicy(
        min_replicas=least,
        max_replicas=most,
        target_qps_per_replica=draw(st.none() | st.floats(1e-9, 1e9)),
        upscale_delay=draw(DELAYS),
        downscale_delay=draw(DELAYS),
    )
    assume(least == 0 if most is None else least < most)
    return policy


@st.composite
def loads(draw, at=NOW):
    ago = draw(st.none() | st.integers(0, 600))
    return Load(
        at=at,
        qps=draw(RATES),
        last_request_at=None if ago is None else at - timedelta(seconds=ago),
        in_work=draw(COUNTS),
        held=draw(COUNTS),
        waiting=draw(st.none() | COUNTS),
        ready=draw(st.none() | COUNTS),
    )


def later(load, by):
    return replace(load, at=load.at + by, last_request_at=load.last_request_at and load.last_request_at + by)


@given(policies(), st.integers(0, 10), st.lists(st.none() | loads(), max_size=30), st.integers(0, 40))
def test_whatever_comes_the_number_stays_within_the_bounds(policy, wanted, seen, seconds):
    memory, most = Memory(), policy.max_replicas if policy.max_replicas is not None else max(1, wanted)
    for n, load in enumerate(seen):
        now = NOW + n * timedelta(seconds=seconds)
        wanted, why, memory = autoscale(policy, wanted, load and later(load, now - NOW), memory, now)
        assert policy.min_replicas <= wanted <= most
        assert why


@given(policies(), st.integers(0, 10), loads())
def test_a_constant_load_settles_and_then_moves_nothing(policy, wanted, load):
    memory, numbers = Memory(), []
    for n in range(400):
        looked = later(load, n * STEP)
        if load.last_request_at and NOW - load.last_request_at >= STEP:  # then it was the last, and there is no other
            looked = replace(looked, last_request_at=load.last_request_at)
        wanted, _, memory = autoscale(policy, wanted, looked, memory, NOW + n * STEP)
        numbers.append(wanted)
    assert len(set(numbers[-150:])) == 1


@given(policies(), st.integers(1, 10), st.lists(RATES, min_size=1, max_size=60))
def test_nothing_goes_to_zero_while_requests_come(policy, wanted, rates):
    memory = Memory()
    for n, rate in enumerate(rates):
        now = NOW + n * STEP
        load = Load(at=now, qps=rate, last_request_at=now)
        wanted, _, memory = autoscale(policy, wanted, load, memory, now)
        assert wanted >= 1


@given(policies(), st.integers(0, 10), st.lists(loads(), min_size=1, max_size=40), RATES)
def test_a_higher_rate_never_asks_for_fewer_replicas(policy, wanted, seen, rate):
    memory, now = Memory(), NOW
    for n, load in enumerate(seen):
        now = NOW + n * STEP
        last, known = later(load, n * STEP), memory
        _, _, memory = autoscale(policy, wanted, last, known, now)
    numbers = [autoscale(policy, wanted, replace(last, qps=one), known, now)[0] for one in sorted((last.qps, rate))]
    assert numbers[0] <= numbers[1]
