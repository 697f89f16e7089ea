"""The price table is read whole, its doubts are marked, and a broken line is named."""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec import UNSET

from workers.placement import catalog, doubts, prices
from workers.placement.catalog import COLUMNS, PricesError, load, rows
from workers.placement.unpriced import SPOT_ONLY, TYPES

HEADER = ",".join(COLUMNS) + "\n"
OURS = rows(catalog.ours().read_text(), "offers.csv")


def table(on_demand, spot):
    return rows(f"{HEADER}gcp,r,r-a,t,A100,1,40,12,85,{on_demand},{spot}\n", "p.csv")[0]


def test_our_table_has_996_machines_of_which_72_are_not_sold_on_demand():
    offers = [offer for offer in load() if offer.zone]
    assert sum(offer.spot for offer in offers) == 996
    assert sum(not offer.spot for offer in offers) == 996 - 72
    assert {offer.cloud for offer in offers} == {"aws", "gcp"}


def test_our_table_agrees_with_a_plain_reading_of_its_doubts():
    with (Path(catalog.__file__).parent / "offers.csv").open() as file:
        plain = {
            (row["zone"], row["instance_type"]): (
                Decimal(row["on_demand_usd_h"]) if row["on_demand_usd_h"] else None,
                Decimal(row["spot_usd_h"]) if row["spot_usd_h"] else None,
            )
            for row in csv.DictReader(file)
        }
    for offer in load():
        if not offer.zone:
            continue
        on_demand, spot = plain[offer.zone, offer.instance_type]
        if not offer.spot:
            assert on_demand is not None
            assert (offer.usd_per_hour, offer.doubtful) == (on_demand, None)  # none is below its spot price
        elif on_demand is None:
            assert (offer.usd_per_hour, offer.doubtful) == (spot, None)  # not sold on demand
        elif spot is None or round(spot, 4) >= round(on_demand, 4):
            assert offer.doubtful
            assert offer.usd_per_hour in (on_demand, spot)
        else:
            assert (offer.usd_per_hour, offer.doubtful) == (spot, None)


@pytest.mark.parametrize(
    ("on_demand", "spot", "asked_on_demand", "asked_spot"),
    [
        ("10", "4", ("10", None), ("4", None)),
        ("10", "10", ("10", None), ("10", "equals")),
        ("27.43298", "27.433", ("27.43298", None), ("27.433", "equals")),
        ("10", "", ("10", None), ("10", "no spot price")),
        ("3", "9", ("9", "below its spot price"), ("9", "below its spot price")),
        ("", "4", (None, None), ("4", "no on-demand price")),
        ("", "", (None, None), (None, None)),
    ],
)
def test_a_doubtful_price_is_marked_and_reckoned_at_the_higher_of_the_two(on_demand, spot, asked_on_demand, asked_spot):
    row = table(on_demand, spot)
    for offer, (price, doubt) in (
        (doubts.on_demand(row), asked_on_demand),
        (doubts.spot(row), asked_spot),
    ):
        assert offer.usd_per_hour == (None if price is None else Decimal(price))
        assert (doubt in offer.doubtful) if doubt else offer.doubtful is None


@pytest.mark.parametrize(
    ("on_demand", "spot", "beside"),
    [("10", "4", "10"), ("3", "9", "9"), ("", "4", None), ("10", "", "10")],
)
def test_spot_knows_what_it_saves_and_a_doubtful_row_promises_nothing(on_demand, spot, beside):
    row = table(on_demand, spot)
    found = doubts.spot(row)
    assert found.on_demand_usd_per_hour == (None if beside is None else Decimal(beside))
    assert beside is None or found.on_demand_usd_per_hour >= found.usd_per_hour
    assert doubts.on_demand(row).on_demand_usd_per_hour is None


def test_types_that_the_table_lacks_are_offered_without_price_and_place():
    unpriced = [offer for offer in load() if not offer.zone]
    assert {offer.accelerator for offer in unpriced} == {"A10G", "H200", "L4", "L40S", "T4"}
    assert all(offer.usd_per_hour is None and offer.region == "" for offer in unpriced)
    assert "p5.48xlarge" not in {offer.instance_type for offer in unpriced}
    assert {"g5.4xlarge", "p5e.48xlarge", "g4dn.metal"} <= {offer.instance_type for offer in unpriced}


def test_each_type_of_our_table_is_described_alike_among_the_types():
    described = {one[:2]: one[2:] for one in TYPES}
    for row in OURS:
        sizes = (row.accelerator, row.count, row.gpu_memory_gib, row.vcpus, row.memory_gib)
        assert described[row.cloud, row.instance_type] == sizes


def test_what_is_not_sold_on_demand_is_no_on_demand_offer_with_or_without_a_price():
    for offers in (load(), catalog.offers(())):
        sold = {(o.cloud, o.instance_type) for o in offers if not o.spot}
        assert sold.isdisjoint(SPOT_ONLY)
        assert {(o.cloud, o.instance_type) for o in offers if o.spot} >= SPOT_ONLY
    unknown = {(row.cloud, row.instance_type) for row in OURS if row.on_demand is None}
    assert unknown == SPOT_ONLY & {(row.cloud, row.instance_type) for row in OURS}


