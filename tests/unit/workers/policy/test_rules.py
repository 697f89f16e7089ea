"""The rules of a policy: what is read, and what is refused with line and field."""

import pytest

from workers.policy.rules import Right, Rule
from workers.policy.schema import PolicyError, policy_of


def read(text):
    return policy_of(text.encode(), "policy.yaml")


def test_a_rule_is_read_with_every_field_and_named_groups_are_resolved():
    [rule] = read(
        """
groups:
  cooks: [U0ADA000001, tasters]
  tasters: [S0TASTERS01]
rules:
  - people: [cooks, everyone]
    channels: [C0KITCHEN01, direct]
    may: [look, see keys]
    of_others: true
    usd_per_hour: 12.50
    usd_per_hour_at_once: 60 USD
    gpus: [A100-80GB, L4:2]
    clouds: [aws]
    spot: true
"""
    ).rules
    assert rule.people == ("U0ADA000001", "S0TASTERS01", "everyone")
    assert rule.channels == ("C0KITCHEN01", "direct")
    assert rule.may == (Right.LOOK, Right.SEE_KEYS)
    assert (f"{rule.usd_per_hour}", f"{rule.usd_per_hour_at_once}") == ("12.50", "60")
    assert (rule.gpus, rule.clouds, rule.spot, rule.of_others) == (("A100-80GB", "L4:2"), ("aws",), True, True)


def test_an_empty_list_allows_nothing_and_no_list_allows_what_is_usual():
    assert read("rules:\n  - may: []\n").rules == (Rule(may=()),)
    assert read("rules:\n  - {}\n").rules == (Rule(),)


WRONG = {
    "rules:\n  - may: [lauch]": (2, "rules[0].may[0]", "did you mean launch?"),
    "rules:\n  - may: [fly]": (2, "rules[0].may[0]", "the deeds are look, ask"),
    "rules:\n  - usd_per_hour: -1": (2, "rules[0].usd_per_hour", "negative"),
    "rules:\n  - usd_per_hour: 5 EUR": (2, "rules[0].usd_per_hour", "in USD"),
    "rules:\n  - usd_per_hour_at_once: €5": (2, "rules[0].usd_per_hour_at_once", "in USD"),
    "rules:\n  - usd_per_hour: .inf": (2, "rules[0].usd_per_hour", "in USD"),
    "rules:\n  - people: [cooks]": (2, "rules[0].people[0]", "unknown"),
    "rules:\n  - people: []": (2, "rules[0].people", "is empty"),
    "rules:\n  - people: U0ADA000001": (2, "rules[0].people", "must be a list"),
    "rules:\n  - channels: ['#general']": (2, "rules[0].channels[0]", "id of a channel"),
    "rules:\n  - clouds: [azure]": (2, "rules[0].clouds[0]", "must be one of aws, gcp, local"),
    "rules:\n  - gpus: ['A100:0']": (2, "rules[0].gpus[0]", "must be a GPU"),
    "rules:\n  - spot: maybe": (2, "rules[0].spot", "true or false"),
    "rules:\n  - peple: [everyone]": (2, "rules[0].peple", "did you mean people?"),
    "rules:\n  - people:\n    of_others: true": (2, "rules[0].people", "is empty"),
    "rules:\n  - may:": (2, "rules[0].may", "is empty"),
    "rules:\n  - channels: []": (2, "rules[0].channels", "is empty"),
    "rules: {}": (1, "rules", "must be a list"),
    "groups:\n  a: [b]\n  b: [a]": (2, "groups.a", "contains itself (a → b → a)"),
    "groups:\n  a: [a]": (2, "groups.a", "contains itself"),
    "groups:\n  a: [nobody]": (2, "groups.a[0]", "unknown"),
    "groups:\n  everyone: [U0ADA000001]": (2, "groups.everyone", "cannot name a group"),
    "ruels: []": (1, "ruels", "did you mean rules?"),
}


@pytest.mark.parametrize(("text", "where"), WRONG.items(), ids=lambda value: str(value)[:40])
def test_a_wrong_policy_is_refused_whole_with_line_and_field(text, where):
    line, field, why = where
    with pytest.raises(PolicyError) as refused:
        read(f"{text}\n")
    assert (refused.value.line, refused.value.field) == (line, field)
    assert why in refused.value.sentence


def test_groups_that_contain_each_other_many_times_are_read_in_little_time():
    deep = "".join(f"  g{n}: [g{n - 1}, g{n - 1}]\n" for n in range(1, 60))
    assert read(f"groups:\n  g0: [U0ADA000001]\n{deep}").groups["g59"] == ("U0ADA000001",)
