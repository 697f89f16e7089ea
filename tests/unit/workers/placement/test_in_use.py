"""Each price is the one that was read last; a table that cannot be read is reported, and nothing is bought by it."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from recipes.loader import find, load
from workers.placement import catalog, prices, shared_prices
from workers.placement.catalog import COLUMNS, READ_ON, PricesError, shipped
from workers.placement.in_use import in_use, refreshed
from workers.placement.newest import newest
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan
from workers.placement.shared_prices import SharedPrices, reader

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
HEADER = ",".join((*COLUMNS, *READ_ON)) + "\n"
L4 = "gcp,us-east4,us-east4-a,g2-standard-96,L4,8,24,96,384"
"""The cheapest machine of Mixtral 8x7B: 7.9771 in the package, read on 2026-08-03."""
MIXTRAL = load(find("mixtral-8x7b"), {})
USABLE = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp")}


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return {"MIXTRAL_HOME": str(tmp_path / "home")}


def at_home(environ, *lines):
    refreshed(environ).write_text(HEADER + "\n".join(lines) + "\n")


def told(*lines):
    return lambda: (HEADER + "\n".join(lines) + "\n", "")


def row(text):
    return catalog.rows(HEADER + text + "\n", "p.csv")[0]


def l4(found):
    """On-demand price, spot price and doubt of the machine in L4."""
    mine = [o for o in found.offers if (o.zone, o.instance_type) == ("us-east4-a", "g2-standard-96")]
    return {o.spot: (str(o.usd_per_hour), o.doubtful) for o in mine}


def first(found):
    return plan(MIXTRAL, found.offers, statuses=USABLE)[0].offer


def test_without_anything_else_the_package_is_used(home):
    found = in_use(home, lambda: ("", ""))
    assert l4(found) == {False: ("7.9771", None), True: ("3.5167", None)}
    assert found.ignored == ()
    assert found.offers == catalog.load()


def test_an_old_file_of_this_host_hides_no_newer_price_of_the_package(home):
    at_home(home, f"{L4},6.66,3.33,2026-07-30,2026-07-30")
    assert l4(in_use(home)) == {False: ("7.9771", None), True: ("3.5167", None)}
    at_home(home, f"{L4},6.66,3.33,,")  # as earlier versions wrote it, without dates
    assert l4(in_use(home))[False] == ("7.9771", None)


def test_a_newer_file_of_this_host_is_used(home):
    at_home(home, f"{L4},7.5,3.33,2026-11-28,2026-07-30")
    assert l4(in_use(home)) == {False: ("7.5", None), True: ("3.5167", None)}


@pytest.mark.parametrize(
    ("in_redis", "at_home_", "used"),
    [
        ("2026-11-29", "2026-11-28", "7.1"),
        ("2026-11-28", "2026-11-29", "7.2"),
        ("2026-11-29", "2026-11-29", "7.1"),  # of the same day
        ("2026-08-03", "2026-08-02", "7.9771"),  # the package's is as new
        ("2026-08", "2026-08", "7.9771"),  # the first day of the month counts
    ],
)
def test_the_newest_of_redis_this_host_and_the_package_is_used(home, in_redis, at_home_, used):
    at_home(home, f"{L4},7.2,,{at_home_},")
    assert l4(in_use(home, told(f"{L4},7.1,,{in_redis},")))[False] == (used, None)


def test_on_demand_and_spot_are_compared_separately():
    known, other = row(f"{L4},7,3,2026-11-01,2026-11-20"), row(f"{L4},6,2,2026-11-10,2026-11-10")
    [found] = newest([known], [other])
    assert (found.on_demand, found.read_on, found.spot, found.spot_read_on) == (6, "2026-11-10", 3, "2026-11-20")


def test_a_zone_that_no_longer_has_a_machine_is_offered_no_more_until_it_has_it_again(home):
    gone = f"{L4},none,none,2026-11-20,2026-11-20"
    found = in_use(home, told(gone))
    assert l4(found) == {}
    assert first(found).zone == "us-east4-c"
    at_home(home, f"{L4},7.3,3,2026-11-21,2026-11-21")
    assert l4(in_use(home, told(gone)))[False] == ("7.3", None)
    assert prices.as_csv([row(gone)]).splitlines()[1] == gone


def test_the_operators_own_table_is_used_alone_and_redis_is_not_asked(home, tmp_path):
    (tmp_path / "mine.csv").write_text(HEADER + f"{L4},9,4,2020-01-01,\n")
    found = in_use(home | {"MIXTRAL_PRICES": str(tmp_path / "mine.csv")}, lambda: pytest.fail("asked"))
    assert [str(o.usd_per_hour) for o in found.offers if o.zone] == ["9", "4"]
    with pytest.raises(PricesError, match=r"none\.csv cannot be read"):
        in_use(home | {"MIXTRAL_PRICES": "/none.csv"})


@pytest.mark.parametrize("bad", ["-3", "NaN", "Infinity", "-Infinity", "1000000", "0", "1e9999"])
@pytest.mark.parametrize("column", ["on demand", "spot"])
def test_a_row_with_an_impossible_price_is_ignored_with_a_sentence(home, bad, column):
    line = f"{L4},{bad},3," if column == "on demand" else f"{L4},7,{bad},"
    found = in_use(home, told(f"{line}2026-11-28,2026-11-28"))
    [why] = found.ignored
    assert why.startswith("A line of the table in Redis is ignored: CSV:2:")
    assert bad in why
    assert l4(found) == {False: ("7.9771", None), True: ("3.5167", None)}
    at_home(home, f"{line}2026-11-28,2026-11-28")
    assert f"prices.csv is ignored: prices.csv:2: {'on_demand' if column == 'on demand' else 'spot'}" in " ".join(
        in_use(home).ignored
    )


def test_a_refreshed_price_far_below_the_package_is_doubtful_and_never_first(home):
    found = in_use(home, told(f"{L4},4.8,2,2026-11-28,2026-11-28"))
    price, doubt = l4(found)[False]
    assert "43 % below GCP's median" in doubt
    assert Decimal(price) > Decimal("7.9771")
    assert (first(found).zone, first(found).doubtful) == ("us-east4-c", None)


def test_a_broken_file_of_this_host_is_said_and_the_rest_is_used(home):
    refreshed(home).write_text("nonsense")
    found = in_use(home, told(f"{L4},7.1,3,2026-11-28,2026-11-28"))
    assert ["prices.csv:1: the column cloud is missing" in why for why in found.ignored] == [True]
    assert l4(found)[False] == ("7.1", None)
    refreshed(home).write_bytes(b"\xff\xfe")
    assert "it is not UTF-8 text" in in_use(home).ignored[0]


def test_the_age_of_the_prices_is_told_for_the_combined_table(home):
    found = in_use(home, told(f"{L4},7.1,3,2026-11-28,2026-11-28"), today=date(2026, 11, 29))
    assert (
        found.dated
        == "read in 2026-11 (AWS, up to 28 days ago), from 2026-08-03 to 2026-11-28 (GCP, up to 118 days ago)"
    )


# In Redis


def test_what_is_stored_in_redis_is_used_by_every_reader(home, redis):
    shared_prices.store(redis, SharedPrices(table=HEADER + f"{L4},7.1,3,2026-11-28,2026-11-28\n", tried_at=AT))
    assert l4(in_use(home, reader(redis)))[False] == ("7.1", None)
    redis.delete(shared_prices.KEY)
    assert l4(in_use(home, reader(redis)))[False] == ("7.9771", None)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"form":2,"tried_at":"2026-11-29T12:00:00Z","table":"rows"}', "a newer version of mixtral-bot wrote them"),
        (b'{"form":0,"tried_at":"2026-11-29T12:00:00Z","table":"rows"}', "an older version of mixtral-bot wrote them"),
        (b'{"form":1,"tried_at":"2026-11-29T12:00:00Z","table":[1]}', "this version cannot read them"),
        (b"\xff", "this version cannot read them"),
        (b'{"form":1,"tried_at":"2026-11-29T12:00:00Z","table":"a,b\\n1,2\\n","new":1}', "the column cloud is missing"),
    ],
)
def test_what_another_version_wrote_is_ignored_and_said(home, redis, raw, why):
    redis.set(shared_prices.KEY, raw)
    found = in_use(home, reader(redis))
    assert [why in one for one in found.ignored] == [True]
    assert l4(found)[False] == ("7.9771", None)


def test_columns_of_a_newer_version_are_no_obstacle(home, redis):
    table = HEADER.strip() + f",carbon\n{L4},7.1,3,2026-11-28,2026-11-28,12\n"
    shared_prices.store(redis, SharedPrices(table=table, tried_at=AT))
    assert (l4(in_use(home, reader(redis)))[False], in_use(home, reader(redis)).ignored) == (("7.1", None), ())


def test_without_redis_the_files_are_used_and_that_is_said(home):
    shared = shared_prices.of_environ({"REDIS_URL": "redis://127.0.0.1:1/0"})
    at_home(home, f"{L4},7.2,3,2026-11-28,2026-11-28")
    found = in_use(home, shared)
    assert found.ignored[0].startswith("The prices in Redis are not used, because it does not answer: ")
    assert l4(found)[False] == ("7.2", None)
    assert shared_prices.of_environ({}) is None
    assert shared_prices.of_environ({"REDIS_URL": "nonsense"}) is None


DAYS = ("", "2026-07", "2026-07-30", "2026-08-03", "2026-11", "2026-11-01", "2026-11-29")


@given(
    st.lists(st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS), st.integers(1, 9)), min_size=1, max_size=4),
)
def test_no_combination_of_tables_uses_a_price_that_is_older_than_another(drawn):
    base = shipped()[0]
    tables = [
        [replace(base, on_demand=Decimal(usd), spot=Decimal(usd) / 2, read_on=day, spot_read_on=spot_day)]
        for day, spot_day, usd in drawn
    ]
    [found] = newest(*tables)
    assert found.read_on == max(day for day, _, _ in drawn)
    assert found.spot_read_on == max(day for _, day, _ in drawn)
    assert found.on_demand == next(usd for day, _, usd in drawn if day == found.read_on)
    assert newest(*tables, [found]) == (found,)
