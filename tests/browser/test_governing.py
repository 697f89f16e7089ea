"""People at the page confirm, approve, deny, keep and share, and read costs and budgets, on both stand-in clouds.

Only past costs, the policy, and one earlier end are put into Redis; everything else is done at the page.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.screen import Screen
from tests.builders.logs import append
from tests.builders.offers import offer, spot_offer
from tests.builders.recipes import MIXTRAL as RECIPE
from tests.builders.story import Story
from tests.cloudy_line import CloudyLine
from tests.person import ADA, MIXTRAL, ROBIN
from workers.api import Deployments
from workers.deployment.events import Place
from workers.deployment.key_uses import KeyUses
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import new_id
from workers.deployment.token_counts import TokensCounted
from workers.placement.limits import Limits
from workers.policy.approvals import Approvals
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope
from workers.policy.rules import Right, Rule
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

pytestmark = pytest.mark.browser

SOON = 60_000
"""Milliseconds until a machine of a stand-in cloud answers."""
DEAR = "/mixtral launch mixtral-8x7b --replicas 2 as"
"""Two replicas cost more than the line's MIXTRAL_CONFIRM_ABOVE, one costs less."""
CHEAP = "/mixtral launch mixtral-8x7b as"


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with CloudyLine(tmp_path_factory.mktemp("line"), MIXTRAL_CONFIRM_ABOVE="10") as running:
        yield running


@pytest.fixture(scope="module")
def opened(line, tmp_path_factory):
    with Screen(line.page, tmp_path_factory.mktemp("governing")) as screen:
        screen.open()
        yield screen


@pytest.fixture
def screen(line, opened):
    """The screen of Robin in #mixtral, without a policy."""
    StoredPolicy(line.redis()).put(Policy())
    become(opened, "Robin")
    opened.go("mixtral")
    return opened


def governed(line, **sections):
    StoredPolicy(line.redis()).put(Policy(**sections))


def become(screen, name):
    screen.test_id("acting-as").select_option(label=name)
    expect(screen.test_id("acting-as").locator("option:checked")).to_have_text(name)


def direct(screen, name, text):
    """The newest message with this text in a person's conversation with the app, as that person sees it."""
    become(screen, name)
    screen.go("Mixtral", app=True)
    screen.test_id("messages-tab").click()
    message = screen.messages().filter(has_text=text).last
    expect(message).to_be_visible(timeout=SOON)
    return message


def shown(screen, name):
    screen.look()
    screen.look_narrow_and_dark(name)


def test_a_dear_launch_is_dropped_and_another_one_confirmed_at_its_price(screen, line):
    screen.write(f"{DEAR} dropped")
    question = screen.whisper("Do you want it?")
    expect(question).to_contain_text("USD/h (")
    expect(question).to_contain_text("USD per day)")
    shown(screen, "confirm")
    screen.press(question, "Drop")
    expect(screen.whisper("Dropped")).to_be_visible()
    shown(screen, "dropped")
    screen.write(f"{DEAR} dear")
    screen.press(screen.whisper("Do you want it?"), "Confirm")
    expect(screen.whisper("Launching dear")).to_be_visible()
    expect(screen.card("dear")).to_contain_text("2 of 2 ready", timeout=SOON)
    expect(screen.card("dear")).to_contain_text("Ceiling")
    shown(screen, "confirmed")
    expect(screen.card("dropped")).to_have_count(0)
    assert line.deployment("dropped") is None


def test_a_launch_waits_for_an_approver_whose_decision_and_its_reason_are_shown(screen, line):
    governed(line, approvals=Approvals(usd_per_hour=Decimal(5), approvers=(ADA,)))
    screen.write(f"{CHEAP} big")
    expect(screen.whisper("An approval is needed")).to_contain_text("Ada")
    shown(screen, "waits")
    assert line.deployment("big") is None
    request = direct(screen, "Ada", "asks for an approval to launch big")
    expect(request).to_contain_text("in 30 days")
    shown(screen, "approval")
    screen.press(request, "Approve")
    expect(screen.messages().filter(has_text="approved it").last).to_be_visible(timeout=SOON)
    shown(screen, "approval-given")
    become(screen, "Robin")
    screen.go("mixtral")
    card = screen.card("big")
    expect(card).to_contain_text("1 of 1 ready", timeout=SOON)
    expect(card).to_contain_text("Approved by @Ada: it costs")
    shown(screen, "approved-card")
    direct(screen, "Robin", "Ada approved it")
    shown(screen, "approved")


