"""The metrics of costs, as Prometheus scrapes them: the same figures as the ledger's."""

import contextlib
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests import loopback
from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.patience import PATIENCE
from workers.control import cost_metrics
from workers.deployment.ledger_reader import Ledger
from workers.deployment.token_counts import Tokens, counted
from workers.sandbox.valkey import free_port

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def read(url):
    for _ in range(200 * PATIENCE):
        with contextlib.suppress(httpx.ConnectError):  # it does not listen yet
            return loopback.get(url).text
        time.sleep(0.05)
    raise AssertionError(url)


def scraped(redis, now=NOW):
    port, stop = free_port(), threading.Event()
    serving = threading.Thread(target=cost_metrics.serve, args=(f"127.0.0.1:{port}", Ledger(redis), lambda: now, stop))
    serving.start()
    try:
        text = read(f"http://127.0.0.1:{port}/metrics")
    finally:
        stop.set()
        serving.join()
    return {
        (s.name, *(value for _, value in sorted(s.labels.items()))): s.value
        for f in text_string_to_metric_families(text)
        for s in f.samples
    }


def test_the_metrics_are_the_figures_of_the_ledger(redis):
    spot = Story("fast", id_="d00000000fast", at=NOW - timedelta(hours=5)).planned(
        offer("aws r-1", "2.50", spot=True, on_demand="7.50")
    )
    append(redis, spot.asked().created())
    done = Story("slow", id_="d00000000slow", at=NOW - timedelta(days=2)).planned(offer("r-1", "7.20"))
    append(redis, done.asked().created().wait(hours=10).gone("ended").ended())
    old = Story("old", id_="d000000000old", at=NOW - timedelta(days=90)).planned(offer("r-1", "7.20"))
    append(redis, old.asked().created().wait(hours=10).gone("ended").ended())
    Ledger(redis).count(counted(None, (spot.id, 1), Tokens(1000, 20), NOW))
    told = scraped(redis)
    fast, slow = ("aws", "fast", "spot"), ("gcp", "slow", "on demand")
    assert told["mixtral_cost_usd", *fast] == 12.5
    assert told["mixtral_spot_saved_usd", *fast] == 25.0
    assert told["mixtral_usd_per_hour", *fast] == 2.5
    assert told["mixtral_machines", *fast] == 1
    assert told["mixtral_cost_usd", *slow] == 72.0
    assert told["mixtral_machines", *slow] == 0
    assert told["mixtral_tokens_total", "fast", "prompt"] == 1000
    assert told["mixtral_tokens_total", "fast", "answer"] == 20
    sums = sum(Decimal(value) for key, value in told.items() if key[0] == "mixtral_cost_usd")
    assert sums == Ledger(redis).book().total(NOW - timedelta(days=31), NOW)
    assert not [key for key in told if "old" in key], "what ended long ago is left out"


def test_an_address_that_is_in_use_or_wrong_is_logged_and_stops_nothing(redis, caplog):
    for address in ("127.0.0.1:nonsense", "127.0.0.1:99999999", "nowhere"):
        cost_metrics.serve(address, Ledger(redis), lambda: NOW, threading.Event())
    assert caplog.text.count("There are no metrics at MIXTRAL_METRICS") == 3
