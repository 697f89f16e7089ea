"""A price that is much lower than its peers, or than the shipped one, is doubtful and is never taken first."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from recipes.loader import find, load
from tests.builders.machines import refusal
from tests.builders.offers import ladder, offer
from workers.decision.mix import Lack, Mix, open_offers
from workers.deployment.events import OfferRefused
from workers.deployment.log import stamp
from workers.placement import catalog
from workers.placement.batches import batch
from workers.placement.catalog import rows
from workers.placement.doubts import comparison, offers_of, on_demand
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan

OURS = rows(catalog.ours().read_text(), "offers.csv")
FALSE = rows((Path(__file__).parent / "data" / "gcp-host-or-gpu-missing.csv").read_text(), "p.csv")
"""GCP's rows of a table of 2026-11-23: 52 of 104 lack the price of the host or of the GPUs."""

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
USABLE = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp")}
MIXTRAL = load(find("mixtral-8x7b"), {})


def doubtful(table, shipped=()):
    against = comparison(table, shipped)
    return {row.key for row in table if row.on_demand is not None and on_demand(row, against).doubtful}


def cheaper(table, key, share):
    """The table with the on-demand price of one row at a share of what it was; the spot price stays below it."""
    price = next(row.on_demand for row in table if row.key == key) * Decimal(share)
    return tuple(replace(row, on_demand=price, spot=price / 2) if row.key == key else row for row in table)


def first(table, shipped=()):
    """The rungs of Mixtral 8x7B, and the offers of its first call."""
    rungs = plan(MIXTRAL, catalog.offers(table, shipped), statuses=USABLE)
    return rungs, open_offers(Lack.ANY, Mix(), rungs=rungs, attempts=(), failures=(), refusals=(), now=None)


def test_no_row_of_our_table_is_doubtful_by_the_rules_on_low_prices():
    assert doubtful(OURS) == doubtful(OURS, OURS) == set()
    against = comparison(OURS, OURS)
    for row in OURS:
        assert [(o.spot, o.usd_per_hour, o.doubtful) for o in offers_of(row, against)] == [
            (o.spot, o.usd_per_hour, o.doubtful) for o in offers_of(row)
        ]


def test_spot_is_not_compared_an_outlier_is_a_true_price():
    outlier = next(row for row in OURS if row.key == ("aws", "use1-az1", "p4d.24xlarge"))
    assert [o.doubtful for o in offers_of(outlier, comparison(OURS, OURS))] == [None, None]
    assert outlier.spot == Decimal("2.4655")


def test_of_the_false_rows_36_are_far_below_their_peers_and_52_below_our_table():
    true = {row.key: row.on_demand for row in OURS}
    wrong = {row.key for row in FALSE if row.on_demand < true[row.key] * Decimal("0.75")}
    assert len(wrong) == 52
    assert len(doubtful(FALSE)) == 36
    assert doubtful(FALSE) < wrong
    assert doubtful(FALSE, OURS) == wrong


@pytest.mark.parametrize(
    "key",
    [
        ("gcp", "us-east4-a", "g2-standard-96"),
        ("gcp", "us-central1-a", "a2-ultragpu-2g"),
        ("aws", "use1-az1", "g6e.12xlarge"),
        ("aws", "use1-az2", "g7e.12xlarge"),
        ("aws", "usw2-az1", "p4d.24xlarge"),
    ],
)
@pytest.mark.parametrize("shipped", [(), OURS])
def test_a_row_at_60_percent_of_its_peers_is_doubtful_and_never_taken_first(key, shipped):
    rungs, asked = first(cheaper(OURS, key, "0.6"), shipped)
    [odd] = [rung.offer for rung in rungs if (rung.offer.cloud, rung.offer.zone, rung.offer.instance_type) == key]
    assert "below" in odd.doubtful
    assert [rung.offer for rung in rungs if rung.usable][-1] == odd
    assert odd not in asked
    assert odd.usd_per_hour >= Decimal("0.9") * next(row.on_demand for row in OURS if row.key == key)


def test_a_doubtful_offer_is_not_asked_for_with_a_sound_one_of_the_same_price_even_if_its_zone_is_recommended():
    dearer, sound, doubted = offer("r-b", 9, instance_type="t"), offer("r-c", 9), offer("r-a", 9, doubtful="why")
    assert batch([sound, doubted]) == (sound,)
    said = refusal([replace(sound, zone="r-x")], zones_with_capacity=("r-a",))
    recorded = [OfferRefused(**stamp(NOW), attempt=1, refusals=(said,))]
    asked = open_offers(
        Lack.ANY, Mix(), rungs=ladder(sound, dearer, doubted), attempts=(), failures=(), refusals=recorded, now=NOW
    )
    assert asked == (sound,)


def test_a_price_a_fifth_below_its_peers_is_taken_first():
    key = ("gcp", "us-east4-a", "g2-standard-96")
    rungs, asked = first(cheaper(OURS, key, "0.8"), OURS)
    assert asked[0].zone == rungs[0].offer.zone == "us-east4-a"
    assert not rungs[0].offer.doubtful


def test_sizes_of_a_gpu_are_peers_only_with_as_many_vcpus_a_gpu():
    text = ",".join(catalog.COLUMNS) + "\n"
    sizes = [(4, 1), (5, 1), (6, 1), (30, 10)]
    lines = [f"gcp,r,r-{n},t{v},L4,1,24,{v},16,{usd}," for n, (v, usd) in enumerate(sizes)]
    assert doubtful(rows(text + "\n".join(lines), "p.csv")) == set()
    twice = [f"gcp,r,r-{n},u{c},L4,{c},24,{4 * c},16,{usd}," for n, (c, usd) in enumerate([(1, 1), (1, 1), (8, "4.7")])]
    assert doubtful(rows(text + "\n".join(twice), "p.csv")) == {("gcp", "r-2", "u8")}


def test_a_table_of_ones_own_is_compared_with_ours(tmp_path):
    file = tmp_path / "p.csv"
    text = ",".join(catalog.COLUMNS)
    file.write_text(f"{text}\ngcp,us-central1,us-central1-a,a2-ultragpu-2g,A100-80GB,2,80,24,340,5.8916,\n")
    [offer] = [o for o in catalog.load(file) if o.zone and not o.spot]
    assert offer.usd_per_hour == Decimal("10.1376")
    assert offer.doubtful == ("the table's on-demand price, 5.8916, is 42 % below the price in offers.csv, 10.1376")
