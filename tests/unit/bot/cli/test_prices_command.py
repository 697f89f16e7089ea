"""`mixtral-bot prices`: read from the clouds, sifted, merged, and written whole or not at all."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from bot.cli import prices_command as command
from bot.cli.plan_command import run as run_plan
from tests.fakes.aws_wire import AwsWire, product
from workers.clouds.driver import DriverError
from workers.clouds.quotes import sources
from workers.placement import catalog, in_use, prices
from workers.placement.limits import Limits
from workers.placement.prices import Quote, Reading
from workers.run import ladder_of
from workers.settings import from_environ

OURS = catalog.rows(catalog.ours().read_text(), "offers.csv")


@pytest.fixture
def home(tmp_path):
    return {"HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home")}


@pytest.fixture
def aws():
    wire = AwsWire()
    yield wire
    wire.close()


def quote(usd, *, region="us-east-1", zone="", spot=False, type_="p4d.24xlarge", cloud="aws", source="the test"):
    return Quote(
        cloud=cloud,
        instance_type=type_,
        region=region,
        zone=zone,
        spot=spot,
        usd_per_hour=Decimal(usd),
        source=source,
    )


def ran(environ, asked=None):
    out, err = io.StringIO(), io.StringIO()
    status = command.run(environ, out, err, asked)
    return status, out.getvalue()


def today():
    return datetime.now(UTC).date().isoformat()


def told(*quotes):
    return {"gpuhunt": lambda: Reading(quotes=quotes)}


def offline():
    raise DriverError("gpuhunt's catalogue cannot be reached: no route to host")


def price(environ, zone, type_="p4d.24xlarge", *, spot=False):
    offers = in_use.in_use(environ).offers
    return next(o.usd_per_hour for o in offers if (o.zone, o.instance_type, o.spot) == (zone, type_, spot))


def test_a_price_of_a_region_holds_in_all_of_its_zones_and_plans_go_by_it(home):
    before = today()
    status, said = ran(home, told(quote("20.5")))
    after = today()
    assert status == 0
    assert price(home, "use1-az1") == price(home, "use1-az2") == Decimal("20.5")
    assert price(home, "usw2-az1") == Decimal("21.95764")
    assert "p4d.24xlarge in us-east-1: 21.957642 -> 20.5 USD/h" in said
    assert "On-demand prices of GCP are unchanged" in said
    out = io.StringIO()
    limits = Limits(gpus=("A100:8",))
    assert run_plan("mixtral-8x7b", limits=limits, as_json=False, environ=home, out=out, err=io.StringIO()) == 0
    assert "20.50" in out.getvalue()
    planned = " ".join(out.getvalue().split())
    assert any(f"Prices read from 2026-11 to {day} (AWS" in planned for day in (before, after))


def test_the_file_has_the_columns_of_our_table_and_reads_the_same(home):
    ran(home, told(quote("20.5")))
    text = in_use.refreshed(home).read_text()
    assert text.splitlines()[0] == ",".join((*catalog.COLUMNS, "read_on", "spot_read_on"))
    again = catalog.rows(text, "prices.csv")
    assert prices.as_csv(again) == text
    assert {row.key for row in again} >= {row.key for row in OURS}


def test_a_wrong_price_of_an_earlier_table_is_not_carried_on(home):
    ran(home, told(quote("20.5")))
    file = in_use.refreshed(home)
    text = file.read_text().replace("A100-80GB,2,80,24,340,10.1376,", "A100-80GB,2,80,24,340,5.8916,")
    assert text != file.read_text()
    file.write_text(text)
    assert price(home, "us-central1-a", "a2-ultragpu-2g") > Decimal(10)  # doubtful
    ran(home, told(quote("20.5", region="us-west-2")))
    assert "5.8916" not in file.read_text()
    assert price(home, "use1-az1") == Decimal("20.5")


def test_what_is_not_sold_on_demand_gets_no_on_demand_price(home):
    _, said = ran(home, told(quote("20.5"), quote("4", type_="a3-highgpu-1g", region="us-central1", cloud="gcp")))
    assert "Left out a3-highgpu-1g in us-central1 from the test: this type is not sold on demand." in said


def test_live_spot_prices_come_by_zone_and_bring_zones_that_the_table_lacked():
    quotes = [
        quote("3.5", zone="use1-az1", spot=True),
        quote("1.01", type_="g5.xlarge"),
        quote("0.4", type_="g5.xlarge", zone="use1-az3", spot=True),
        quote("0.4", type_="g6.xlarge", zone="use1-az3", spot=True),
    ]
    merged = prices.merge(OURS, quotes, today=date(2026, 11, 23))
    found = {(row.zone, row.instance_type): row for row in merged.table}
    assert found["use1-az1", "p4d.24xlarge"].spot == Decimal("3.5")
    g5 = found["use1-az3", "g5.xlarge"]
    assert (g5.on_demand, g5.spot, g5.accelerator, g5.count, g5.vcpus) == (
        Decimal("1.01"),
        Decimal("0.4"),
        "A10G",
        1,
        4,
    )
    assert ("use1-az3", "g6.xlarge") not in found  # what it costs on demand nobody said
    assert (g5.read_on, g5.spot_read_on) == ("2026-11-23", "2026-11-23")


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        (quote("0"), "Left out p4d.24xlarge in us-east-1 from the test: 0 USD/h is not a valid price."),
        (quote("NaN"), "NaN USD/h is not a valid price."),
        (quote("-3"), "-3 USD/h is not a valid price."),
        (quote("219.5764"), "219.5764 USD/h is far from the previous price, 21.957642."),
        (quote("9", region=""), "it has no region."),
    ],
)
def test_an_odd_price_is_dropped_with_a_sentence(home, odd, says):
    status, said = ran(home, told(odd, quote("20.5", region="us-west-2")))
    assert status == 0
    assert says in said
    assert price(home, "use1-az1") == Decimal("21.957642")
    assert price(home, "usw2-az1") == Decimal("20.5")


def test_a_price_that_is_told_twice_and_differently_is_not_believed(home):
    _, said = ran(home, told(quote("20.5"), quote("20.6"), quote("20.5", region="us-west-2")))
    assert "it has two prices, 20.5 and 20.6 USD/h" in said
    assert price(home, "use1-az1") == Decimal("21.957642")


def test_of_two_sources_the_clouds_own_is_believed(home):
    asked = told(quote("20.5", source="gpuhunt")) | {
        "AWS's price list": lambda: Reading(quotes=(quote("20.7", source="AWS's price list"),))
    }
    _, said = ran(home, asked)
    assert "Left out" not in said
    assert price(home, "use1-az1") == Decimal("20.7")


def test_a_clouds_list_by_regions_goes_before_a_catalogue_by_zones(home):
    a2 = {"type_": "a2-ultragpu-2g", "region": "us-central1", "cloud": "gcp"}
    asked = told(quote("9.5", source="gpuhunt", zone="us-central1-a", **a2)) | {
        "GCP's price list": lambda: Reading(quotes=(quote("9.9", source="GCP's price list", **a2),))
    }
    ran(home, asked)
    assert price(home, "us-central1-a", "a2-ultragpu-2g") == Decimal("9.9")


def test_machine_types_that_we_do_not_know_are_none_of_our_business(home):
    status, said = ran(home, told(quote("0", type_="t3.nano")))
    assert status == 1
    assert "t3.nano" not in said


def test_offline_a_sentence_says_so_and_the_shipped_table_stays(home):
    status, said = ran(home, {"gpuhunt": offline})
    assert status == 1
    assert "Not read: gpuhunt's catalogue cannot be reached: no route to host." in said
    assert f"No price could be read. The prices {catalog.dated()} stay in use." in said
    assert not in_use.refreshed(home).exists()


def test_a_later_failure_leaves_the_file_as_it_was(home):
    first_day = today()
    ran(home, told(quote("20.5")))
    days = (first_day, today())
    before = in_use.refreshed(home).read_text()
    status, said = ran(home, {"gpuhunt": offline})
    assert status == 1
    assert any(f"The prices read from 2026-11 to {day} (AWS" in said for day in days)
    assert in_use.refreshed(home).read_text() == before


def test_a_file_that_cannot_be_written_is_whole_or_not_there(home, tmp_path):
    ran(home, told(quote("20.5")))
    file = in_use.refreshed(home)
    before = file.read_text()
    with pytest.raises(catalog.PricesError, match=r"column cloud is missing"):
        prices.write(file, "half a li")
    assert file.read_text() == before
    assert [one.name for one in file.parent.iterdir()] == ["prices.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(catalog.PricesError, match=r"cannot be written: .*set MIXTRAL_HOME"):
        prices.write(tmp_path / "file" / "prices.csv", before)


def test_a_broken_file_of_ours_is_replaced(home):
    ran(home, told(quote("20.5")))
    in_use.refreshed(home).write_text("nonsense")
    status, said = ran(home, told(quote("20.6")))
    assert status == 0
    assert "prices.csv is ignored: prices.csv:1: the column cloud is missing." in said
    assert price(home, "use1-az1") == Decimal("20.6")


def test_mixtral_prices_goes_before_and_that_is_said(home, tmp_path):
    (tmp_path / "mine.csv").write_text(catalog.ours().read_text())
    home["MIXTRAL_PRICES"] = str(tmp_path / "mine.csv")
    _, said = ran(home, told(quote("20.5")))
    assert "MIXTRAL_PRICES names it: unset it" in said
    assert price(home, "use1-az1") == Decimal("21.957642")


def test_aws_is_asked_for_its_price_list_and_for_spot_prices(home, aws):
    aws.price_list = {
        "p4d.24xlarge": [product("us-east-1", "21.9000000000"), product("us-west-2", "21.8"), "no json"],
        "g5.xlarge": [product("us-east-1", "1.006"), product("us-west-2", "900", unit="Quantity")],
    }
    aws.spot = {("us-east-1", "us-east-1a", "p4d.24xlarge"): "2.5", ("us-east-1", "us-east-1c", "g5.xlarge"): "0.41"}
    asked = sources(home | aws.environ, OURS)
    status, said = ran(home | aws.environ, asked)
    assert status == 0
    assert price(home, "use1-az1") == Decimal("21.9")
    assert price(home, "use1-az1", spot=True) == Decimal("2.5")
    assert price(home, "use1-az3", "g5.xlarge") == Decimal("1.006")
    assert "Left out p4d.24xlarge in an unknown region from AWS's price list: NaN USD/h is not a valid price." in said
    assert {region for action, region in aws.asked if action == "DescribeSpotPriceHistory"} <= set(aws.regions)


def test_what_aws_refuses_is_a_sentence(home, aws):
    aws.denied = {"GetProducts"}
    asked = sources(home | aws.environ, OURS)
    status, said = ran(home | aws.environ, asked)
    assert status == 1
    assert "Not read: AWS's price list: the credentials lack a permission. Grant pricing:GetProducts." in said


def test_without_anything_to_ask_each_mend_is_said(home):
    status, said = ran(home)
    assert status == 1
    assert "pip install gpuhunt" in said
    assert "Not read: AWS: no credentials found. To fix it, set AWS_ACCESS_KEY_ID" in said


def test_a_broken_price_table_ends_a_launch_with_its_file_and_line(home, tmp_path):
    (tmp_path / "mine.csv").write_text(catalog.ours().read_text().replace(",5.281,", ",x,", 1))
    settings = from_environ(home | {"MIXTRAL_PRICES": str(tmp_path / "mine.csv")}, needs_redis=False)
    rungs, why = ladder_of(settings, {})(None, None)
    assert rungs == ()
    assert why == 'mine.csv:2: on_demand_usd_h is "x", not a number above 0 and up to 1,000. Correct the price table.'
