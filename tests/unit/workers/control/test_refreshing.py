"""One worker refreshes the prices at its start and daily; a source that fails keeps its old prices and is reported."""

import io
import logging
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bot.cli import check_command, plan_command, prices_command
from recipes.loader import find, load
from workers.clouds.driver import DriverError
from workers.control import refreshing
from workers.control.refreshing import PriceRefresher
from workers.lease import Lease
from workers.placement import shared_prices
from workers.placement.catalog import PricesError
from workers.placement.in_use import in_use, refreshed
from workers.placement.limits import Limits
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan
from workers.placement.prices import Reading, read_quote
from workers.placement.shared_prices import SharedPrices, reader
from workers.run import ladder_of
from workers.settings import from_environ

DAY = timedelta(days=1)
G6E = "g6e.12xlarge"
"""L40S:4, 10.49264 on demand and 3.7887 spot in use1-az1."""
MIXTRAL = load(find("mixtral-8x7b"), {})
USABLE = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp")}


class Sources:
    """Prices of one machine type in us-east-1. Tests change them."""

    def __init__(self):
        self.usd = "10.2"
        self.spot = "3.1"
        self.fails = {}
        self.asked = 0

    def __call__(self, _table):
        return {"AWS's price list": self._listed, "AWS's spot prices": self._spot}

    def _listed(self):
        self.asked += 1
        return self._reading("AWS's price list", self.usd, "")

    def _spot(self):
        return self._reading("AWS's spot prices", self.spot, "use1-az1")

    def _reading(self, source, usd, zone):
        if source in self.fails:
            raise self.fails[source]
        place = {"cloud": "aws", "instance_type": G6E, "region": "us-east-1", "zone": zone}
        return Reading(quotes=(read_quote(**place, price=usd, source=source, spot=bool(zone)),))


class Clock:
    def __init__(self):
        self.at = datetime(2026, 11, 30, 9, tzinfo=UTC)

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sources():
    return Sources()


@pytest.fixture
def environ(tmp_path, valkey_url):
    home = {"HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home"), "MIXTRAL_CLOUDS": "aws"}
    return home | {"REDIS_URL": valkey_url}


@pytest.fixture
def start(redis, sources, clock):
    """A worker that starts."""
    return lambda: PriceRefresher(redis, sources, every=DAY, clock=clock)


def offer(redis, environ, *, spot=False, zone="use1-az1"):
    found = in_use(environ, reader(redis)).offers
    return next(o for o in found if (o.zone, o.instance_type, o.spot) == (zone, G6E, spot))


def price(redis, environ, **which):
    return str(offer(redis, environ, **which).usd_per_hour)


def failed(redis):
    return " ".join(shared_prices.load(redis)[0].failed)


def test_a_start_reads_prices_that_every_host_uses_from_then_on(start, redis, environ, tmp_path):
    assert start().look()
    elsewhere = environ | {"MIXTRAL_HOME": str(tmp_path / "another host")}
    for host in (environ, elsewhere):
        assert (price(redis, host), price(redis, host, spot=True)) == ("10.2", "3.1")
    assert (offer(redis, environ).read_on, failed(redis)) == ("2026-11-30", "")
    assert not refreshed(environ).exists()


def test_launches_and_plans_with_redis_go_by_it_and_a_plan_without_redis_needs_none(start, sources, redis, environ):
    sources.usd = "7.99"
    start().look()
    limits = Limits(clouds=("aws",))
    rungs, _ = ladder_of(from_environ(environ), {}, redis)(MIXTRAL, limits)
    assert (rungs[0].offer.instance_type, str(rungs[0].offer.usd_per_hour)) == (G6E, "7.99")
    for url, first in ((environ["REDIS_URL"], "7.99"), ("", "8.29"), ("redis://127.0.0.1:1/0", "8.29")):
        out, err = io.StringIO(), io.StringIO()
        told = environ | {"REDIS_URL": url}
        assert plan_command.run("mixtral-8x7b", limits=limits, as_json=False, environ=told, out=out, err=err) == 0
        assert first in next(line for line in out.getvalue().splitlines() if "xlarge" in line)
        assert ("prices in Redis are not used" in err.getvalue()) == url.endswith(":1/0")


