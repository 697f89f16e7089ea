"""A month on both clouds' stand-ins, in fast-forward: the digests equal the ledger, and the ledger equals the bills."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from redis import Redis

from bot.commands.approving import DECIDED
from bot.commands.cost_handler import last_week
from bot.language.direct_request import DeedStage
from bot.views.amounts import CENT, usd
from bot.views.cost import digest
from tests.month import BEGINS, DAY, PARIS, RESEARCH, SALES, cost_of, played
from tests.month_approvals import APPROVED, DENIED, EXPIRED, EXPIRES, REASON, THRESHOLD, dearest
from tests.spot_weather import GRAIN

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def month(valkey_url):
    with Redis.from_url(valkey_url) as redis, played(redis, 3) as played_month:
        yield played_month


def test_the_month_has_spot_and_its_interruptions_on_both_clouds_and_nothing_is_left(month):
    played_month, book = month
    assert played_month.preempted >= 10
    assert played_month.errors == 0
    assert all(state.ended for state in played_month.states.values())
    assert not played_month.gce.cloud.instances
    kinds = {(use.booked.cloud, use.booked.spot) for use in book.uses.values()}
    assert kinds == {("gcp", True), ("aws", True), ("aws", False)}


def test_each_machine_in_the_ledger_costs_what_its_cloud_bills_to_the_cent(month):
    played_month, book = month
    billed = {one.machine: (one, price) for one, price in played_month.billed()}
    booked = {use.booked.machine: use for use in book.uses.values()}
    assert booked.keys() == billed.keys()
    for machine, use in booked.items():
        assert use.cost(None, use.ended).quantize(CENT) == cost_of([billed[machine]]).quantize(CENT), use
    now = played_month.now
    assert book.total(None, now).quantize(CENT) == cost_of(billed.values()).quantize(CENT)
    assert book.total(None, now) > 1000


def test_spot_prices_have_changed_while_machines_ran_on_both_clouds(month):
    _, book = month
    repriced = [use for use in book.uses.values() if use.repriced]
    assert {use.booked.cloud for use in repriced} == {"aws", "gcp"}
    assert max(len(use.repriced) for use in repriced) > 1
    assert all(use.booked.spot for use in repriced)


def test_only_the_ends_that_ec2_does_not_tell_are_estimates(month):
    _, book = month
    estimated = [use for use in book.uses.values() if use.estimated]
    assert estimated
    assert all(use.booked.cloud == "aws" and use.booked.spot for use in estimated)


def test_what_runs_until_six_ends_at_six_on_the_wall_also_after_the_clocks_have_changed(month):
    played_month, _ = month
    ends = {name: state.ended.at for name, state in played_month.states.items() if name.startswith("until-")}
    assert {"until-10-24", "until-10-25", "until-10-26"} <= ends.keys()
    for name, at in ends.items():
        local = at.astimezone(PARIS)
        assert f"until-{local:%m-%d}" == name
        assert timedelta() <= local - local.replace(hour=18, minute=0, second=0) <= 4 * GRAIN, (name, local)
    assert ends["until-10-25"].astimezone(UTC).hour == 17
    assert ends["until-10-24"].astimezone(UTC).hour == 16


def test_what_has_hours_is_billed_within_them_on_each_day_also_on_that_of_25_hours(month):
    _, book = month
    uses = [use for use in book.uses.values() if use.owner.name == "hours"]
    days = {f"10-{day}" for day in range(22, 29)}
    assert {f"{use.booked.began.astimezone(PARIS):%m-%d}" for use in uses} == days
    for use in uses:
        began, ended = use.booked.began.astimezone(PARIS), use.ended.astimezone(PARIS)
        nine, noon = (began.replace(hour=hour, minute=0, second=0) for hour in (9, 12))
        assert nine <= began < ended <= noon + 8 * GRAIN, use


def test_what_was_denied_or_not_decided_in_time_has_no_deployment_and_no_machine(month):
    played_month, book = month
    by_owner = {use.booked.machine: use.owner.name for use in book.uses.values()}
    assert not {by_owner[one.machine] for one, _ in played_month.billed()} & {DENIED, EXPIRED}
    assert not played_month.states.keys() & {DENIED, EXPIRED}
    denied, expired = (played_month.approvals.request(name) for name in (DENIED, EXPIRED))
    assert (denied.stage, denied.reason, denied.done) == (DeedStage.DECLINED, REASON, False)
    assert (expired.stage, expired.done) == (DeedStage.WAITING, False)
    assert not expired.is_open(expired.made_at + EXPIRES)
    assert played_month.approvals.refused == {APPROVED: DECIDED, DENIED: DECIDED, EXPIRED: DECIDED}


def test_what_was_approved_is_billed_from_then_to_its_end_and_never_above_its_ceiling(month):
    played_month, book = month
    state, request = played_month.states[APPROVED], played_month.approvals.request(APPROVED)
    assert (request.stage, request.done, state.approved.request) == (DeedStage.GRANTED, True, request.id)
    uses = [use for use in book.uses.values() if use.owner.name == APPROVED]
    machines = {use.booked.machine for use in uses}
    billed = [(one, price) for one, price in played_month.billed() if one.machine in machines]
    assert len(billed) == len(machines) == 2
    hours = timedelta(hours=6)
    for one, _ in billed:
        assert request.decided_at <= one.began < one.ended <= request.decided_at + hours + 4 * GRAIN
        assert one.ended - one.began > hours - timedelta(hours=1)
    assert state.requested_at == request.decided_at
    assert state.ceiling == request.ceiling
    assert THRESHOLD < dearest(billed) <= state.ceiling
    booked = sum(use.cost(None, use.ended) for use in uses)
    assert booked.quantize(CENT) == cost_of(billed).quantize(CENT)


@pytest.mark.parametrize("channel", [RESEARCH, SALES])
def test_the_digest_of_each_monday_says_what_the_clouds_bill_for_its_week(month, channel):
    played_month, book = month
    of_channel = {use.booked.machine for use in book.uses.values() if use.owner.channel == channel}
    billed = [(one, price) for one, price in played_month.billed() if one.machine in of_channel]
    told = Decimal(0)
    for number in range(1, 6):
        monday = BEGINS + number * 7 * DAY + timedelta(hours=9)
        week = last_week(monday.astimezone(UTC), PARIS)
        used = [use for use in book.used(week.since, week.until) if use.owner.channel == channel]
        expected = cost_of(billed, week.since, week.until)
        said = digest(used, week).text
        assert usd(expected) in said
        told += expected
    assert told.quantize(CENT) == cost_of(billed).quantize(CENT)
    assert told > 0
