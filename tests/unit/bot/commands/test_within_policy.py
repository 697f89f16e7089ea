"""A launch and a scale stay within what the policy lets a person spend."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from msgspec.structs import replace

from bot.commands import approving, asking
from bot.commands.context import Caller
from bot.commands.errors import CommandError
from bot.commands.recipe_catalog import RecipeCatalog
from bot.commands.settle import settle
from bot.language.direct_request import Deed, WantedDeed
from bot.slack.message import Message
from tests.fakes.office import RECIPES, Office
from tests.fakes.planned import planner
from workers.deployment.events import Autoscaled, Clock
from workers.deployment.log import Log, stamp
from workers.placement.limits import Limits
from workers.policy.schema import policy_of
from workers.policy.stored import StoredPolicy


@pytest.fixture
def office(redis):
    office = Office(redis)
    recipes = RecipeCatalog((RECIPES,), {}, "mixtral-8x7b")
    office.context = replace(office.context, recipes=recipes, ladder=planner(), confirm_above=Decimal(1000))
    return office


def holds(redis, rule):
    StoredPolicy(redis).put(policy_of(f"rules:\n  - {rule}\n".encode(), "policy.yaml"))


def holds_all(redis, policy):
    StoredPolicy(redis).put(policy_of(policy.encode(), "policy.yaml"))


@pytest.mark.parametrize(
    ("rule", "limits"),
    [
        ("{usd_per_hour: 20}", Limits(max_price=Decimal(10))),
        ("{usd_per_hour_at_once: 30}", Limits(max_price=Decimal(15))),
        ("{clouds: [aws]}", Limits(clouds=("aws",))),
        ("{spot: true}", Limits(spot=True)),
        ("{gpus: [L4]}", Limits(gpus=("L4:8",))),
        ("{people: [U0OTHER0001], spot: true}", Limits()),
        ("{channels: [C0OTHER01], spot: true}", Limits()),
    ],
)
def test_the_rule_narrows_the_limits_of_a_launch(office, redis, rule, limits):
    holds(redis, rule)
    assert "Launching *fast*" in office.says("launch as fast --replicas 2")
    assert office.requests.get("fast").limits == limits


@pytest.mark.parametrize(
    ("rule", "typed", "why"),
    [
        ("{usd_per_hour: 5}", "launch as fast", "5.00 USD/h for one launch"),
        ("{usd_per_hour: 15}", "launch as fast --replicas 2", "The cheapest offer costs 15.95 USD/h for all replicas"),
        ("{usd_per_hour: 0}", "launch as fast", "0.00 USD/h for one launch"),
        ("{clouds: [aws]}", "launch as fast --clouds gcp", "allows only aws here, and not gcp"),
        ("{gpus: [T4]}", "launch as fast", "allows only T4 here"),
        ("{gpus: ['L4:2']}", "launch as fast", "allows only L4:2 here"),
    ],
)
def test_what_the_rule_cannot_hold_is_refused_with_who_can_lift_it(office, redis, rule, typed, why):
    holds(redis, rule)
    said = office.says(typed)
    assert why in said
    assert "<@UADMIN> can lift this" in said
    assert office.requests.all() == []
    assert "Launching *fast*" in office.says(typed, user="UADMIN"), "no rule binds an admin"


def test_all_that_a_person_launched_counts_at_once(office, redis):
    holds(redis, "{usd_per_hour_at_once: 20}")
    assert "Launching *fast*" in office.says("launch as fast")
    assert "Launching *other*" in office.says("launch as other")
    assert office.requests.get("other").limits.max_price < Decimal("12.1")
    said = office.says("launch as third")
    assert "20.00 USD/h for all deployments that one person launched, of which 15.95 USD/h are in use" in said
    assert "Launching *third*" in office.says("launch as third", user="U2"), "it is counted for each person"
    assert "<@UADMIN> can lift this" in office.says("scale other 2")
    assert office.requests.get("other").wanted == 1


def test_what_pauses_outside_its_hours_counts_at_once_as_it_runs_when_they_begin(office, redis):
    holds(redis, "{usd_per_hour_at_once: 20}")
    office.says("launch as fast --replicas 2")
    fast = office.requests.get("fast")
    pause = Autoscaled(**stamp(fast.updated_at), replicas=0, why="its hours are over", clock=Clock.HOURS)
    assert Log(redis).append(fast.id, fast.version, [pause])
    assert "of which 15.95 USD/h are in use" in office.says("launch as other --replicas 2")


def test_a_repeated_delivery_does_not_count_itself(office, redis):
    holds(redis, "{usd_per_hour_at_once: 10}")
    for _ in range(2):
        assert "Launching *fast*" in office.says("launch as fast", once="1.same")


def test_a_scale_stays_within_the_limit_of_a_launch_and_so_does_its_ceiling(office, redis):
    holds(redis, "{usd_per_hour: 25}")
    office.says("launch as fast")
    assert office.requests.get("fast").ceiling <= Decimal(25)
    assert "from 1 replica to 3" in office.says("scale fast 3")
    assert office.requests.get("fast").ceiling <= Decimal(25)
    assert "25.00 USD/h for one launch" in office.says("scale fast 4")
    assert office.requests.get("fast").wanted == 3
    assert "from 3 replicas to 1" in office.says("scale fast 1"), "less is always allowed"


def test_help_shows_what_the_person_may_do_here(office, redis):
    holds(redis, "{may: [look, ask]}")
    said = office.says("help")
    assert "/mixtral ask" in said
    assert not [
        command for command in ("launch", "scale", "down", "logs", "endpoint") if f"`/mixtral {command} " in said
    ]
    assert "does not let you do this here" in office.says("help launch")
    assert "`/mixtral launch" in office.says("help", user="UADMIN")


def granted(office, replicas, launcher="U1"):
    """What the launcher is told who grants that a deployment is scaled."""
    state = office.requests.get("fast")
    wanted = WantedDeed(deed=Deed.SCALE, deployment=state.id, replicas=replicas)
    asking.ask(wanted, state, caller("U2"), office.context)
    [request] = office.context.direct_requests.all()

    def grant():
        return asking.answer(request.id, caller(launcher), office.context, grants=True) or Message("")

    return settle("test", caller(launcher), grant).text


def caller(user):
    return Caller(team="T1", channel="C0HERE", user=user, once=f"9.{user}")


@pytest.mark.parametrize("rule", ["{usd_per_hour: 25}", "{usd_per_hour_at_once: 25}"])
def test_a_scale_that_a_launcher_grants_stays_within_what_they_may_spend_and_so_does_its_ceiling(office, redis, rule):
    holds(redis, rule)
    office.says("launch as fast")
    assert "25.00 USD/h" in granted(office, 4)
    assert office.requests.get("fast").wanted == 1
    [request] = office.context.direct_requests.all()
    office.context.direct_requests.change(request.id, lambda r: replace(r, replicas=3))
    asking.answer(request.id, caller("U1"), office.context, grants=True)
    state = office.requests.get("fast")
    assert (state.wanted, state.ceiling <= Decimal(25)) == (3, True)


def test_nobody_scales_what_another_person_launched_while_slack_does_not_say_what_binds_the_launcher(office, redis):
    """Without the members of the group, nothing would."""
    office.directory.groups["S0COOKS0001"] = frozenset({"U1"})
    group = "{people: [S0COOKS0001], usd_per_hour_at_once: 20}"
    holds_all(redis, f"rules:\n  - {{people: [U0OTHER0001], of_others: true}}\n  - {group}\n")
    office.says("launch as fast")
    assert "at most 20.00 USD/h" in office.says("scale fast 3", user="U0OTHER0001")
    office.directory.groups["S0COOKS0001"] = None
    assert "so nothing was done" in office.says("scale fast 3", user="U0OTHER0001")
    assert office.requests.get("fast").wanted == 1
    assert "from 1 replica to 3" in office.says("scale fast 3", user="UADMIN")
    assert "from 3 replicas to 1" in office.says("scale fast 1", user="U0OTHER0001")


def test_what_is_granted_while_slack_does_not_say_what_binds_the_launcher_is_done_later(office, redis, monkeypatch):
    cooks, group = frozenset({"U1"}), "S0COOKS0001"
    office.directory.groups[group] = cooks
    rules = (
        f"rules:\n  - {{people: [U0OTHER0001], of_others: true}}\n  - {{people: [{group}], usd_per_hour_at_once: 20}}\n"
    )
    holds_all(redis, "approvals: {gpus: 8, approvers: [U0APPROVER]}\n" + rules)
    office.says("launch as fast")
    office.says("scale fast 2", user="U0OTHER0001")
    [request] = office.context.direct_requests.all()
    office.directory.groups[group] = None
    with pytest.raises(CommandError, match="so nothing was done"):
        approving.approve(request.id, caller("U0APPROVER"), office.context)
    office.directory.groups[group] = cooks
    decide = approving._decide

    def overtaken(*given, **more):
        office.directory.groups[group] = None
        return decide(*given, **more)

    monkeypatch.setattr(approving, "_decide", overtaken)
    approving.approve(request.id, caller("U0APPROVER"), office.context)
    assert office.requests.get("fast").wanted == 1
    office.directory.groups[group] = cooks
    approving.carry_out(office.context.direct_requests.get(request.id), office.context)
    assert office.requests.get("fast").wanted == 2


def test_no_rule_binds_an_admin_who_scales_what_another_person_launched(office, redis):
    holds(redis, "{usd_per_hour_at_once: 10}")
    office.says("launch as fast")
    assert "can lift this" in office.says("scale fast 2")
    assert "from 1 replica to 2" in office.says("scale fast 2", user="UADMIN")


@pytest.mark.parametrize("rule", ["{usd_per_hour: 25}", "{usd_per_hour_at_once: 25}"])
def test_the_ceiling_of_an_approved_scale_is_within_the_policy(office, redis, rule):
    rules = f"approvals: {{gpus: 8, approvers: [U0APPROVER]}}\nrules:\n  - {rule}\n".encode()
    StoredPolicy(redis).put(policy_of(rules, "policy.yaml"))
    office.says("launch as fast")
    assert "need an approval" in office.says("scale fast 3")
    [request] = office.context.direct_requests.all()
    approving.approve(request.id, caller("U0APPROVER"), office.context)
    state = office.requests.get("fast")
    assert (state.wanted, state.ceiling <= Decimal(25)) == (3, True)


def test_launches_and_scales_at_the_same_time_stay_within_the_limit_at_once(office, redis):
    holds(redis, "{usd_per_hour_at_once: 20}")
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(office.says, [f"launch as m{n}" for n in range(8)]))
    assert sum("Launching" in one for one in said) == 2, "each costs 7.97 USD/h"
    holds(redis, "{usd_per_hour_at_once: 25}")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(office.says, [f"scale {state.name} 2" for state in office.requests.all() * 4]))
    assert sum(state.wanted for state in office.requests.all()) == 3


@pytest.mark.parametrize("granted_by", ["an approver", "the launcher"])
def test_two_scales_that_are_granted_at_the_same_time_stay_within_the_limit_at_once(
    office, redis, monkeypatch, granted_by
):
    by_approver = granted_by == "an approver"
    section = "approvals: {gpus: 8, approvers: [U0APPROVER]}\n" if by_approver else ""
    holds_all(redis, section + "rules:\n  - {usd_per_hour_at_once: 25}\n")
    for name in ("one", "two"):
        office.says(f"launch as {name}")
    for name in ("one", "two"):
        if by_approver:
            office.says(f"scale {name} 2")
        else:
            state = office.requests.get(name)
            wanted = WantedDeed(deed=Deed.SCALE, deployment=state.id, replicas=2)
            asking.ask(wanted, state, caller("U2"), office.context)
    first, second = office.context.direct_requests.all()
    module, who = (approving, "U0APPROVER") if by_approver else (asking, "U1")

    def press(request):
        if by_approver:
            approving.approve(request.id, caller(who), office.context)
        else:
            asking.answer(request.id, caller(who), office.context, grants=True)

    decide, presses = module._decide, iter([second])

    def overtaken(*given, **more):
        for other in presses:
            press(other)
        return decide(*given, **more)

    monkeypatch.setattr(module, "_decide", overtaken)
    press(first)
    assert sorted(state.wanted for state in office.requests.all()) == [1, 2], "each costs 7.97 USD/h"
    assert "25.00 USD/h" in office.context.direct_requests.get(first.id).why
