"""The price table is read whole, its doubts are marked, and a broken line is named."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from workers.placement import catalog
from workers.placement.catalog import COLUMNS, PricesError, load, rows

HEADER = ",".join(COLUMNS) + "\n"


def table(on_demand, spot):
    return rows(f"{HEADER}gcp,r,r-a,t,A100,1,40,12,85,{on_demand},{spot}\n", "p.csv")[0]


def test_our_table_has_204_machines_each_on_demand_and_spot():
    offers = [offer for offer in load() if offer.zone]
    assert len(offers) == 2 * 204
    assert sum(offer.spot for offer in offers) == 204
    assert {offer.cloud for offer in offers} == {"aws", "gcp"}


def test_our_table_agrees_with_a_plain_reading_of_its_doubts():
    with (Path(catalog.__file__).parent / "offers.csv").open() as file:
        plain = {
            (row["zone"], row["instance_type"]): (
                Decimal(row["on_demand_usd_h"]),
                Decimal(row["spot_usd_h"]) if row["spot_usd_h"] else None,
            )
            for row in csv.DictReader(file)
        }
    for offer in load():
        if not offer.zone:
            continue
        on_demand, spot = plain[offer.zone, offer.instance_type]
        if not offer.spot:
            assert (offer.usd_per_hour, offer.doubtful) == (on_demand, None)  # none is below its spot price
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
        (catalog.on_demand(row), asked_on_demand),
        (catalog.spot(row), asked_spot),
    ):
        assert offer.usd_per_hour == (None if price is None else Decimal(price))
        assert (doubt in offer.doubtful) if doubt else offer.doubtful is None


@pytest.mark.parametrize(
    ("on_demand", "spot", "beside"),
    [("10", "4", "10"), ("3", "9", "9"), ("", "4", None), ("10", "", "10")],
)
def test_spot_knows_what_it_saves_and_a_doubtful_row_promises_nothing(on_demand, spot, beside):
    row = table(on_demand, spot)
    found = catalog.spot(row)
    assert found.on_demand_usd_per_hour == (None if beside is None else Decimal(beside))
    assert beside is None or found.on_demand_usd_per_hour >= found.usd_per_hour
    assert catalog.on_demand(row).on_demand_usd_per_hour is None


def test_types_that_the_table_lacks_are_offered_without_price_and_place():
    unpriced = [offer for offer in load() if not offer.zone]
    assert {offer.accelerator for offer in unpriced} == {"A10G", "L4", "L40S", "H100", "H200"}
    assert all(offer.usd_per_hour is None and offer.region == "" for offer in unpriced)
    assert "p5.48xlarge" not in {offer.instance_type for offer in unpriced}
    assert {"g5.xlarge", "p5e.48xlarge", "a3-highgpu-8g"} <= {offer.instance_type for offer in unpriced}


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
    assert catalog.dated() == "read in 2026-11"


def test_a_machine_without_a_gpu_may_be_priced():
    row = rows(HEADER + "aws,r,r-1,m7i.large,,,,2,8,0.1,\n", "p.csv")[0]
    assert (row.accelerator, row.count) == (None, 0)
