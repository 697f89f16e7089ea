"""AWS's prices and zones: pages, regions that fail, and local zones."""

from datetime import date

import pytest

from tests.fakes.aws_wire import AwsWire, product
from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.quotes import aws_on_demand, aws_spot, aws_zones
from workers.clouds.driver import DriverError
from workers.placement import prices
from workers.placement.catalog import shipped

G6E = "g6e.12xlarge"
REGIONS = ("us-east-1", "us-west-2")
TODAY = date(2026, 11, 30)


@pytest.fixture
def aws():
    wire = AwsWire()
    wire.price_list = {G6E: [product("us-east-1", "10.2"), product("us-west-2", "10.3")]}
    wire.spot = {("us-east-1", "us-east-1a", G6E): "3.1", ("us-west-2", "us-west-2a", G6E): "3.2"}
    wire.offered = {"us-east-1": [("use1-az1", G6E), ("use1-az3", G6E), ("use1-bos1-az1", G6E)], "us-west-2": []}
    yield wire
    wire.close()


def merged(*readings):
    quotes = [quote for reading in readings for quote in reading.quotes]
    sold = {at: there for reading in readings for at, there in reading.sold.items()}
    table = prices.merge(shipped(), quotes, sold, today=TODAY).table
    return {row.zone: row for row in table if row.instance_type == G6E}


def test_a_region_that_fails_keeps_its_own_prices_and_zones_alone(aws):
    api = AwsClient(aws.environ)
    listed = aws_on_demand(api, [G6E])
    spot, zones = aws_spot(api, [G6E], REGIONS), aws_zones(api, [G6E], REGIONS)
    found = merged(listed, spot, zones)
    assert (str(found["use1-az1"].spot), str(found["usw2-az1"].spot)) == ("3.1", "3.2")
    assert str(found["use1-az3"].on_demand) == "10.2"  # a new zone
    gone = found["use1-az2"]
    assert (gone.on_demand, gone.spot, gone.spot_only, gone.no_spot, gone.read_on) == (
        None,
        None,
        True,
        True,
        "2026-11-30",
    )
    assert "use1-bos1-az1" not in found  # a local zone
    assert str(found["usw2-az1"].on_demand) == "10.3"  # an empty list is no answer
    assert spot.failed == zones.failed == ()

    aws.denied_in = {("DescribeSpotPriceHistory", "us-west-2"), ("DescribeInstanceTypeOfferings", "us-west-2")}
    spot, zones = aws_spot(api, [G6E], REGIONS), aws_zones(api, [G6E], REGIONS)
    found = merged(listed, spot, zones)
    assert (str(found["use1-az1"].spot), str(found["usw2-az1"].spot)) == ("3.1", "6.4585")
    assert [why.partition(":")[0] for why in (*spot.failed, *zones.failed)] == [
        "AWS's spot prices, us-west-2",
        "AWS's zones, us-west-2",
    ]
    aws.denied_in |= {("DescribeInstanceTypeOfferings", "us-east-1")}
    with pytest.raises(DriverError):
        aws_zones(api, [G6E], REGIONS)
    assert {region for action, region in aws.asked if action == "GetProducts"} == {"us-east-1"}


def test_a_zone_that_has_the_machine_again_gets_its_prices_again():
    def read(*zones, usd="10.2"):
        quote = prices.read_quote(cloud="aws", instance_type=G6E, region="us-east-1", zone="", price=usd, source="s")
        return prices.Reading(quotes=(quote,), sold={("aws", "us-east-1"): frozenset((zone, G6E) for zone in zones)})

    table = prices.merge(shipped(), read("use1-az1").quotes, read("use1-az1").sold, today=TODAY)
    assert f"{G6E} in use1-az2: the zone does not have it" in table.changed
    again = prices.merge(table.table, read("use1-az1").quotes, read("use1-az1", "use1-az2").sold, today=TODAY)
    [row] = [row for row in again.table if (row.zone, row.instance_type) == ("use1-az2", G6E)]
    assert (str(row.on_demand), row.spot_only, row.no_spot, row.spot) == ("10.2", False, False, None)
