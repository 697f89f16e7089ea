"""The examples of the policy's page: each is a policy, and the rules decide as the page says."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from bot.commands.policy import Permission, may, rule_for
from tests.reference.policy import EXAMPLES, page
from workers.policy.schema import SECTIONS, Policy, policy_of

ADA, NOOR, ROBIN, GUEST = "U0ADA000001", "U0NOOR00001", "U0ROBIN0001", "U0GUS000001"
PROD, OPEN = "C0PROD00001", "C0MIXTRAL01"


@pytest.mark.parametrize("section", EXAMPLES)
def test_each_example_of_the_page_is_a_policy_with_that_section(section):
    policy = policy_of(EXAMPLES[section].encode(), "policy.yaml")
    assert getattr(policy, section)
    assert EXAMPLES[section].strip() in page()


def rule(user, channel, *, is_guest=False):
    rules = policy_of(EXAMPLES["rules"].encode(), "policy.yaml").rules
    return rule_for(rules, user, channel, is_guest=is_guest, members={"S0RESEARCH1": frozenset({NOOR})}.get)


def test_the_example_of_the_rules_decides_by_the_first_rule_that_matches():
    assert may(ADA, Permission.END, launcher=ROBIN, admins=(), rule=rule(ADA, PROD))
    assert may(NOOR, Permission.ASK, launcher=ROBIN, admins=(), rule=rule(NOOR, PROD))
    assert not may(NOOR, Permission.LAUNCH, admins=(), rule=rule(NOOR, PROD))
    assert rule(NOOR, OPEN).usd_per_hour_at_once == Decimal(60)
    assert rule(ROBIN, OPEN).spot
    assert not may(GUEST, Permission.SEE_LOGS, admins=(), rule=rule(GUEST, OPEN, is_guest=True))


def test_the_example_of_the_guide_is_a_policy_with_every_section():
    (example,) = re.findall(r"```yaml policy\n(.*?)```", Path("docs/governing.md").read_text(), re.DOTALL)
    policy = policy_of(example.encode(), "policy.yaml")
    assert all(getattr(policy, section) != getattr(Policy(), section) for section in SECTIONS)
    assert Policy.__struct_fields__ == tuple(SECTIONS)