def test_a_denied_launch_is_not_started_and_its_person_reads_the_reason(screen, line):
    governed(line, approvals=Approvals(usd_per_hour=Decimal(5), approvers=(ADA,)))
    screen.write(f"{CHEAP} more")
    expect(screen.whisper("An approval is needed")).to_be_visible()
    request = direct(screen, "Ada", "asks for an approval to launch more")
    screen.press(request, "Deny")
    form = screen.test_id("modal")
    expect(form).to_contain_text("launch more")
    form.locator("textarea").fill("Use spot machines.")
    shown(screen, "deny")
    form.get_by_test_id("modal-submit").click()
    expect(form).to_have_count(0)
    expect(screen.messages().filter(has_text="denied it").last).to_be_visible(timeout=SOON)
    shown(screen, "denied-to-approver")
    expect(direct(screen, "Robin", "Ada denied it")).to_contain_text("Use spot machines.")
    shown(screen, "denied")
    screen.go("mixtral")
    expect(screen.card("more")).to_have_count(0)
    assert line.deployment("more") is None


def test_what_ends_soon_is_kept_by_the_button_of_its_announcement(screen, line):
    screen.write(f"{CHEAP} short --for 30m")
    card = screen.card("short")
    expect(card).to_contain_text("1 of 1 ready", timeout=SOON)
    expect(card).to_contain_text("Ends")
    brought_forward(line, "short")
    screen.open_thread(card)
    announced = screen.thread().filter(has_text="Its endpoint and its keys stop working then").last
    expect(announced).to_be_visible(timeout=SOON)
    shown(screen, "ends")
    before = line.deployment("short").until
    screen.press(announced, "Keep 4 h longer")
    line.wait(lambda: line.deployment("short").until == before + timedelta(hours=4), 10, "the later end")
    expect(screen.thread().last).to_contain_text("Robin kept short longer", timeout=SOON)
    shown(screen, "kept")
    screen.close_thread()


def brought_forward(line, name):
    """Let the deployment end so soon that its end is announced now."""
    by = Deployments(line.redis(), lambda _: None, {})
    by.keep_until(line.deployment(name).id, datetime.now(UTC) + timedelta(minutes=15), by=ROBIN)


@pytest.fixture(scope="module")
def team(line, opened):
    """A deployment of Robin's that is ready, and its key."""
    StoredPolicy(line.redis()).put(Policy())
    become(opened, "Robin")
    opened.go("mixtral")
    opened.write(f"{CHEAP} team")
    expect(opened.card("team")).to_contain_text("1 of 1 ready", timeout=SOON)
    key = opened.whisper("team answers at")
    expect(key).to_be_visible(timeout=SOON)
    return re.search(r"mxk_\w+", key.inner_text())[0]


def test_the_list_of_keys_has_their_last_use(screen, line, team):
    asked = {"model": "team", "messages": [{"role": "user", "content": "Which?"}], "max_tokens": 3}
    to = f"{line.gateway}/v1/chat/completions"
    httpx.post(to, json=asked, headers={"Authorization": f"Bearer {team}"}, trust_env=False, timeout=30)
    screen.write("/mixtral key team new @ada ")
    expect(screen.whisper("Ada").last).to_be_visible()
    line.wait(
        lambda: KeyUses(line.redis()).read(line.deployment("team").id, datetime.now(UTC)), 30, "the use of the key"
    )
    screen.write("/mixtral key team list")
    expect(screen.whisper("team has")).to_contain_text("last used")
    shown(screen, "keys")


def test_whom_the_launcher_names_may_scale_and_others_are_told_whom_to_ask(screen, line, team):
    assert team
    screen.write("/mixtral share team @ada ")  # the space closes the list of people
    expect(screen.whisper("is a co-owner of team now")).to_contain_text("@Ada")
    shown(screen, "share")
    become(screen, "Noor")
    screen.write("/mixtral scale team 0")
    refused = screen.whisper("may scale it")
    expect(refused).to_contain_text("@Ada")
    shown(screen, "not-shared")
    assert line.deployment("team").wanted == 1
    become(screen, "Ada")
    screen.write("/mixtral scale team 0")
    expect(screen.card("team")).to_contain_text("scaled to zero", timeout=SOON)
    shown(screen, "shared")


