"""GCP's prices are put together from host, memory, GPUs and local SSD; a machine that lacks a part has no price."""

import json
from datetime import date
from decimal import Decimal

import msgspec
import pytest

from tests.fakes.gcp import GcpCloud
from workers.clouds.driver import DriverError
from workers.clouds.gcp.quotes import Sku, gcp_prices, gcp_zones, quotes, rates
from workers.placement import prices
from workers.placement.catalog import shipped
from workers.sandbox.gce.billing import sku

TODAY = date(2026, 11, 29)
IOWA = "us-central1"

# USD of Google's catalogue for us-central1.
A2 = {"A2 Instance Core": "0.031611", "A2 Instance Ram": "0.004237"}
G2 = {"G2 Instance Core": "0.024988", "G2 Instance Ram": "0.002927"}
GPUS = {"Nvidia Tesla A100 GPU": "2.933908", "Nvidia Tesla A100 80GB GPU": "3.92808", "Nvidia L4 GPU": "0.560004"}


@pytest.fixture
def cloud():
    cloud = GcpCloud()
    yield cloud
    cloud.close()


def item(name, usd, *, region=IOWA, unit="h", place="Americas", **more):
    description = f"{name} running in {place}"
    return sku(description, Decimal(usd), region, unit, **more)


def catalogue(*more, without=(), spot=False):
    """The parts of A2 and G2 machines, with further items."""
    host = [
        item(f"{'Spot Preemptible ' if spot else ''}{name}", usd, unit="GiBy.h" if "Ram" in name else "h", spot=spot)
        for name, usd in (A2 | G2).items()
        if name not in without
    ]
    attached = " attached to Spot Preemptible VMs" if spot else ""
    gpus = [item(f"{name}{attached}", usd, spot=spot) for name, usd in GPUS.items() if name not in without]
    disk = sku(f"SSD backed Local Storage{attached}", Decimal("0.08"), IOWA, "GiBy.mo", spot=spot)
    return [*host, *gpus, *([] if "SSD" in without else [disk]), *more]


def told(items):
    skus = (msgspec.convert(one, Sku) for one in items)
    return {(q.instance_type, q.region, q.spot): q.usd_per_hour for q in quotes(rates(skus))}


@pytest.mark.parametrize("spot", [False, True])
def test_a_machine_costs_its_cores_its_memory_its_gpus_and_its_local_ssd(spot):
    found = told(catalogue(spot=spot))
    assert {(type_, region, str(usd)) for (type_, region, is_spot), usd in found.items() if is_spot is spot} >= {
        ("a2-highgpu-1g", IOWA, "3.6734"),
        ("a2-highgpu-8g", IOWA, "29.3871"),
        ("a2-ultragpu-1g", IOWA, "5.0688"),  # with 375 GiB of SSD
        ("a2-ultragpu-2g", IOWA, "10.1376"),
        ("g2-standard-4", IOWA, "0.7068"),
        ("g2-standard-96", IOWA, "8.0028"),
    }
    assert {is_spot for _, _, is_spot in found} == {spot}


def test_these_are_the_prices_of_our_table_to_half_a_cent():
    found = told(catalogue())
    ours = {r.instance_type: r.on_demand for r in shipped() if r.region == IOWA and r.cloud == "gcp"}
    assert len(found) == 16
    assert all(abs(usd - ours[type_]) < Decimal("0.005") for (type_, _, _), usd in found.items())


@pytest.mark.parametrize("part", [*A2, *GPUS, "SSD"])
def test_a_machine_of_which_a_part_has_no_price_has_none_itself(part):
    found, whole = told(catalogue(without=(part,))), told(catalogue())
    lost = {type_ for type_, _, _ in whole.keys() - found.keys()}
    needs = {"A2 Instance Core": "a2-", "A2 Instance Ram": "a2-", "Nvidia Tesla A100 GPU": "a2-highgpu-"}
    needs |= {"Nvidia Tesla A100 80GB GPU": "a2-ultragpu-", "Nvidia L4 GPU": "g2-", "SSD": "a2-ultragpu-"}
    assert lost == {type_ for type_, _, _ in whole if type_.startswith(needs[part])}


@pytest.mark.parametrize(
    "other",
    [
        item("Nvidia L4 GPU attached to DWS Defined Duration VMs", "0.01"),
        item("Nvidia L4 GPU attached to Sole Tenancy VMs", "0.01"),
        item("Reserved Nvidia L4 GPU", "0.01"),
        item("Nvidia L4 Virtual Workstation GPU", "0.01"),
        item("Nvidia L40 GPU", "0.01"),
        item("Nvidia H100 80GB Plus GPU", "0.01"),
        item("G2 Custom Instance Core", "0.01"),
        item("Commitment v1: Nvidia L4 GPU", "0.01", usage="Commit1Yr"),
        item("Nvidia L4 GPU", "0.01", usage="Commit1Yr"),
        item("Nvidia L4 GPU", "0.01", unit="mo"),
        item("Nvidia L4 GPU", "0"),
        item("Nvidia L4 GPU", "0.01", region="us-east1"),
        item("Nvidia L4 GPU", "0.01") | {"pricingInfo": []},
        json.loads(json.dumps(item("Nvidia L4 GPU", "0.01")).replace("USD", "EUR")),
    ],
    ids=lambda one: one["description"][:30],
)
def test_other_items_do_not_count(other):
    both = [*catalogue(), *catalogue(spot=True)]
    assert told([*both, other]) == told(both)