def test_a_table_of_ones_own_says_none_for_what_is_not_sold_on_demand(tmp_path):
    file = tmp_path / "p.csv"
    line = "aws,r,r-1,p9.large,A100,1,40,12,85,{},4\n"
    file.write_text(HEADER + line.format("none"))
    assert [(o.spot, o.doubtful) for o in load(file) if o.zone] == [(True, None)]
    [row] = rows(file.read_text(), "p.csv")
    assert rows(prices.as_csv([row]), "p.csv") == (row,)
    file.write_text(HEADER + line.format("") + "\n")
    assert [(o.spot, bool(o.doubtful)) for o in load(file) if o.zone] == [(False, False), (True, True)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("gcp,r,r-a,t,A100,1,40,12,85,abc,1", 'p.csv:2: on_demand_usd_h is "abc", not a number above 0'),
        ("gcp,r,r-a,t,A100,1,40,12,85,-1,1", 'p.csv:2: on_demand_usd_h is "-1"'),
        ("gcp,r,r-a,t,A100,1,40,12,85,1,NaN", 'p.csv:2: spot_usd_h is "NaN"'),
        ("gcp,r,r-a,t,A100,0,40,12,85,1,1", 'p.csv:2: count is "0", not a whole number of at least 1'),
        ("gcp,r,r-a,t,A100,1.5,40,12,85,1,1", 'p.csv:2: count is "1.5"'),
        ("gcp,r,,t,A100,1,40,12,85,1,1", "p.csv:2: zone is empty"),
        ("gcp,r,r-a,t,A100,1,40,12", "p.csv:2: has fewer cells than the header"),
        ("gcp,r,r-a,t,A100,1,40,12,85,1,1,1", "p.csv:2: has more cells than the header"),
        ("gcp,r,r-a,t,A100,1,40,12,85,1,1\ngcp,r,r-a,t,A100,1,40,12,85,2,1", "p.csv:3: repeats line 2"),
        ("gcp,r,r-a,t,A100,1,40,12,85,1,1\n\n,,", "p.csv:4: has fewer cells"),
        ('gcp,"r', "p.csv:2: unexpected end of data"),
    ],
)
def test_a_broken_line_is_named_with_its_file(line, says):
    with pytest.raises(PricesError) as caught:
        rows(HEADER + line + "\n", "p.csv")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_many_broken_lines_are_counted():
    with pytest.raises(PricesError, match=r"p\.csv:2: .*; p\.csv:3: .*; p\.csv:4: .*; and 2 more lines"):
        rows(HEADER + "x\n" * 5, "p.csv")


def test_a_table_without_a_column_is_refused():
    with pytest.raises(PricesError, match=r"p\.csv:1: the column cloud is missing"):
        rows("a,b\n1,2\n", "p.csv")


def test_a_table_that_is_not_there_or_is_no_text(tmp_path):
    with pytest.raises(PricesError, match="cannot be read: No such file"):
        load(tmp_path / "none.csv")
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(PricesError, match="is not UTF-8 text"):
        load(tmp_path / "p.csv")


def test_a_table_of_ones_own_is_read_again_when_it_changes(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text(HEADER + "gcp,r,r-a,t,A100,1,40,12,85,1,\n")
    assert [offer.usd_per_hour for offer in load(file) if offer.zone] == [Decimal(1), Decimal(1)]
    file.write_text(HEADER + "gcp,r,r-a,t,A100,1,40,12,85,22,\n")
    assert [offer.usd_per_hour for offer in load(file) if offer.zone] == [Decimal(22), Decimal(22)]
    assert "p.csv" in catalog.dated(file)


@pytest.mark.parametrize(
    ("days", "today", "told"),
    [
        ("2026-08-03,", "2026-08-10", "read on 2026-08-03 (GCP)"),
        ("2026-08-03,", "2026-08-11", "read on 2026-08-03 (GCP, 8 days ago)"),
        ("2026-11,", "2026-11-08", "read in 2026-11 (GCP)"),
        ("2026-11,", "2026-11-29", "read in 2026-11 (GCP, up to 28 days ago)"),
        ("2026-08-03,2026-11-28", "2026-11-29", "read from 2026-08-03 to 2026-11-28 (GCP, up to 118 days ago)"),
        ("2026-11-28,", "2026-11-01", "read on 2026-11-28 (GCP)"),
    ],
)
def test_a_price_older_than_a_week_has_its_age_beside_it(tmp_path, days, today, told):
    file = tmp_path / "p.csv"
    file.write_text(f"{HEADER.strip()},read_on,spot_read_on\ngcp,r,r-a,t,A100,1,40,12,85,9,1,{days}\n")
    assert catalog.dated(file, date.fromisoformat(today)) == told


def test_each_offer_bears_the_day_on_which_its_own_price_was_read():
    text = f"{HEADER.strip()},read_on,spot_read_on\ngcp,r,r-a,t,A100,1,40,12,85,9,1,2026-08-03,2026-11-28\n"
    [row] = rows(text, "p.csv")
    assert [o.read_on for o in doubts.offers_of(row)] == ["2026-08-03", "2026-11-28"]
    assert table(9, 1).read_on == ""
    assert doubts.on_demand(table(9, 1)).read_on is UNSET
    with pytest.raises(PricesError, match=r'p\.csv:2: "yesterday" is not a date such as 2026-11-23'):
        rows(text.replace("2026-08-03", "yesterday"), "p.csv")


def test_our_table_has_a_day_for_each_price():
    assert catalog.dated(today=date(2026, 11, 29)) == (
        "read in 2026-11 (AWS, up to 28 days ago), on 2026-08-03 (GCP, 118 days ago)"
    )


def test_a_machine_without_a_gpu_may_be_priced():
    row = rows(HEADER + "aws,r,r-1,m7i.large,,,,2,8,0.1,\n", "p.csv")[0]
    assert (row.accelerator, row.count) == (None, 0)
