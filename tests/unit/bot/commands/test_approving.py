"""An approval: asked once, decided once by who may, and carried out once; nothing is bought before it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from bot.commands import approving, asking, handlers
from bot.commands.context import Caller
from bot.commands.direct_requests import DirectRequests
from bot.commands.errors import CommandError, Unapproved
from bot.commands.settle import settle
from bot.language.direct_request import Deed, DeedStage, WantedDeed
from bot.language.grammar import parse
from bot.slack.facts import PersonFacts
from bot.views import approval as approval_view
from tests.builders.offers import ladder, offer, unusable
from tests.fakes.office import Office
from workers.deployment.events import Requested, ScaleRequested
from workers.deployment.log import Log
from workers.policy.approvals import MAX_APPROVERS, Approvals
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope
from workers.policy.rules import BY_DEFAULT, Right, Rule
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

ASKER, APPROVER, OTHER, ADMIN = "U1", "U5", "U6", "UADMIN"
LIMITS = Approvals(usd_per_hour=Decimal(50), gpus=100, approvers=(APPROVER, ASKER))


@pytest.fixture
def office(redis):
    it = Office(redis)
    offers(it, 22, 40)
    governed(it)
    return it


def offers(office, *usd):
    rungs = ladder(*(offer(f"r-{n}", one) for n, one in enumerate(usd)))
    office.context = replace(office.context, ladder=lambda *_: (rungs, ""))


def governed(office, **changes):
    office.context = replace(office.context, policy=lambda: Policy(approvals=replace(LIMITS, **changes)))


def later(office, hours):
    now = office.context.now
    office.context = replace(office.context, now=lambda: now() + timedelta(hours=hours))


def caller(user, once="1.2"):
    return Caller(team="T1", channel="C0HERE", user=user, once=once, confirmed=Decimal(10000))


def says(office, typed, user=ASKER, once="1.2"):
    who = caller(user, once)
    return settle("test", who, lambda: handlers.handle(parse(typed), who, office.context)).text


def asks(office, typed="launch as fast --replicas 3", **more):
    """The request, once it is stored."""
    assert "nothing was started yet" in says(office, typed, **more)
    [request] = [r for r in office.context.direct_requests.all() if r.stage is DeedStage.WAITING]
    return request


def events(office, redis, kind, name="fast"):
    return [e for e in Log(redis).read(office.requests.get(name).id) if isinstance(e, kind)]


def refused(office, request, user=APPROVER, id_=None, why=""):
    with pytest.raises(CommandError, match=why):
        approving.approve(id_ or request.id, caller(user), office.context)


def test_a_launch_above_the_threshold_waits_and_buys_nothing(office, redis):
    said = says(office, "launch as fast --replicas 3")
    assert "it costs 66.00 USD/h, and more than 50.00 USD/h needs an approval" in said
    assert f"<@{APPROVER}> can approve it" in said
    assert office.requests.all() == []
    assert office.nudged == []
    [request] = office.context.direct_requests.all()
    assert (request.usd, request.ceiling, request.approvers) == (66, 120, (APPROVER,))
    approving.approve(request.id, caller(APPROVER), office.context)
    state = office.requests.get("fast")
    assert (state.wanted, state.ceiling, state.place.user, state.place.channel) == (3, 120, ASKER, "C0HERE")
    [event] = events(office, redis, Requested)
    assert (event.approved.by, event.approved.request) == (APPROVER, request.id)
    assert "it costs 66.00 USD/h" in event.approved.reason


def test_an_approved_launch_has_every_option_of_the_command(office):
    typed = 'launch as fast --replicas 3 --max-price 41 --for 8h --stop-after-idle 2h --hours "mon-fri 09:00-19:00 UTC"'
    approving.approve(asks(office, typed).id, caller(APPROVER), office.context)
    state = office.requests.get("fast")
    assert (state.wanted, state.limits.max_price) == (3, 41)
    governed(office, usd_per_hour=None)
    says(office, typed.replace("fast", "other"))
    other = office.requests.get("other")
    assert (state.stop_after_idle, state.hours) == (other.stop_after_idle, other.hours)
    assert state.stop_after_idle == timedelta(hours=2)
    assert abs(state.until - other.until) < timedelta(minutes=1)


def test_what_needs_no_approval_is_held_below_the_threshold(office):
    assert "Its ceiling is 50.00 USD/h" in says(office, "launch as small --replicas 2")
    assert office.requests.get("small").ceiling == 50


def test_under_an_approved_ceiling_no_second_approval_is_needed_and_above_it_one_is(office, redis):
    approving.approve(asks(office).id, caller(APPROVER), office.context)
    assert "from 3 replicas to 5" in says(office, "scale fast 5")
    assert office.requests.get("fast").ceiling == 120
    request = asks(office, "scale fast 6")
    assert request.deed is Deed.APPROVE_SCALE
    assert office.requests.get("fast").wanted == 5
    approving.approve(request.id, caller(ADMIN), office.context)
    state = office.requests.get("fast")
    assert (state.wanted, state.ceiling, state.approved.by) == (6, 240, ADMIN)
    assert events(office, redis, ScaleRequested)[-1].by == ASKER


def test_pressed_twice_at_the_same_moment_it_is_carried_out_once(office, redis):
    request = asks(office)

    def press(user):
        try:
            approving.approve(request.id, caller(user, once=user), office.context)
        except CommandError as error:
            return error.sentence
        return "done"

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(press, (APPROVER, ADMIN, APPROVER, ADMIN)))
    assert said.count("done") == 1
    assert len(office.requests.all()) == 1
    assert len(events(office, redis, Requested)) == 1
    refused(office, request, why="decided already")


class Behind(DirectRequests):
    """Returns each request as it was before another process decided it."""

    def get(self, id_):
        found = super().get(id_)
        return found and replace(found, stage=DeedStage.WAITING, decided_by="", decided_at=None)


def test_a_decision_that_another_process_stored_meanwhile_stands(office, redis):
    request = asks(office)
    approving.deny(request.id, "Use spot.", caller(ADMIN), office.context)
    office.context = replace(office.context, direct_requests=Behind(redis))
    refused(office, request, why="decided already")
    assert office.requests.all() == []
    assert DirectRequests(redis).get(request.id).decided_by == ADMIN


def test_the_asker_and_people_without_the_right_decide_nothing(office):
    request = asks(office)
    refused(office, request, ASKER, why="another approver")
    refused(office, request, OTHER, why="Only approvers")
    with pytest.raises(CommandError, match="Only approvers"):
        approving.deny(request.id, "no", caller(OTHER), office.context)
    assert office.requests.all() == []
    governed(office, own=True)
    approving.approve(request.id, caller(ASKER), office.context)
    assert office.requests.get("fast").wanted == 3


def test_a_person_who_is_no_approver_any_more_decides_nothing(office):
    request = asks(office)
    governed(office, approvers=(OTHER,))
    refused(office, request, APPROVER, why="Only approvers")


@pytest.mark.parametrize("id_", ["forged", "", "00"])
def test_forged_ids_and_ids_of_other_requests_do_nothing(office, id_):
    request = asks(office)
    with pytest.raises(CommandError, match="decided already"):
        approving.approve(id_ or "x", caller(APPROVER), office.context)
    for grants in (True, False):
        with pytest.raises(CommandError, match="answered already"):
            asking.answer(request.id, caller(APPROVER), office.context, grants=grants)
    with pytest.raises(CommandError, match="answered already"):
        asking.take_key(request.id, caller(APPROVER), office.context)
    assert office.requests.all() == []


def test_after_its_expiry_nothing_is_bought(office):
    governed(office, expires=timedelta(hours=8))
    request = asks(office)
    later(office, 9)
    refused(office, request, why="expired")
    assert office.requests.all() == []


def test_after_the_end_of_the_deployment_a_scale_is_void(office):
    approving.approve(asks(office).id, caller(APPROVER), office.context)
    request = asks(office, "scale fast 6")
    office.requests.stop(office.requests.get("fast").id, by=ASKER)
    refused(office, request, why="has ended")
    assert office.context.direct_requests.get(request.id).stage is DeedStage.VOID


def test_a_price_above_the_ceiling_that_was_asked_for_is_not_approved(office):
    request = asks(office)
    offers(office, 41)
    refused(office, request, why="more than the requested ceiling")
    assert office.requests.all() == []


def test_asked_again_while_it_waits_nobody_is_asked_twice_and_after_a_denial_it_may_be_asked_again(office):
    request = asks(office)
    assert "no second request was sent" in says(office, "launch as fast --replicas 3", once="1.3")
    approving.deny(request.id, "Use spot.", caller(APPROVER), office.context)
    denied = office.context.direct_requests.get(request.id)
    assert (denied.stage, denied.reason, denied.decided_by) == (DeedStage.DECLINED, "Use spot.", APPROVER)
    assert office.requests.all() == []
    refused(office, request, why="decided already")


def test_killed_after_the_decision_it_is_carried_out_once_by_the_next_process(office, redis):
    request = asks(office)
    granted = office.context.direct_requests.change(
        request.id, lambda r: replace(r, stage=DeedStage.GRANTED, decided_by=APPROVER, decided_at=office.context.now())
    )
    for _ in range(2):
        approving.carry_out(granted, office.context)
    redis.delete(*redis.keys("mixtral:once*") or ["-"])
    approving.carry_out(granted, office.context)
    assert len(office.requests.all()) == 1
    assert office.context.direct_requests.get(request.id).stage is DeedStage.GRANTED


def test_a_name_that_is_taken_by_then_voids_it(office):
    request = asks(office)
    governed(office, usd_per_hour=None)
    says(office, "launch as fast", user=OTHER)
    approving.approve(request.id, caller(APPROVER), office.context)
    newest = office.context.direct_requests.get(request.id)
    assert newest.stage is DeedStage.VOID
    assert "is taken now" in newest.why


@pytest.mark.parametrize(
    ("limits", "typed", "why"),
    [
        ({"usd_per_hour": None, "gpus": 8}, "launch as fast --replicas 2", "it may rent 16 GPUs"),
        ({"usd_per_hour": None, "hours": Decimal(8)}, "launch as fast", "it has no end"),
        ({"usd_per_hour": None, "hours": Decimal(8)}, "launch as fast --for 9h", "it lasts 9.0 hours"),
    ],
)
def test_each_threshold_is_said(office, limits, typed, why):
    governed(office, **limits)
    assert why in says(office, typed)
    assert office.requests.all() == []


@pytest.mark.parametrize("limits", [{"usd_per_hour": Decimal(20)}, {"usd_per_hour": None, "gpus": 7}])
def test_a_bot_without_credentials_of_a_cloud_knows_the_thresholds_by_all_offers(office, limits):
    office.context = replace(office.context, ladder=lambda *_: (unusable(ladder(offer("r-0", 22))), ""))
    governed(office, **limits)
    assert "nothing was started yet" in says(office, "launch as fast")
    assert office.requests.all() == []


def test_a_large_share_of_what_is_left_of_the_budget_waits_and_the_request_says_what_is_left(office):
    budgets = BudgetPolicy(limits=(Budget(scope=BudgetScope.PERSON, month=Decimal(1000)),))
    approvals = Approvals(budget_share=50, approvers=(APPROVER,))
    office.context = replace(office.context, policy=lambda: Policy(approvals=approvals, budgets=budgets))
    assert "a day of it costs 528.00 USD, and more than 50 % of the 1,000.00 USD that are left" in says(
        office, "launch as fast"
    )
    [request] = office.context.direct_requests.all()
    assert request.left == 1000
    assert "Left of the tightest budget*  1,000.00 USD" in words_of_view(approval_view.asked(request))
    offers(office, 20)
    assert "Launching *cheap*" in says(office, "launch as cheap")


def words_of_view(message):
    return " ".join(block.get("text", {}).get("text", "") for block in message.blocks)


def test_below_every_threshold_nobody_is_asked(office):
    governed(office, usd_per_hour=Decimal(22), gpus=8, hours=Decimal(8))
    assert "Launching *fast*" in says(office, "launch as fast --for 8h")
    assert office.context.direct_requests.all() == []


def test_where_nobody_could_approve_that_is_said_and_nothing_is_stored(office):
    governed(office, approvers=(ASKER,))
    office.context = replace(office.context, admins=frozenset())
    assert "only you could approve it" in says(office, "launch as fast --replicas 3")
    assert office.context.direct_requests.all() == []


def test_a_granted_scale_above_the_threshold_waits_too(office):
    office.running.put("fast", "http://127.0.0.1:1")
    state = office.requests.get("fast")
    wanted = WantedDeed(deed=Deed.SCALE, deployment=state.id, replicas=3)
    asking.ask(wanted, state, caller(OTHER), office.context)
    [request] = office.context.direct_requests.all()
    with pytest.raises(Unapproved):
        asking.answer(request.id, caller(ASKER), office.context, grants=True)
    assert office.requests.get("fast").wanted == 1


GROUP = "S0LEADS0001"


def ruled(office, redis, **approvals):
    """A policy by which the members of a user group approve."""
    rules = (Rule(people=(GROUP,), may=(*BY_DEFAULT, Right.APPROVE)),)
    policy = Policy(approvals=Approvals(usd_per_hour=Decimal(50), **approvals), rules=rules)
    StoredPolicy(redis).put(policy)
    office.context = replace(office.context, policy=StoredPolicy(redis).current)


def test_the_members_of_a_user_group_that_approves_are_asked_each(office, redis):
    office.directory.groups[GROUP] = frozenset({APPROVER, ASKER, OTHER})
    office.directory.people[OTHER] = PersonFacts(team="T1", is_deleted=True)
    ruled(office, redis)
    assert asks(office).approvers == (APPROVER,), "without who asks, and without a closed account"


def test_of_a_large_user_group_as_many_are_asked_as_a_policy_may_name(office, redis):
    office.directory.groups[GROUP] = frozenset(f"U{n:03}" for n in range(500))
    ruled(office, redis)
    assert len(asks(office).approvers) == MAX_APPROVERS


def test_the_admins_are_asked_if_the_only_approver_is_who_asks(office):
    governed(office, approvers=(ASKER,))
    assert asks(office).approvers == (ADMIN,)


def test_an_approval_while_slack_does_not_answer_is_refused_and_the_request_stays(office, redis):
    office.directory.groups[GROUP] = frozenset({APPROVER, ASKER})
    ruled(office, redis)
    request = asks(office)
    office.directory.groups[GROUP] = None
    refused(office, request, user=ADMIN, why="Slack does not return the members")
    office.directory.groups[GROUP] = frozenset({APPROVER, ASKER})
    approving.approve(request.id, caller(APPROVER), office.context)
    assert office.requests.get("fast").wanted == 3


def test_nothing_is_bought_for_a_person_whose_account_was_closed_since(office):
    request = asks(office)
    office.directory.people[ASKER] = PersonFacts(team="T1", is_deleted=True)
    refused(office, request, why="account is closed")
    assert office.requests.all() == []