def test_two_prices_of_one_part_are_none():
    twice = told(catalogue(item("Nvidia L4 GPU", "0.4", place="Iowa")))
    assert {type_ for type_, _, _ in twice} == {
        f"a2-{kind}gpu-{n}g" for kind in ("high", "ultra") for n in (1, 2, 4, 8)
    }
    assert told(catalogue(item("Nvidia L4 GPU", "0.560004", place="Iowa"))) == told(catalogue())  # the same twice


@pytest.mark.parametrize("units", ["NaN", "-3", "Infinity", "1000000", "1e999999", "x"])
def test_a_part_with_an_impossible_price_gives_a_sentence_and_no_price(units):
    l4 = json.loads(json.dumps(item("Nvidia L4 GPU", "0.560004")).replace('"units": "0"', f'"units": "{units}"'))
    read = quotes(rates(msgspec.convert(one, Sku) for one in catalogue(l4, without=("Nvidia L4 GPU",))))
    merged = prices.merge(shipped(), read, today=TODAY)
    kept = next(r for r in merged.table if r.key == ("gcp", "us-central1-a", "g2-standard-96"))
    assert (str(kept.on_demand), kept.read_on) == ("8.0033", "2026-08-03")
    why = "Left out g2-standard-96 in us-central1 from GCP's price list: NaN USD/h is not a valid price."
    assert why in merged.dropped


def test_what_is_not_sold_on_demand_gets_a_spot_price_alone():
    host = [item("A3 Instance Core", "0.03"), item("A3 Instance Ram", "0.003", unit="GiBy.h")]
    spot = [item(f"Spot Preemptible {one['description'].partition(' running')[0]}", "0.01", spot=True) for one in host]
    spot[1]["pricingInfo"][0]["pricingExpression"]["usageUnit"] = "GiBy.h"
    gpus = [item("Nvidia H100 80GB GPU", "9.8"), item("Nvidia H100 80GB GPU attached to Spot Preemptible VMs", "3")]
    found = told(catalogue(*host, *spot, *gpus) + catalogue(spot=True))
    assert {(type_, spot) for type_, _, spot in found if type_.startswith("a3")} == {
        *((f"a3-highgpu-{n}g", True) for n in (1, 2, 4, 8)),
        ("a3-highgpu-8g", False),
    }


def test_all_pages_are_read_and_their_prices_are_those_of_the_table(cloud):
    read, zones = gcp_prices(cloud.driver.api), gcp_zones(cloud.driver.api)
    merged = prices.merge(shipped(), read.quotes, zones.sold, today=TODAY)
    assert (merged.dropped, read.failed, zones.failed) == ((), (), ())
    before = {row.key: row for row in shipped()}
    refreshed = [row for row in merged.table if row.cloud == "gcp"]
    assert len(refreshed) == 428
    for row in refreshed:
        was = before[row.key]
        assert row.on_demand is was.on_demand or abs(row.on_demand - was.on_demand) <= Decimal("0.001")
        assert row.spot is was.spot or abs(row.spot - was.spot) <= Decimal("0.001")
        assert row.on_demand is None or row.read_on == "2026-11-29"
    assert len(cloud.calls("services.skus.list")) > 2
    assert len(cloud.calls("machineTypes.aggregatedList")) > 2


def test_a_zone_that_does_not_answer_makes_its_region_unknown_alone(cloud):
    whole = gcp_zones(cloud.driver.api)
    cloud.fault("unreachable", zone="us-east4-a", method="machineTypes.*")
    found = gcp_zones(cloud.driver.api)
    assert found.failed == ("GCP did not list the machine types of us-east4-a",)
    assert whole.sold.keys() - found.sold.keys() == {("gcp", "us-east4")}
    merged = prices.merge(shipped(), gcp_prices(cloud.driver.api).quotes, found.sold, today=TODAY)
    assert next(r for r in merged.table if r.key == ("gcp", "us-east4-a", "g2-standard-96")).on_demand


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("accessNotConfigured", "gcloud services enable cloudbilling.googleapis.com --project a-project"),
        ("backendError", "GCP's price list: HTTP 503 Internal error. Please try again."),
        ("forbidden", "GCP's price list: HTTP 403 Required 'compute.instances.create' permission"),
    ],
)
def test_a_refusal_is_a_sentence(cloud, fault, says):
    cloud.fault(fault, method="services.*")
    with pytest.raises(DriverError) as caught:
        gcp_prices(cloud.driver.api)
    assert says in str(caught.value)


def test_a_lost_connection_and_a_half_page_are_sentences(cloud):
    cloud.fault("lost", method="services.skus.list")
    with pytest.raises(DriverError, match=r"GCP gave no answer to cloudbilling\.googleapis\.com"):
        gcp_prices(cloud.driver.api)
    cloud.mend()
    cloud.driver.api.rest = lambda *_: (200, b'{"skus": [{"descr')
    with pytest.raises(DriverError, match="GCP's price list cannot be read"):
        gcp_prices(cloud.driver.api)


def test_machines_that_the_table_lacks_get_rows_once_the_cloud_tells_their_zones():
    host = [item("G4 Instance Core", "0.04891"), item("G4 Instance Ram", "0.004", unit="GiBy.h")]
    found = quotes(rates(msgspec.convert(one, Sku) for one in [*host, item("RTX 6000 96GB", "1.5")]))
    sold = {("gcp", IOWA): frozenset({("us-central1-b", "g4-standard-96")})}
    merged = prices.merge((), found, sold, today=TODAY)
    [row] = merged.table
    assert (row.zone, row.accelerator, row.count) == ("us-central1-b", "RTXPRO6000", 2)
    assert (row.vcpus, row.memory_gib) == (96, 360)
    assert row.on_demand == Decimal("9.1354")
