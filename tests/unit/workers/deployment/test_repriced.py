"""A machine costs its seconds, each by the price that was in force then."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.builders.offers import offer
from tests.builders.story import Story
from workers.deployment.ledger import MachineClosed, MachineRepriced, decode, encode, entry_of, fold

HOUR = timedelta(hours=1)
TINY = Decimal("1e-15")
LIFE = 36_000
"""Seconds."""

_told = Story().planned(offer("r-1", "7.20")).asked().created()
BOOKED = replace(entry_of(_told.id, _told.events[-1]), spot=True, on_demand_usd_per_hour=Decimal(20))
BEGAN = BOOKED.began
prices = st.decimals("0.01", "99", places=4)
times = st.integers(-4000, LIFE + 4000)
changes = st.lists(st.tuples(times, prices), max_size=6)


def at(seconds):
    return BEGAN + timedelta(seconds=seconds)


def price(seconds, usd):
    return MachineRepriced(deployment=_told.id, attempt=BOOKED.attempt, usd_per_hour=Decimal(usd), at=at(seconds))


def closed(seconds):
    return MachineClosed(deployment=_told.id, attempt=BOOKED.attempt, ended=at(seconds))


def naive(changed, since, until):
    """USD: the price in force, looked up for each piece between two changes."""
    edges = sorted({since, until, *(when for when, _ in changed if since < when < until)})
    total = Fraction(0)
    for begin, end in pairwise(edges):
        in_force = [(0, BOOKED.usd_per_hour), *((when, usd) for when, usd in changed if 0 < when <= begin)]
        total += Fraction(max(in_force)[1]) * (end - begin) / 3600
    return total


@given(changes, st.lists(st.integers(0, LIFE), max_size=5))
def test_the_sum_over_any_split_is_the_whole_and_equals_a_naive_sum(changed, cuts):
    [use] = fold([BOOKED, *(price(*change) for change in changed), closed(LIFE)]).uses.values()
    edges = [0, *sorted(cuts), LIFE]
    parts = [(begin, end, use.cost(at(begin), at(end))) for begin, end in pairwise(edges)]
    for begin, end, cost in parts:
        assert abs(Fraction(cost) - naive(changed, begin, end)) < Fraction(TINY)
        assert abs(use.saved(at(begin), at(end)) - (20 * use.seconds(at(begin), at(end)) / 3600 - cost)) < TINY
    assert abs(sum(cost for *_, cost in parts) - use.cost(None, at(LIFE) + HOUR)) < TINY
    assert use.cost(None, at(LIFE)) == use.cost(BEGAN - HOUR, at(LIFE) + HOUR)
    assert use.usd_per_hour == max([(0, BOOKED.usd_per_hour), *(c for c in changed if 0 < c[0] < LIFE)])[1]


@given(changes.flatmap(lambda changed: st.permutations([BOOKED, *(price(*change) for change in changed)])), st.data())
def test_in_any_order_and_repeated_the_entries_give_the_same_book(entries, data):
    again = data.draw(st.lists(st.sampled_from(entries), max_size=4))
    cut = data.draw(st.integers(0, len(entries)))
    ordered = sorted(entries, key=lambda entry: (entry is not BOOKED, getattr(entry, "at", BEGAN)))
    expected = fold(ordered)
    assert fold([*entries, *again]) == expected
    assert fold([*entries[cut:], *again], onto=fold(entries[:cut])) == expected
    assert fold([decode(encode(entry)) for entry in entries]) == expected


def test_a_price_before_the_begin_or_after_the_end_has_no_effect():
    [use] = fold([BOOKED, price(-1, 99), price(0, 99), price(3600, 99), closed(3600)]).uses.values()
    assert (use.cost(None, at(9999)), use.usd_per_hour) == (Decimal("7.20"), Decimal("7.20"))


def test_after_a_change_the_new_price_counts():
    [use] = fold([BOOKED, price(1800, "14.40")]).uses.values()
    assert use.cost(None, at(3600)) == Decimal("10.80")
    assert use.cost(at(1800), at(3600)) == Decimal("7.20")
    assert use.saved(None, at(3600)) == Decimal("9.20")
    assert use.usd_per_hour == Decimal("14.40")


def test_of_two_prices_of_one_time_the_higher_counts_in_either_order():
    lower, higher = price(1800, 8), price(1800, 9)
    for entries in ([BOOKED, lower, higher], [higher, lower, BOOKED], [lower, BOOKED, higher], [higher, BOOKED, lower]):
        [use] = fold(entries).uses.values()
        assert use.repriced == (higher,)