def test_what_the_policy_forbids_is_refused_with_who_may(screen, line):
    rules = (Rule(people=(ROBIN,)), Rule(may=(Right.LOOK, Right.ASK)))
    governed(line, rules=rules)
    become(screen, "Noor")
    screen.write(f"{CHEAP} forbidden")
    expect(screen.whisper("does not let you launch a model")).to_contain_text("@Robin")
    shown(screen, "forbidden")
    screen.write("/mixtral help")
    expect(screen.whisper("/mixtral ask").last).not_to_contain_text("/mixtral launch")
    shown(screen, "help-of-who-may-ask-only")
    assert line.deployment("forbidden") is None


def test_a_channel_asks_for_its_costs_on_mondays(screen):
    screen.write("/mixtral config")
    form = screen.test_id("modal")
    form.get_by_text("Post what the last week cost").click()
    form.get_by_text("Post what the last week cost").scroll_into_view_if_needed()
    shown(screen, "config-digest")
    form.get_by_test_id("modal-submit").click()
    expect(form).to_have_count(0)
    expect(screen.messages().filter(has_text="changed the settings")).to_contain_text("on Mondays")
    shown(screen, "config-announced")


def test_costs_have_a_chart_of_their_days(screen, line):
    today = datetime.now(UTC)
    period = next((p for p, first in (("week", today.weekday() == 0), ("month", today.day == 1)) if not first), None)
    if period is None:
        pytest.skip("a week and a month of one day have no chart")
    told = ran(line, "yesterday", offer("gcp us-central1-a", "8.00", "L4:8"), today - timedelta(days=1))
    counted = TokensCounted(
        deployment=told.id,
        attempt=1,
        at=told.now,
        prompt=4_000_000,
        generated=1_000_000,
        prompt_counter=4_000_000,
        generated_counter=1_000_000,
    )
    Ledger(line.redis()).count(counted)
    ran(line, "bargain", spot_offer("aws use1-az4", "3.40", "L4:8", on_demand="8.00"), today - timedelta(days=1))
    screen.write(f"/mixtral cost {period}")
    costs = screen.whisper("Spot machines cost")
    expect(costs.get_by_test_id("chart")).to_be_visible()
    shown(screen, "cost")
    screen.write(f"/mixtral cost yesterday {period}")
    expect(screen.whisper("Only machines of yesterday")).to_contain_text("4.92 USD per million tokens")
    shown(screen, "cost-of-one")


def ran(line, name, on, began):
    """A deployment that ran for three hours on one machine, and has ended."""
    place = Place(team="T0SANDBOX01", channel=MIXTRAL, user=ROBIN)
    told = Story(name, RECIPE, id_=new_id(), at=began, place=place, limits=Limits(spot=on.spot))
    told.planned(on).asked(on).wait(20).created().wait(200).ready().published().tested()
    append(line.redis(), told.wait(hours=3).stopped(by=ROBIN).wait(60).gone("ended by request").ended())
    return told


def test_a_budget_is_warned_of_and_refuses_a_launch_that_it_does_not_allow(screen, line):
    ran(line, "spent", offer("gcp us-central1-a", "8.00", "L4:8"), datetime.now(UTC) - timedelta(hours=4))
    began = datetime.now(UTC) - timedelta(hours=4)
    zone = "UTC" if began.month == datetime.now(UTC).month else "Etc/GMT+12"  # in which it is the same month
    limit = Budget(scope=BudgetScope.CHANNEL, of=(MIXTRAL,), month=Decimal(24))
    governed(line, budgets=BudgetPolicy(zone=zone, limits=(limit,)))
    warning = screen.messages().filter(has_text="of a budget is used").last
    expect(warning).to_be_visible(timeout=SOON)
    shown(screen, "budget")
    screen.write(f"{CHEAP} over")
    expect(screen.whisper("Nothing further is bought")).to_contain_text("the cheapest machine costs 7.98 USD")
    shown(screen, "over-budget")
    assert line.deployment("over") is None
