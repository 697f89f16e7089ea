"""What machines have cost: sums, rows and the chart."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from bot.commands.cost_handler import span_of
from bot.language.command import Period
from bot.sandbox.block_kit import check_message_blocks
from bot.views.cost import Span, cost
from tests.person import words
from workers.deployment.events import DeploymentId
from workers.deployment.ledger import DeploymentBooked, MachineBooked, Use
from workers.deployment.token_counts import Tokens

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def use(name, began, hours, usd="2.00", *, spot=False, on_demand="5.00", ended=True, user="U0ROBIN0001"):
    id_ = DeploymentId(f"d-{name}")
    owner = DeploymentBooked(
        deployment=id_, at=began, name=name, recipe="mixtral-8x7b", user=user, channel="C0GENERAL01"
    )
    booked = MachineBooked(
        deployment=id_,
        attempt=1,
        machine="i-1",
        cloud="aws",
        region="us-east-1",
        zone="use1-az1",
        instance_type="p4d.24xlarge",
        spot=spot,
        usd_per_hour=None if usd is None else Decimal(usd),
        on_demand_usd_per_hour=Decimal(on_demand) if spot else None,
        began=began,
    )
    return Use(booked=booked, owner=owner, ended=began + timedelta(hours=hours) if ended else None)


def month(now=NOW, zone=UTC):
    return span_of(Period.MONTH, now, zone)


def shown(uses, span, about=""):
    message = cost(uses, span, about)
    check_message_blocks(list(message.blocks))
    return words({"text": message.text, "blocks": list(message.blocks)})


def test_the_month_is_summed_by_kind_and_by_deployment_the_dearest_first():
    said = shown(
        [use("small", NOW - timedelta(hours=20), 10), use("big", NOW - timedelta(hours=50), 40, "3.00", spot=True)],
        month(),
    )
    assert "November: 140.00 USD" in said
    assert "On demand 20.00 USD, spot 120.00 USD. Spot machines cost 80.00 USD less" in said
    assert said.index("*big*") < said.index("*small*")
    assert "40.0 machine hours · ended" in said


def test_a_machine_that_runs_is_counted_up_to_now_and_only_from_the_first_of_the_month():
    said = shown([use("old", datetime(2026, 10, 30, tzinfo=UTC), 0, ended=False)], month())
    hours = 29 * 24 + 12
    assert f"November: {2 * hours:,}.00 USD" in said
    assert "1 machine running" in said


def test_where_nothing_was_used_that_is_said():
    assert "November of *fast*: 0.00 USD: no machine was used for the deployments that you can see." in shown(
        [], month(), " of *fast*"
    )


def test_an_end_by_our_clock_and_disks_are_marked_as_estimates():
    exact = use("fast", NOW - timedelta(hours=20), 10)
    ours = replace(exact, estimated=True, booked=replace(exact.booked, disk_gib=730))
    assert "≈" not in shown([exact], month())
    said = shown([ours], month())
    assert "November: ≈ 20.00 USD" in said
    assert "the cloud did not report when 1 machine ended" in said
    assert "Not included: boot disks, estimated at ≈ 0.80 USD." in said


def test_of_one_name_the_price_of_a_million_tokens_is_shown_and_otherwise_that_it_is_unknown():
    used = [use("fast", NOW - timedelta(hours=20), 10)]

    def said(tokens):
        message = cost(used, month(), " of *fast*", tokens, one=True)
        check_message_blocks(list(message.blocks))
        return words({"text": message.text, "blocks": list(message.blocks)})

    assert "4.00 USD per million tokens: 4,000,000 tokens of prompts and 1,000,000 of answers" in said(
        Tokens(4_000_000, 1_000_000)
    )
    assert "unknown, because the engine reports no tokens" in said(None)
    assert "none were processed" in said(Tokens())
    assert "million" not in shown(used, month())


def test_a_machine_without_a_known_price_is_named_and_not_counted():
    said = shown([use("odd", NOW - timedelta(hours=3), 1, usd=None)], month())
    assert "November: at least 0.00 USD" in said
    assert "1 machine is not counted, because the price is not known." in said


def test_the_bars_add_up_to_the_sum_also_over_a_change_of_the_clocks():
    span = Span(
        title="x", since=datetime(2026, 10, 20, tzinfo=PARIS), until=datetime(2026, 10, 29, 9, tzinfo=PARIS), zone=PARIS
    )
    [chart] = [
        b
        for b in cost([use("a", datetime(2026, 10, 19, tzinfo=UTC), 400)], span, "").blocks
        if b["type"].startswith("data")
    ]
    points = chart["chart"]["series"][0]["data"]
    by_day = {point["label"]: point["value"] for point in points}
    assert by_day["24 Oct"] == 48.0
    assert by_day["25 Oct"] == 50.0, "the day has 25 hours"
    assert by_day["29 Oct"] == 18.0
    assert sum(by_day.values()) == (9 * 24 + 9 + 1) * 2


@pytest.mark.parametrize(("day", "bars"), [(1, 0), (7, 7), (20, 20), (21, 11), (31, 16)])
def test_a_long_month_has_a_bar_for_two_days_and_one_day_has_none(day, bars):
    now = datetime(2026, 12, day, 12, tzinfo=UTC)
    message = cost([use("a", now - timedelta(hours=2), 1)], month(now), "")
    check_message_blocks(list(message.blocks))
    charts = [b["chart"] for b in message.blocks if b["type"] == "data_visualization"]
    assert [len(chart["axis_config"]["categories"]) for chart in charts] == ([bars] if bars else [])


def test_many_labels_are_days_and_the_title_names_their_month_and_their_number():
    now = datetime(2026, 12, 31, 12, tzinfo=UTC)
    blocks = cost([use("a", now - timedelta(minutes=2), 0, ended=False)], month(now), "").blocks
    [chart] = [block for block in blocks if block["type"] == "data_visualization"]
    assert chart["title"] == "USD per 2 days of December"
    labels = chart["chart"]["axis_config"]["categories"]
    assert (labels[0], labels[-1]) == ("1-2", "31")
    assert "under 0.1 machine hours" in words({"text": "", "blocks": list(blocks)})


def test_of_a_hundred_deployments_the_dearest_have_a_row_and_the_others_a_sum():
    said = shown([use(f"m-{n}", NOW - timedelta(hours=200), n) for n in range(1, 101)], month())
    assert "more deployments" in said
    assert f"{sum(range(1, 89)) * 2:,}.00 USD · 88 more deployments" in said


def test_a_week_begins_on_monday_and_a_day_at_midnight_of_the_reader():
    now = datetime(2026, 11, 29, 23, 30, tzinfo=UTC)  # Monday, 00:30 in Paris
    assert span_of(Period.WEEK, now, PARIS).since == datetime(2026, 11, 30, tzinfo=PARIS)
    assert span_of(Period.WEEK, now, UTC).since == datetime(2026, 11, 23, tzinfo=UTC)
    assert span_of(Period.TODAY, now, PARIS).since == datetime(2026, 11, 30, tzinfo=PARIS)
