"""Spot and on demand in one deployment: what is missing, what is asked for, what is ended."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from recipes.schema import Recipe, ReplicaPolicy, Resources, Service
from tests.builders.attempts import attempt, refused
from tests.builders.events import BEGIN
from tests.builders.offers import HERE, ladder, offer, spot_offer
from workers.decision.mix import Lack, Mix, draining_for, lacks, mix_of, open_offers, relieved, surplus
from workers.deployment.attempt import LIVE, Phase

SPOT_A, SPOT_B, SPOT_S = spot_offer("r-a", 4), spot_offer("r-b", "4.4"), spot_offer("s-a", "4.8")
DEMAND = offer("r-a", 12)
RUNGS = ladder(SPOT_A, SPOT_B, SPOT_S, DEMAND)
PLAIN = Mix(spot=True)
BASED = Mix(spot=True, base=1)
FALLING_BACK = Mix(spot=True, fallback=True)


def asked(lack, mix, attempts=(), *, rungs=RUNGS, failures=(), now=BEGIN):
    refusals = [a.refusal for a in attempts if a.refusal is not None]
    return open_offers(lack, mix, rungs=rungs, attempts=attempts, failures=failures, refusals=refusals, now=now)


def after(minutes):
    return BEGIN + timedelta(minutes=minutes)


def all_dry(at=BEGIN):
    return [refused(n, [o], at=at) for n, o in enumerate((SPOT_A, SPOT_B, SPOT_S), start=100)]


def test_a_recipe_that_is_not_all_spot_takes_the_ladder_as_it_comes():
    policy = ReplicaPolicy(base_ondemand_fallback_replicas=2, num_overprovision=1, dynamic_ondemand_fallback=True)
    alternatives = (Resources(use_spot=True), Resources())
    mixed = Recipe(name="r", resources=alternatives, service=Service(replica_policy=policy))
    assert mix_of(mixed, spot=False) == Mix()
    assert mix_of(mixed, spot=True) == Mix(spot=True, base=2, spare=1, fallback=True)
    assert lacks(Mix(), 2, [attempt(1, DEMAND)]) == (Lack.ANY,)
    assert lacks(Mix(), 1, [attempt(1, DEMAND)]) == ()


def test_the_first_replicas_are_always_on_demand():
    assert lacks(BASED, 3, []) == (Lack.ON_DEMAND, Lack.SPOT)
    assert asked(Lack.ON_DEMAND, BASED) == (DEMAND,)
    assert lacks(BASED, 3, [attempt(1, DEMAND)]) == (Lack.SPOT,)
    assert lacks(BASED, 3, [attempt(1, DEMAND), attempt(2, SPOT_A), attempt(3, SPOT_B)]) == ()
    assert lacks(BASED, 3, [attempt(1, SPOT_S), attempt(2, SPOT_A), attempt(3, SPOT_B)]) == (Lack.ON_DEMAND,)


def test_a_base_replica_is_never_bought_as_spot_even_where_on_demand_is_dry():
    dry = [refused(1, [DEMAND])]
    assert asked(Lack.ON_DEMAND, BASED, dry) == ()
    assert asked(Lack.SPOT, BASED, dry)


def test_more_base_replicas_than_wanted_are_not_bought():
    assert lacks(Mix(spot=True, base=3), 1, [attempt(1, DEMAND)]) == ()
    assert surplus(Mix(spot=True, base=3), 1, [attempt(1, DEMAND), attempt(2, DEMAND)]).number == 2


def test_spare_replicas_are_spot_beyond_those_wanted_and_nobody_misses_them():
    mix = Mix(spot=True, base=1, spare=2)
    two = [attempt(1, DEMAND), attempt(2, SPOT_A)]
    assert lacks(mix, 2, two) == (Lack.SPARE,)
    starting = [*two, attempt(3, SPOT_B, Phase.STARTING)]
    assert lacks(mix, 2, starting) == (Lack.SPARE,)  # they need not wait for one another
    full = [*starting, attempt(4, SPOT_S)]
    assert lacks(mix, 2, full) == ()
    assert surplus(mix, 2, full) is None
    assert surplus(mix, 2, [*full, attempt(5, SPOT_A)]).number == 3


def test_nothing_is_spare_of_a_deployment_that_is_scaled_to_zero():
    mix = Mix(spot=True, spare=2)
    assert lacks(mix, 0, []) == ()
    assert surplus(mix, 0, [attempt(1, SPOT_A)]).number == 1


def test_on_demand_stands_in_only_where_no_sound_spot_offer_is_open():
    assert asked(Lack.SPOT, FALLING_BACK) == (SPOT_A,)
    assert asked(Lack.SPOT, FALLING_BACK, [refused(1, [SPOT_A]), refused(2, [SPOT_B])]) == (SPOT_S,)
    assert asked(Lack.SPOT, FALLING_BACK, all_dry()) == (DEMAND,)
    assert asked(Lack.SPOT, PLAIN, all_dry()) == ()


def test_on_demand_comes_before_spot_that_may_well_cost_as_much():
    doubtful = spot_offer("r-d", 12, doubtful="equals")
    rungs = ladder(DEMAND, doubtful)
    assert asked(Lack.SPOT, FALLING_BACK, rungs=rungs) == (DEMAND,)
    assert asked(Lack.SPOT, PLAIN, rungs=rungs) == (doubtful,)


def test_a_stand_in_counts_as_the_replica_for_which_it_stands():
    assert lacks(FALLING_BACK, 2, [attempt(1, DEMAND), attempt(2, DEMAND)]) == (Lack.SPARE,)
    assert surplus(FALLING_BACK, 2, [attempt(1, DEMAND), attempt(2, DEMAND)]) is None


def test_a_stand_in_goes_when_a_spot_replica_is_ready_in_its_place_and_no_sooner():
    stand_ins = [attempt(1, DEMAND), attempt(2, DEMAND)]
    for phase in (Phase.PROVISIONING, Phase.STARTING):
        with_one = [*stand_ins, attempt(3, SPOT_A, phase)]
        assert surplus(FALLING_BACK, 2, with_one) is None
        assert lacks(FALLING_BACK, 2, with_one) == ()  # one at a time
    with_one = [*stand_ins, attempt(3, SPOT_A)]
    over = surplus(FALLING_BACK, 2, with_one)
    assert over.number == 2
    assert relieved(FALLING_BACK, 2, with_one, over)
    drained = [stand_ins[0], attempt(2, DEMAND, Phase.DRAINING), with_one[2]]
    assert surplus(FALLING_BACK, 2, drained) is None
    assert lacks(FALLING_BACK, 2, drained) == (Lack.SPARE,)
    done = [attempt(1, DEMAND, Phase.DRAINING), with_one[2], attempt(4, SPOT_B)]
    assert (surplus(FALLING_BACK, 2, done), lacks(FALLING_BACK, 2, done)) == (None, ())


def test_what_is_ended_for_a_smaller_number_was_not_relieved():
    stand_ins = [attempt(n, DEMAND) for n in (1, 2, 3)]
    over = surplus(FALLING_BACK, 2, stand_ins)
    assert over.number == 3
    assert not relieved(FALLING_BACK, 2, stand_ins, over)
    spot = [attempt(1, SPOT_A), attempt(2, SPOT_B)]
    assert not relieved(FALLING_BACK, 1, spot, surplus(FALLING_BACK, 1, spot))
    assert not relieved(Mix(), 1, stand_ins, surplus(Mix(), 1, stand_ins))


def test_a_base_replica_is_no_stand_in():
    mix = Mix(spot=True, base=1, fallback=True)
    both = [attempt(1, DEMAND), attempt(2, DEMAND), attempt(3, SPOT_A)]
    assert surplus(mix, 2, both).number == 2
    assert surplus(mix, 2, [both[0], both[2]]) is None


def test_a_dry_zone_is_asked_again_for_a_stand_in_every_ten_minutes_and_then_less_often():
    held = [attempt(1, DEMAND), *all_dry()]
    assert asked(Lack.SPARE, FALLING_BACK, held, now=after(6)) == ()  # its block lapsed after 5
    assert asked(Lack.SPARE, FALLING_BACK, held, now=after(10)) == (SPOT_A,)
    again = [*held, *all_dry(after(10))]
    assert asked(Lack.SPARE, FALLING_BACK, again, now=after(29)) == ()
    assert asked(Lack.SPARE, FALLING_BACK, again, now=after(30)) == (SPOT_A,)
    assert asked(Lack.SPOT, FALLING_BACK, again, now=after(15)) == (SPOT_A,)  # a missing replica does not wait


def test_a_spare_is_never_bought_on_demand():
    assert asked(Lack.SPARE, FALLING_BACK, rungs=ladder(DEMAND)) == ()


def test_a_draining_replica_is_taken_back_for_what_it_can_do():
    stand_in, spot = attempt(1, DEMAND, Phase.DRAINING), attempt(2, SPOT_A, Phase.DRAINING)
    assert draining_for(Lack.SPOT, [stand_in, spot]) is spot
    assert draining_for(Lack.SPOT, [stand_in]) is stand_in
    assert draining_for(Lack.ON_DEMAND, [stand_in, spot]) is stand_in
    assert draining_for(Lack.SPARE, [stand_in]) is None
    assert draining_for(Lack.ANY, [attempt(3, SPOT_A)]) is None


def test_a_zone_that_took_spot_back_twice_comes_last_of_all():
    gone = [attempt(n, SPOT_A, Phase.PREEMPTED, at=after(n)) for n in (1, 2)]
    assert asked(Lack.SPOT, PLAIN, gone, now=after(3)) == (SPOT_B,)
    only = ladder(SPOT_A, DEMAND)
    assert asked(Lack.SPOT, PLAIN, gone, rungs=only, now=after(3)) == (SPOT_A,)
    assert asked(Lack.SPOT, FALLING_BACK, gone, rungs=only, now=after(3)) == (DEMAND,)
    assert asked(Lack.SPARE, FALLING_BACK, gone, rungs=only, now=after(3)) == ()
    assert asked(Lack.SPOT, PLAIN, gone, now=after(62)) == (SPOT_A,)


def test_the_zone_of_a_crash_is_avoided_while_another_rung_is_open():
    crash = [attempt(1, SPOT_A, Phase.FAILED)]
    assert asked(Lack.SPOT, PLAIN, crash, failures=crash) == (SPOT_B,)
    assert asked(Lack.SPOT, PLAIN, crash, failures=crash, rungs=ladder(SPOT_A)) == (SPOT_A,)
    assert asked(Lack.SPOT, FALLING_BACK, crash, failures=crash, rungs=ladder(SPOT_A, DEMAND)) == (SPOT_A,)
    crash = [attempt(1, DEMAND, Phase.FAILED)]
    elsewhere = offer("s-a", 13)
    assert asked(Lack.ANY, Mix(), crash, failures=crash, rungs=ladder(DEMAND, elsewhere)) == (elsewhere,)


def test_a_crash_on_this_computer_does_not_begin_to_cost():
    crash = [attempt(1, HERE, Phase.FAILED)]
    assert asked(Lack.ANY, Mix(), crash, failures=crash, rungs=ladder(HERE, DEMAND)) == (HERE,)


def test_this_computer_does_for_spot_and_for_on_demand():
    mix = Mix(spot=True, base=1, spare=1)
    assert asked(Lack.ON_DEMAND, mix, rungs=ladder(HERE)) == (HERE,)
    assert asked(Lack.SPARE, mix, rungs=ladder(HERE)) == (HERE,)
    held = []
    for number in range(1, 4):
        assert lacks(mix, 2, held)
        held.append(attempt(number, HERE))
    assert lacks(mix, 2, held) == ()
    assert surplus(mix, 2, held) is None
    assert surplus(mix, 2, [*held, attempt(4, HERE)]).number == 4


def test_a_call_for_spot_on_aws_leaves_out_fuller_zones_and_what_is_not_sound():
    zones = [spot_offer(f"aws use1-az{n}", 4 + n, region="us-east-1") for n in (1, 2, 4)]
    doubtful = spot_offer("aws use1-az6", 12, region="us-east-1", doubtful="equals")
    demand = offer("aws use1-az1", 12, region="us-east-1")
    rungs = ladder(*zones, demand, doubtful)
    assert asked(Lack.SPOT, FALLING_BACK, rungs=rungs) == tuple(zones)
    assert asked(Lack.SPOT, FALLING_BACK, [attempt(1, zones[0])], rungs=rungs) == tuple(zones[1:])
    assert asked(Lack.SPOT, PLAIN, rungs=rungs) == (*zones, doubtful)


MIXES = st.builds(
    Mix, spot=st.just(True), base=st.integers(0, 3), spare=st.integers(0, 2), fallback=st.booleans()
) | st.just(Mix())
WEATHER = st.lists(
    st.tuples(
        st.sets(st.sampled_from(["r-a", "r-b", "s-a"]), max_size=3),  # dry for spot
        st.booleans(),  # dry on demand
        st.sampled_from(["", "preempt", "crash", "not ready"]),
        st.integers(0, 9),  # whom it strikes
        st.integers(0, 4),  # wanted
    ),
    min_size=1,
    max_size=12,
)


class Deployment:
    """Follows the mix as the control loop does: one decision after another, in a weather of its own."""

    def __init__(self, mix):
        self.mix, self.now, self.wanted, self.attempts = mix, BEGIN, 0, []

    def live(self, *, spot=None):
        return [a for a in self.attempts if a.phase in LIVE and spot in (None, a.offer.spot)]

    def turn(self, dry):
        """Decide until there is nothing to decide, then let a quarter of an hour pass."""
        for _ in range(100):
            if not self.step(dry):
                break
        else:
            raise AssertionError("it decides for ever")
        self.now += timedelta(minutes=15)
        for a in self.live():
            if a.phase in (Phase.STARTING, Phase.NOT_READY):
                self.put(a, Phase.READY)
        for a in self.attempts:
            if a.phase is Phase.DRAINING:
                self.put(a, Phase.ENDED)

    def step(self, dry):
        if over := surplus(self.mix, self.wanted, self.attempts):
            self.put(over, Phase.DRAINING)
            return True
        for lack in lacks(self.mix, self.wanted, self.attempts):
            if again := draining_for(lack, self.attempts):
                self.put(again, Phase.READY)
                return True
            failures = [a for a in self.attempts if a.phase is Phase.FAILED]
            if offers := asked(lack, self.mix, self.attempts, failures=failures, now=self.now):
                self.buy(lack, offers, dry)
                return True
        return False

    def buy(self, lack, offers, dry):
        number = len(self.attempts) + 1
        assert lack is not Lack.ON_DEMAND or not offers[0].spot
        assert lack is not Lack.SPARE or offers[0].spot
        if offers[0].spot:
            held = [a.offer.zone for a in self.live(spot=True)]
            assert max(held.count(o.zone) for o in offers) == held.count(offers[0].zone)
        taken = next((o for o in offers if (o.zone, o.spot) not in dry), None)
        if taken is None:
            self.attempts.append(refused(number, offers, at=self.now))
        else:
            self.attempts.append(attempt(number, taken, Phase.STARTING, at=self.now))

    def put(self, one, phase):
        changed = attempt(one.number, one.offer, phase, at=self.now)
        self.attempts[self.attempts.index(one)] = replace(changed, ready_at=one.ready_at or changed.ready_at)

    def strike(self, blow, whom):
        if not blow or not (live := self.live()):
            return
        one = live[whom % len(live)]
        if blow == "preempt" and one.offer.spot:
            self.put(one, Phase.PREEMPTED)
        elif blow == "crash":
            self.put(one, Phase.FAILED)
        elif blow == "not ready" and one.phase is Phase.READY:
            self.put(one, Phase.NOT_READY)


@settings(max_examples=150, deadline=None)
@given(MIXES, WEATHER, st.integers(0, 4))
def test_in_any_weather_the_bounds_hold_and_in_fair_weather_the_mix_is_right(mix, weather, wanted):
    it = Deployment(mix)
    for dry_spot, dry_on_demand, blow, whom, it.wanted in weather:
        dry = {(zone, True) for zone in dry_spot} | ({("r-a", False)} if dry_on_demand else set())
        it.turn(dry)
        spare = mix.spare if it.wanted else 0
        if mix.spot:
            assert len(it.live(spot=False)) <= (it.wanted if mix.fallback else min(mix.base, it.wanted))
            assert len(it.live(spot=True)) <= it.wanted - min(mix.base, it.wanted) + spare
        else:
            assert len(it.live()) <= it.wanted
        if not dry:
            assert len(it.live()) >= it.wanted
        it.strike(blow, whom)
    it.wanted = wanted
    for _ in range(20):  # five hours: longer than anything is believed
        it.turn(set())
    spare = mix.spare if wanted else 0
    assert len(it.live()) == wanted + spare
    assert all(a.phase is Phase.READY for a in it.live())
    if mix.spot:
        assert len(it.live(spot=False)) == min(mix.base, wanted)
    assert not lacks(mix, wanted, it.attempts)
    assert surplus(mix, wanted, it.attempts) is None


@pytest.mark.parametrize("mix", [PLAIN, BASED, FALLING_BACK])
def test_three_replicas_in_fair_weather_stand_in_three_zones(mix):
    it = Deployment(mix)
    it.wanted = 3 + mix.base
    it.turn(set())
    assert sorted(a.offer.zone for a in it.live(spot=True)) == ["r-a", "r-b", "s-a"]
