"""The rate of a budget rises until Slack refuses a call, halves then, and keeps every promise in between."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.slack.allowance import LEAST_PER_MINUTE, MINUTE, MOST, fresh, refused, taken
from bot.slack.budgets import LIMITS, MethodBudget

BUDGETS = st.builds(MethodBudget, st.integers(5, 400), st.integers(1, 50))
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "take", "take", "refused"]), st.floats(0, 90_000), st.integers(0, 6)),
    max_size=120,
)
NOW = 1_800_000_000_000.0


def played(budget, steps):
    """Yield (time, what happened, state before, state after) of some calls and refusals."""
    now, state = NOW, fresh(budget.per_minute, NOW)
    for what, later, leave in steps:
        now += later
        if what == "take":
            after, wait = taken(state, now, per_minute=budget.per_minute, burst=budget.burst, leave=leave)
            yield now, "waits" if wait else "made", state, after
        else:
            after = refused(state, now, later, per_minute=budget.per_minute, burst=budget.burst)
            yield now, "refused", state, after
        state = after


@given(BUDGETS, STEPS)
def test_the_rate_stays_within_its_bounds_and_falls_only_after_a_refusal(budget, steps):
    for now, what, before, after in played(budget, steps):
        assert LEAST_PER_MINUTE <= after.per_minute <= MOST * budget.per_minute
        if what != "refused":
            assert after.per_minute >= before.per_minute
        elif now >= before.held_until:
            assert after.per_minute == max(before.per_minute / 2, LEAST_PER_MINUTE)
        else:
            assert after.per_minute == before.per_minute  # calls that were under way together are one refusal


@given(BUDGETS, STEPS)
def test_no_call_is_made_while_slack_asks_for_a_pause_and_none_that_waits_costs_anything(budget, steps):
    for now, what, before, after in played(budget, steps):
        if what == "made":
            assert now >= before.held_until - 1
        if what == "waits":
            assert after.used <= before.used
            assert replace(after, used=before.used, seen_at=before.seen_at) == before


@given(BUDGETS, STEPS)
def test_no_time_sees_more_calls_than_a_burst_and_the_rate(budget, steps):
    made = [(now, after.per_minute) for now, what, _, after in played(budget, steps) if what == "made"]
    fastest = max((rate for _, rate in made), default=0)
    for first, (since, _) in enumerate(made):
        for count, (at, _) in enumerate(made[first:], 1):
            assert count <= budget.burst + 1.001 + (at - since) / MINUTE * fastest


@given(BUDGETS, st.integers(0, 60))
def test_some_calls_are_left_for_more_important_ones(budget, leave):
    state, made = fresh(budget.per_minute, NOW), 0
    while not (step := taken(state, NOW, per_minute=budget.per_minute, burst=budget.burst, leave=leave))[1]:
        state, made = step[0], made + 1
    assert made == max(1, budget.burst - leave)


@given(BUDGETS, STEPS, st.floats(2_000, 7_200_000))
def test_a_clock_that_is_set_back_blocks_nothing(budget, steps, back):
    now, state = NOW, fresh(budget.per_minute, NOW)
    for now, _, _, state in played(budget, steps):  # noqa: B007 - the last one is used
        pass
    take = {"per_minute": budget.per_minute, "burst": budget.burst}
    _, wait = taken(state, now, **take)
    back_at = state.seen_at - back
    slipped, after = taken(state, back_at, **take)
    assert after <= wait + (now - state.seen_at) + 1
    assert taken(slipped, back_at + math.ceil(after) + 1 + slipped.interval, **take)[1] == 0


def test_a_rate_that_is_not_used_up_does_not_rise():
    budget, now = LIMITS["chat.update"], NOW
    state = fresh(budget.per_minute, now)
    for _ in range(500):
        now += 3_000
        state, wait = taken(state, now, per_minute=budget.per_minute, burst=budget.burst)
        assert wait == 0
    assert state.per_minute == budget.per_minute


class Workspace:
    """A Slack that allows a number of calls per minute, and a burst, which nobody knows."""

    def __init__(self, per_minute, burst):
        self.per_minute, self.burst = per_minute, burst
        self.tokens, self.at, self.made, self.refused = float(burst), NOW, 0, 0

    def call(self, now):
        """Return 0, or the milliseconds of Retry-After."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) / MINUTE * self.per_minute)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            self.made += 1
            return 0
        self.refused += 1
        return max(1, -(-(1 - self.tokens) * 60 // self.per_minute)) * 1000


def crowded(budget, workspace, hours):
    """Make every call that the budget allows."""
    now, state = NOW, fresh(budget.per_minute, NOW)
    while now < NOW + hours * 60 * MINUTE:
        state, wait = taken(state, now, per_minute=budget.per_minute, burst=budget.burst)
        if wait:
            now += math.ceil(wait)
        elif pause := workspace.call(now):
            state = refused(state, now, pause, per_minute=budget.per_minute, burst=budget.burst)
    return workspace


@pytest.mark.parametrize(("allows", "burst"), [(10, 5), (50, 25), (90, 25), (150, 25), (1_000, 300)])
def test_most_of_what_slack_allows_is_used_and_few_calls_are_refused(allows, burst):
    budget = LIMITS["chat.update"]
    workspace = crowded(budget, Workspace(allows, burst), hours=4)
    assert workspace.made >= 0.75 * min(allows, budget.per_minute * MOST * 0.9) * 60 * 4 * 0.85
    assert workspace.refused <= 0.08 * workspace.made + 5
