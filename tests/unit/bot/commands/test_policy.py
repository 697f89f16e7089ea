"""Who may do what."""

import pytest

from bot.commands.policy import (
    NO_RULE,
    UNDECIDED,
    Permission,
    approvers,
    guest_may_launch,
    may,
    refusal,
    rule_for,
    who_may,
)
from workers.policy.rules import Right, Rule
from workers.policy.schema import Policy

FOR_ALL = {Permission.LOOK, Permission.ASK, Permission.SEE_LOGS, Permission.LAUNCH}
OWNED = [deed for deed in Permission if deed not in FOR_ALL | {Permission.APPROVE}]
NOTHING = Rule(may=())


@pytest.mark.parametrize("deed", OWNED)
def test_co_owners_may_and_nobody_else(deed):
    assert may("U1", deed, launcher="U1", admins=())
    assert may("U9", deed, launcher="U1", admins={"U9"})
    assert may("U3", deed, launcher="U1", admins=(), co_owners=("U3",))
    assert may("U4", deed, launcher="U1", admins=(), in_their_place=True)
    assert not may("U2", deed, launcher="U1", admins={"U9"}, co_owners=("U3",))


@pytest.mark.parametrize("deed", sorted(FOR_ALL))
def test_without_a_rule_all_people_look_ask_and_launch(deed):
    assert may("U2", deed, launcher="U1", admins=())
    assert not may("U2", deed, launcher="U1", admins=(), rule=NOTHING)


@pytest.mark.parametrize("deed", [deed for deed in Permission if deed is not Permission.SHARE])
def test_a_rule_binds_the_launcher_and_no_admin(deed):
    assert not may("U1", deed, launcher="U1", admins=(), rule=NOTHING)
    assert may("U1", deed, launcher="U1", admins={"U1"}, rule=NOTHING)


def test_only_admins_approve_unless_a_rule_says_so():
    assert not may("U1", Permission.APPROVE, launcher="U1", admins=())
    assert may("U1", Permission.APPROVE, admins=(), rule=Rule(may=(Right.APPROVE,)))


def test_a_rule_can_open_the_deployments_of_others_but_not_their_co_owners():
    rule = Rule(may=(Right.END,), of_others=True)
    assert may("U2", Permission.END, launcher="U1", admins=(), rule=rule)
    assert not may("U2", Permission.SCALE, launcher="U1", admins=(), rule=rule)
    assert not may("U2", Permission.SHARE, launcher="U1", admins=(), rule=rule)


def decided(*rules, user="U1", channel="C1", is_guest=False, members=None):
    return rule_for(rules, user, channel, is_guest=is_guest, members=(members or {}).get)


def test_the_first_rule_that_matches_decides_and_without_one_the_defaults_hold():
    first, second = Rule(people=("U1",), may=(Right.LOOK,)), NOTHING
    assert decided(first, second) is first
    assert decided(second, first) is second
    assert decided(first, user="U2") is NO_RULE
    assert decided(Rule(channels=("C2",), may=())) is NO_RULE


def test_rules_are_for_people_user_groups_everyone_and_guests_in_channels_and_direct_messages():
    everyone, guests, cooks = (Rule(people=(who,)) for who in ("everyone", "guests", "S0COOKS"))
    assert decided(everyone) is everyone
    assert decided(everyone, is_guest=True) is NO_RULE
    assert decided(everyone, guests, is_guest=True) is guests
    assert decided(cooks, members={"S0COOKS": frozenset({"U1"})}) is cooks
    assert decided(cooks, members={"S0COOKS": frozenset()}) is NO_RULE
    direct = Rule(channels=("direct",))
    assert decided(direct, channel="D1") is direct
    assert decided(direct) is NO_RULE


def test_while_slack_does_not_say_who_is_in_a_group_its_rule_opens_nothing():
    forbids = Rule(people=("S0COOKS",), may=())
    assert decided(forbids, members={"S0COOKS": None}) is UNDECIDED
    assert not may("U1", Permission.LAUNCH, admins=(), rule=UNDECIDED)
    named = Rule(people=("S0COOKS", "U1"))
    assert decided(named, members={"S0COOKS": None}) is named, "it is known without the group"


def test_a_guest_launches_only_under_a_rule_that_names_guests_or_that_guest():
    assert not guest_may_launch(NO_RULE, "U1")
    assert not guest_may_launch(Rule(may=(Right.LAUNCH,)), "U1")
    assert guest_may_launch(Rule(people=("guests",)), "U1")
    assert guest_may_launch(Rule(people=("U1",)), "U1")
    assert not guest_may_launch(Rule(people=("U1",), may=(Right.ASK,)), "U1")


def test_those_who_may_are_named_for_a_channel():
    policy = Policy(
        rules=(
            Rule(people=("S0LEADS", "U5"), channels=("C1",), may=(Right.APPROVE,)),
            Rule(people=("U6",), channels=("C2",), may=(Right.APPROVE,)),
        )
    )
    assert who_may(policy, Permission.APPROVE, "C1", {"U9"}) == ("<!subteam^S0LEADS>", "<@U5>", "<@U9>")
    assert approvers(policy, "C1", {"U9"}) == ("S0LEADS", "U5", "U9")
    assert approvers(policy, "C2", ()) == ("U6",)


def test_a_refusal_names_who_may():
    said = refusal(Permission.END, name="fast", launcher="U1", admins={"U9", "U1"})
    assert said == "<@U1> launched *fast*: only they or an admin (<@U9>) may end it. Ask them."
    said = refusal(Permission.SEE_KEY, name="fast", launcher="U1", admins=())
    assert said.endswith("For a key of your own, ask them to type `/mixtral key fast new @YOU`.")
    assert "admin" not in refusal(Permission.SCALE, name="fast", launcher="U1", admins=())
    said = refusal(Permission.END, name="fast", launcher="U1", admins=(), co_owners=("U3",))
    assert said == "<@U1> launched *fast*: only they or <@U3> may end it. Ask them."
