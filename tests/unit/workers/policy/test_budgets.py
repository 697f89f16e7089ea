"""The section `budgets`: what it means, and what is refused with line and field."""

from decimal import Decimal

import pytest

from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope, Then
from workers.policy.schema import PolicyError, policy_of

WHOLE = b"""
budgets:
  zone: Europe/Paris
  limits:
    - {scope: installation, month: 2000, then: stop}
    - {scope: person, day: 49.90 USD}
    - {scope: person, of: [U0ADA, U0BOB], day: 200, currency: USD}
    - {scope: channel, of: [C0ML], month: 0}
    - {scope: deployment, day: 100}
"""


def test_a_budget_per_scope_and_period():
    assert policy_of(WHOLE, "policy.yaml").budgets == BudgetPolicy(
        zone="Europe/Paris",
        limits=(
            Budget(scope=BudgetScope.INSTALLATION, month=Decimal(2000), then=Then.STOP),
            Budget(scope=BudgetScope.PERSON, day=Decimal("49.90")),
            Budget(scope=BudgetScope.PERSON, of=("U0ADA", "U0BOB"), day=Decimal(200)),
            Budget(scope=BudgetScope.CHANNEL, of=("C0ML",), month=Decimal(0)),
            Budget(scope=BudgetScope.DEPLOYMENT, day=Decimal(100)),
        ),
    )


@pytest.mark.parametrize(
    ("budget", "field", "says"),
    [
        ("scope: person\n      day: -5", "limits[0].day", "must not be negative"),
        ("scope: person\n      day: nan", "limits[0].day", "ordinary size"),
        ("scope: person\n      day: much", "limits[0].day", "an amount in USD"),
        ("scope: person\n      day: 50 EUR", "limits[0].day", "the currency of a budget is USD"),
        ("scope: person\n      day: 50\n      currency: EUR", "limits[0].currency", "the currency of a budget is USD"),
        ("scope: team\n      day: 50", "limits[0].scope", "one of installation, person, channel, deployment"),
        ("day: 50", "limits[0]", "needs a scope"),
        ("scope: person", "limits[0]", "needs an amount"),
        ("scope: person\n      week: 50", "limits[0].week", "no field of a budget"),
        ("scope: person\n      day: 50\n      then: kill", "limits[0].then", "one of warn, stop"),
        ("scope: person\n      of: [ada]\n      day: 50", "limits[0].of[0]", "ids of people"),
        ("scope: person\n      of: []\n      day: 50", "limits[0].of", "must list ids of people"),
        ("scope: installation\n      of: [U0ADA]\n      day: 50", "limits[0].of", "there is one installation"),
        ("{scope: person, day: 1}\n    - {scope: person, day: 2}", "limits[1]", "each person has a budget per day"),
        (
            "{scope: channel, of: [C1, C2], month: 1}\n    - {scope: channel, of: [C2], month: 2, day: 1}",
            "limits[1]",
            "the channel C2 has a budget per month already",
        ),
        ("{scope: installation, day: 1}\n    - {scope: installation, day: 1}", "limits[1]", "the installation has a"),
    ],
)
def test_a_wrong_budget_is_refused_with_its_field(budget, field, says):
    with pytest.raises(PolicyError, match="budgets") as refused:
        policy_of(f"budgets:\n  limits:\n    - {budget}\n".encode(), "policy.yaml")
    assert refused.value.field == f"budgets.{field}"
    assert refused.value.line >= 3
    assert says in refused.value.sentence


@pytest.mark.parametrize(
    ("zone", "says"),
    [("Europe/Pariss", "did you mean Europe/Paris?"), ("Mars/Olympus", "write one as"), ("../etc/passwd", "not exist")],
)
def test_a_zone_that_does_not_exist_is_refused(zone, says):
    with pytest.raises(PolicyError, match=says) as refused:
        policy_of(f"budgets:\n  zone: {zone}\n".encode(), "policy.yaml")
    assert (refused.value.line, refused.value.field) == (2, "budgets.zone")


def test_an_unknown_field_of_the_section_is_refused():
    with pytest.raises(PolicyError, match="did you mean limits"):
        policy_of(b"budgets:\n  limit: []\n", "policy.yaml")
