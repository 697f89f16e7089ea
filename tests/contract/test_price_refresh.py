"""A worker reads the prices of both clouds' stand-ins by itself, and they are those of the price table."""

import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import httpx
import pytest

from recipes.loader import find, load
from tests.fakes.aws import AwsCloud
from tests.fakes.gcp import GcpCloud
from tests.patience import PATIENCE
from workers import run
from workers.clouds.quotes import sources
from workers.control import refreshing
from workers.control.refreshing import PriceRefresher
from workers.control.sweeper import Sweeper
from workers.placement import shared_prices
from workers.placement.catalog import shipped
from workers.placement.in_use import in_use, table_of
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan
from workers.placement.prices import Reading
from workers.placement.shared_prices import reader
from workers.run import run_sweeper
from workers.settings import from_environ

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]

MIXTRAL = load(find("mixtral-8x7b"), {})
USABLE = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp")}


@pytest.fixture(scope="module")
def clouds():
    both = AwsCloud(), GcpCloud()
    yield both
    for cloud in both:
        cloud.close()


@pytest.fixture
def environ(clouds, tmp_path, valkey_url):
    aws, gcp = clouds
    mine = {"HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home"), "REDIS_URL": valkey_url}
    yield aws.environ | gcp.environ | mine
    for cloud in clouds:  # which are the next test's, too
        cloud.mend()


def today():
    return datetime.now(UTC).date().isoformat()


def stored(redis):
    return shared_prices.load(redis)[0]


def test_a_worker_that_starts_refreshes_all_prices_in_a_thread_of_its_own(environ, redis, monkeypatch):
    monkeypatch.setattr(refreshing, "STARTS_WITHIN", (timedelta(), timedelta()))
    began, stop = today(), threading.Event()
    worker = threading.Thread(target=run_sweeper, args=(from_environ(environ), stop))
    worker.start()
    deadline = time.monotonic() + 60 * PATIENCE
    while stored(redis) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    stop.set()
    worker.join()
    assert stored(redis) is not None, "no prices were stored"
    assert stored(redis).failed == ()
    before = {row.key: row for row in shipped()}
    rows, ignored = table_of(stored(redis).table)
    assert ignored == ()
    for row in rows:
        was = before.pop(row.key)
        assert (row.on_demand is None) == (was.on_demand is None)
        for now, then in ((row.on_demand, was.on_demand), (row.spot, was.spot)):
            assert then is None or abs(now - then) <= Decimal("0.001")
        assert row.on_demand is None or began <= row.read_on <= today()
    assert before == {}
    first = plan(MIXTRAL, in_use(environ, reader(redis)).offers, statuses=USABLE)[0].offer
    assert (first.zone, first.instance_type, round(first.usd_per_hour, 2)) == (
        "us-east4-a",
        "g2-standard-96",
        Decimal("7.98"),
    )
    assert began <= first.read_on <= today()


def test_a_region_of_each_cloud_that_fails_keeps_its_own_prices(clouds, environ, redis):
    (aws, gcp), began = clouds, today()
    fault = {"code": "UnauthorizedOperation", "action": "DescribeSpotPriceHistory", "region": "eu-north-1"}
    httpx.post(f"{aws.server.url}/sandbox/faults", json=fault).raise_for_status()
    gcp.fault("unreachable", zone="us-east4-a", method="machineTypes.*")
    PriceRefresher(redis, partial(sources, environ), every=None, clock=lambda: datetime.now(UTC)).look()
    rows = {row.key: row for row in table_of(stored(redis).table)[0]}
    assert rows["aws", "eun1-az1", "g6.48xlarge"].spot_read_on == "2026-11"
    assert rows["aws", "use1-az1", "g6.48xlarge"].spot_read_on >= began
    assert rows["gcp", "us-east4-a", "g2-standard-96"].on_demand
    assert [why.partition(":")[2].partition(":")[0].strip() for why in stored(redis).failed] == [
        "AWS's spot prices, eu-north-1",
        "GCP did not list the machine types of us-east4-a.",
    ]


def test_a_source_that_never_answers_delays_no_sweep(environ, redis, monkeypatch):
    asked, swept, answer, stop = (threading.Event() for _ in range(4))

    def hangs():
        asked.set()
        answer.wait(60 * PATIENCE)
        return Reading()

    def sweep(_):
        if asked.is_set():
            swept.set()

    monkeypatch.setattr(refreshing, "STARTS_WITHIN", (timedelta(), timedelta()))
    monkeypatch.setattr(run, "sources", lambda *_: {"slow": hangs})
    monkeypatch.setattr(Sweeper, "sweep", sweep)
    settings = from_environ(environ | {"MIXTRAL_SWEEP_EVERY": "0.05s"})
    worker = threading.Thread(target=run_sweeper, args=(settings, stop))
    worker.start()
    try:
        assert swept.wait(10 * PATIENCE)
        stop.set()
        worker.join(10 * PATIENCE)
        assert not worker.is_alive()  # it does not wait for the source
    finally:
        stop.set()
        answer.set()
        worker.join()
