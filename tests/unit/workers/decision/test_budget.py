"""Budgets: windows in a time zone, what is used and reserved, and what may be bought."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.offers import offer
from tests.builders.story import Story
from workers.decision.budget import Owner, Purchase, all_standings, purchase, standings_of, why_refused, window_of
from workers.deployment.ledger import MachineRepriced, entry_of, fold
from workers.deployment.ownership import ENDED_ITSELF
from workers.policy.budgets import Budget, BudgetPeriod, BudgetPolicy, BudgetScope

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
OWNER = Owner(name="fast", user="U1", channel="C1")
EACH_DAY = BudgetPolicy(limits=(Budget(scope=BudgetScope.DEPLOYMENT, day=Decimal(20)),))


def book_of(*stories):
    return fold(entry for told in stories for event in told.events if (entry := entry_of(told.id, event)))


def asked(name="fast", usd="7.20", at=NOON):
    return Story(name, id_=f"d-{name}", at=at).planned(offer("r-1", usd)).asked()


def standing(told, now, budgets=EACH_DAY, name="fast"):
    owner = Owner(name=name, user=told.state.place.user, channel=told.state.place.channel)
    [found] = standings_of(owner, budgets, book_of(told), now)
    return found


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-29T12:00", 23), ("2026-10-25T00:30", 25), ("2026-10-25T22:30", 25), ("2026-07-14T12:00", 24)],
)
def test_a_day_of_paris_has_23_or_25_hours_when_the_clock_is_changed(day, hours):
    now = datetime.fromisoformat(f"{day}+00:00")
    window = window_of(BudgetPeriod.DAY, "Europe/Paris", now)
    assert window.since <= now < window.until
    assert window.until.astimezone(UTC) - window.since.astimezone(UTC) == timedelta(hours=hours)


def test_a_month_of_paris_begins_at_its_midnight():
    window = window_of(BudgetPeriod.MONTH, "Europe/Paris", datetime(2026, 10, 31, 23, 30, tzinfo=UTC))
    assert window.since.astimezone(UTC) == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert window.until.astimezone(UTC) == datetime(2026, 11, 30, 23, tzinfo=UTC)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(list(BudgetPeriod)),
    st.sampled_from(["Europe/Paris", "America/New_York", "Africa/Cairo", "Asia/Beirut", "Pacific/Apia", "UTC"]),
)
def test_windows_follow_each_other_without_a_gap(now, period, zone):
    window = window_of(period, zone, now)
    assert window.since <= now < window.until
    assert window_of(period, zone, window.until).since == window.until


def test_what_is_reserved_becomes_what_was_used():
    told = asked()
    assert (standing(told, told.now).used, standing(told, told.now).reserved) == (0, Decimal("7.20"))
    told = told.created()
    begun = told.now
    half = standing(told, begun + timedelta(minutes=30))
    assert (half.used, half.reserved) == (Decimal("3.60"), Decimal("3.60"))
    later = standing(told, begun + timedelta(hours=2))
    assert (later.used, later.reserved) == (Decimal("14.40"), 0)
    gone = told.wait(minutes=30).gone("ended")
    after = standing(gone, gone.now + timedelta(hours=2))
    assert (after.used, after.reserved) == (Decimal("3.60"), 0)


def test_what_is_left_of_the_first_hour_is_reserved_by_the_price_in_force():
    told = asked().created()
    book = book_of(told)
    [use] = book.uses.values()
    quarter = use.booked.began + timedelta(minutes=15)
    entry = MachineRepriced(deployment=told.id, attempt=use.booked.attempt, usd_per_hour=Decimal("14.40"), at=quarter)
    book = fold([entry], onto=book)
    [half] = standings_of(
        Owner(name="fast", user="", channel=""), EACH_DAY, book, use.booked.began + timedelta(minutes=30)
    )
    assert (half.used, half.reserved) == (Decimal("1.80") + Decimal("3.60"), Decimal("7.20"))


def test_the_part_before_the_window_is_not_used_in_it():
    told = asked(at=datetime(2026, 11, 1, 23, 30, tzinfo=UTC)).created()
    next_day = standing(told, datetime(2026, 11, 2, 0, 0, tzinfo=UTC))
    assert next_day.used == 0
    assert next_day.reserved == Decimal("7.20") - Decimal("7.20") * (next_day.window.since - told.now).seconds / 3600


def test_a_budget_that_names_a_person_replaces_the_one_for_each():
    budgets = BudgetPolicy(
        limits=(
            Budget(scope=BudgetScope.PERSON, day=Decimal(10)),
            Budget(scope=BudgetScope.PERSON, of=("U1",), day=Decimal(200)),
            Budget(scope=BudgetScope.PERSON, of=("U1",), month=Decimal(900)),
        )
    )
    assert [s.limit for s in standings_of(OWNER, budgets, fold([]), NOON)] == [200, 900]
    other = Owner(name="x", user="U2", channel="C1")
    assert [s.limit for s in standings_of(other, budgets, fold([]), NOON)] == [10]


def test_each_that_uses_something_has_a_standing():
    budgets = BudgetPolicy(
        limits=(
            Budget(scope=BudgetScope.DEPLOYMENT, day=Decimal(20)),
            Budget(scope=BudgetScope.INSTALLATION, month=Decimal(9)),
        )
    )
    told, other = asked().created(), asked("other")
    found = all_standings(budgets, book_of(told, other), told.now + timedelta(minutes=30))
    assert [(s.id, s.used, s.reserved) for s in found] == [
        ("fast", Decimal("3.60"), Decimal("3.60")),
        ("other", 0, Decimal("7.20")),
        ("", Decimal("3.60"), Decimal("10.80")),
    ]


def test_the_standings_of_all_are_those_of_each_owner_also_of_machines_that_ended_long_ago():
    limits = [Budget(scope=scope, day=Decimal(20), month=Decimal(90)) for scope in BudgetScope]
    budgets = BudgetPolicy(limits=tuple(limits))
    old = asked("old", at=NOON - timedelta(days=70)).created().wait(hours=3).gone("ended")
    yesterday = asked("yesterday", at=NOON - timedelta(hours=20)).created().wait(hours=3).gone("ended")
    book = book_of(old, yesterday, asked().created(), asked("other"))
    now = NOON + timedelta(minutes=30)
    found = all_standings(budgets, book, now)
    owners = [Owner(name=one.name, user=one.user, channel=one.channel) for one in book.owners.values()]
    assert found
    for one in found:
        assert any(one in standings_of(owner, budgets, book, now) for owner in owners), one


def test_the_offers_that_fit_into_every_limit_are_left():
    told = asked()
    cheap, dear, free, unknown = offer("r-1", 5), offer("r-2", 13), offer("r-3", 0), offer("r-4", None)
    left = standing(told, told.now)  # 12.80
    assert purchase([cheap, dear, free, unknown], [left]) == Purchase(offers=(cheap, free))
    refused = purchase([dear, unknown], [left])
    assert (refused.offers, refused.refused_by, refused.price) == ((), left, 13)
    assert "an hour of the cheapest machine costs 13.00 USD" in why_refused(left, refused.price)
    assert purchase([unknown], [left]).price is None
    assert purchase([dear, unknown], []) == Purchase(offers=(dear, unknown))


def test_a_free_machine_is_bought_although_the_budget_is_overdrawn():
    told = asked(usd="30")
    here = offer("local here", 0, "")
    assert purchase([here], [standing(told, told.now)]).offers == (here,)


def test_an_intent_without_an_answer_reserves_what_its_machine_may_have_used():
    """The worker ended before the answer of the cloud was stored; the machine may exist since then."""
    told = asked()
    late = standing(told, told.now + timedelta(hours=2))
    assert (late.used, late.reserved) == (0, Decimal("14.40"))


def test_an_intent_whose_answer_never_comes_reserves_no_more_than_its_lease():
    """Its cloud is no longer used, or does not answer for days: nobody could extend the lease of such a machine."""
    told, month = asked(), BudgetPolicy(limits=(Budget(scope=BudgetScope.DEPLOYMENT, month=Decimal(9000)),))
    lapsed = told.state.attempts[0].expires_at + ENDED_ITSELF
    most = Decimal("7.20") * Decimal((lapsed - told.state.attempts[0].since) / timedelta(hours=1))
    assert standing(told, lapsed - timedelta(seconds=1), month).reserved < most
    assert standing(told, lapsed, month).reserved == most
    assert standing(told, lapsed + timedelta(days=9), month).reserved == most
    assert standing(told, lapsed + timedelta(days=40), month).reserved == 0