def test_prices_are_read_again_after_a_day_and_not_before(start, sources, clock, redis, environ):
    worker = start()
    worker.look()
    sources.usd = "10.25"
    clock.at += DAY - timedelta(minutes=1)
    assert not worker.look()
    assert sources.asked == 1
    clock.at += timedelta(minutes=1)
    assert worker.look()
    assert price(redis, environ) == "10.25"


def test_a_restart_reads_them_again_unless_that_was_less_than_an_hour_ago(start, clock):
    start().look()
    clock.at += timedelta(minutes=59)
    assert not start().look()
    clock.at += timedelta(minutes=1)
    assert start().look()
    clock.at -= DAY + timedelta(hours=2)  # the last refresh is in the future: a clock was wrong
    assert start().look()


def test_a_worker_that_started_within_the_hour_reads_them_no_earlier_than_a_day_later(start, clock, sources):
    assert start().look()
    second = start()
    clock.at += timedelta(minutes=1)
    assert not second.look()
    clock.at += timedelta(hours=2)
    assert not second.look()
    assert sources.asked == 1
    clock.at += DAY
    assert second.look()


def test_of_two_workers_one_reads_the_prices(start, sources):
    workers, done = [start(), start()], []
    barrier = threading.Barrier(2)
    asked = sources._listed

    def slowly():
        found = asked()
        threading.Event().wait(0.2)
        return found

    def begin(worker):
        barrier.wait()
        done.append(worker.look())

    sources._listed = slowly
    threads = [threading.Thread(target=begin, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False, True]
    assert sources.asked == 1


def test_a_worker_waits_while_another_one_holds_the_lease(start, redis, sources):
    lease = Lease(redis, "prices", timedelta(seconds=10))
    assert lease.acquire()
    worker = start()
    assert not worker.look()
    assert sources.asked == 0
    lease.release()
    assert worker.look()


def test_a_source_that_fails_leaves_the_others_and_check_says_it(start, redis, environ, sources, clock):
    sources.fails = {"AWS's price list": DriverError("AWS's price list: Grant pricing:GetProducts")}
    start().look()
    assert (price(redis, environ), price(redis, environ, spot=True)) == ("10.49264", "3.1")
    out = io.StringIO()
    check_command.show(check_command._prices(environ)[0], out)
    why = "Not read: AWS's price list: Grant pricing:GetProducts."
    assert f"refresh of {clock.at:%Y-%m-%d %H:%M} UTC: {why[:-1]}" in " ".join(out.getvalue().split())


def test_when_all_sources_fail_the_prices_stay_and_the_next_day_is_another_try(start, redis, environ, sources, clock):
    worker = start()
    worker.look()
    clock.at += DAY
    sources.fails = dict.fromkeys(("AWS's price list", "AWS's spot prices"), DriverError("AWS: ExpiredToken"))
    worker.look()
    assert (price(redis, environ), offer(redis, environ).read_on) == ("10.2", "2026-11-30")
    assert "ExpiredToken" in failed(redis)
    sources.fails = {}
    clock.at += DAY
    assert worker.look()
    assert (failed(redis), offer(redis, environ).read_on) == ("", "2026-12-02")


def test_a_bug_in_one_source_does_not_lose_the_others(start, redis, environ, sources, caplog):
    sources.fails = {"AWS's spot prices": AttributeError("no attribute")}
    assert start().look()
    assert price(redis, environ) == "10.2"
    assert "Not read: AWS's spot prices: no attribute." in failed(redis)
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("bad", ["-3", "NaN", "Infinity", "1000000", "0", "abc"])
def test_an_impossible_price_is_left_out_with_a_sentence_and_nothing_is_bought_on_it(
    start, redis, environ, sources, bad
):
    sources.usd = sources.spot = bad
    start().look()
    assert (price(redis, environ), price(redis, environ, spot=True)) == ("10.49264", "3.7887")
    assert f"Left out {G6E} in us-east-1 from AWS's price list: " in failed(redis)
    assert f"Left out {G6E} spot in use1-az1 from AWS's spot prices: " in failed(redis)
    for spot, first in ((False, "7.9771"), (True, "2.1614")):
        rungs = plan(MIXTRAL, in_use(environ, reader(redis)).offers, Limits(spot=spot), statuses=USABLE)
        assert str(rungs[0].offer.usd_per_hour) == first


def test_a_price_at_half_of_its_peers_is_stored_doubtful_and_never_first(start, redis, environ, sources):
    sources.usd = "5.2"
    start().look()
    odd = offer(redis, environ)
    assert "below" in odd.doubtful
    assert odd.usd_per_hour > Decimal(10)
    usable = [r.offer for r in plan(MIXTRAL, in_use(environ, reader(redis)).offers, statuses=USABLE) if r.usable]
    assert (str(usable[0].usd_per_hour), usable[0].zone) == ("7.9771", "us-east4-a")
    assert usable.index(odd) > usable.index(offer(redis, environ, zone="usw2-az1"))


def test_without_credentials_nothing_is_asked_or_stored(redis, clock):
    assert not PriceRefresher(redis, lambda _: {}, every=DAY, clock=clock).look()
    assert redis.get(shared_prices.KEY) is None


def test_it_is_off_where_the_operator_says_so_or_has_a_table_of_the_own(redis, environ, clock, sources):
    assert from_environ(environ).prices_every == DAY
    assert from_environ(environ | {"MIXTRAL_PRICES_EVERY": "6h"}).prices_every == timedelta(hours=6)
    for more in ({"MIXTRAL_PRICES_EVERY": "off"}, {"MIXTRAL_PRICES": "mine.csv"}):
        every = from_environ(environ | more).prices_every
        PriceRefresher(redis, sources, every=every, clock=clock).run(threading.Event())  # returns
        assert sources.asked == 0


def test_a_failure_ends_neither_the_thread_nor_its_looks(start, monkeypatch, caplog):
    monkeypatch.setattr(refreshing, "STARTS_WITHIN", (timedelta(), timedelta()))
    monkeypatch.setattr(refreshing, "LOOK_EVERY", timedelta())
    stop, tries = threading.Event(), []

    def fails():
        tries.append(1)
        if len(tries) == 2:
            stop.set()
        raise ZeroDivisionError

    worker = start()
    worker.look = fails
    with caplog.at_level(logging.ERROR):
        worker.run(stop)
    assert len(tries) == 2
    assert "The prices could not be refreshed" in caplog.text


def test_what_a_newer_version_stored_is_left_alone_for_its_day(start, redis, clock, sources):
    shared_prices.store(redis, SharedPrices(form=2, table="?", tried_at=clock.at - timedelta(minutes=10)))
    worker = start()
    assert not worker.look()
    assert sources.asked == 0
    clock.at += DAY
    assert worker.look()


def test_the_command_writes_to_redis_by_the_same_way_and_to_a_file_without_it(redis, environ, sources):
    def ran(**more):
        out = io.StringIO()
        return prices_command.run(environ | more, out, io.StringIO(), sources(())), out.getvalue()

    status, said = ran()
    assert status == 0
    assert "Redis now holds prices read" in said
    assert f"{G6E} in us-east-1: 10.49264 -> 10.2 USD/h" in said
    assert price(redis, environ) == "10.2"
    assert not refreshed(environ).exists()
    assert f"{refreshed(environ)} now holds prices read" in ran(REDIS_URL="")[1]
    with pytest.raises(PricesError, match=r"Redis cannot be reached .*Start it, .*, or unset REDIS_URL"):
        ran(REDIS_URL="redis://127.0.0.1:1/0")
