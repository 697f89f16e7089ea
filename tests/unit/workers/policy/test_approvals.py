"""The section `approvals` of a policy: what it accepts, and what it refuses with line and field."""

from datetime import timedelta
from decimal import Decimal

import pytest

from workers.policy.approvals import Approvals, needs
from workers.policy.schema import PolicyError, policy_of


def test_every_field_is_read():
    text = b"""
approvals:
  usd_per_hour: 25.50
  gpus: 8
  hours: 12
  budget_share: 40
  approvers: [U0ADA000001, U0BOSS00001]
  own: true
  expires: 8h
"""
    assert policy_of(text, "policy.yaml").approvals == Approvals(
        usd_per_hour=Decimal("25.50"),
        gpus=8,
        hours=Decimal(12),
        budget_share=40,
        approvers=("U0ADA000001", "U0BOSS00001"),
        own=True,
        expires=timedelta(hours=8),
    )


def test_without_thresholds_nothing_needs_an_approval():
    assert needs(Approvals(), usd=Decimal(10**6), gpus=999, ends=False) == ""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("usd_per_hour: -1", "must not be negative"),
        ("usd_per_hour: 60 EUR", "must be a number, in USD"),
        ("usd_per_hour: .nan", "must be a number"),
        ("usd_per_hour: true", "must be a number"),
        ("budget_share: 101", "between 0 and 100"),
        ("gpus: 1.5", "whole number"),
        ("hours: many", "must be a number"),
        ("approvers: [everyone]", "must be the id of a person"),
        ("approvers: U0ADA000001", "must be a list"),
        ("own: perhaps", "true or false"),
        ("expires: 8", "must be a time from 5min to 7d"),
        ("expires: 30d", "must be a time from 5min to 7d"),
        ("usd_per_hour: 0x10", "must be a number, in USD"),
        ("usd_per_hour: 1:30", "must be a number, in USD"),
        (f"gpus: {'9' * 400}", "number of ordinary size"),
        ("hours: 1e14", "must be at most"),
        ("usd_per_hours: 3", "did you mean usd_per_hour?"),
    ],
)
def test_a_wrong_field_is_refused_with_its_line(line, why):
    with pytest.raises(PolicyError) as refused:
        policy_of(f"approvals:\n  {line}\n".encode(), "policy.yaml")
    assert why in str(refused.value)
    assert refused.value.line == 2
    assert refused.value.field.startswith("approvals.")
