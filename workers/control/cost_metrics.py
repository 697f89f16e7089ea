"""Serves the ledger's figures for Prometheus: costs, machines and tokens by the name of the deployment."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import start_http_server
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from workers.deployment.ledger import Book, Use
from workers.deployment.ledger_reader import Ledger
from workers.deployment.token_counts import Tokens

logger = logging.getLogger(__name__)

SHOWN_FOR = timedelta(days=31)
"""Time after the end of its last machine for which a deployment has metrics."""

KIND = ("deployment", "cloud", "lifecycle")


def serve(address: str, ledger: Ledger, clock: Callable[[], datetime], stop: threading.Event) -> None:
    """Serve metrics at `host:port` until `stop` is set. If that fails, it is logged, and there are none."""
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(CostMetrics(ledger, clock))
    try:
        server, thread = start_http_server(int(port), host.strip("[]") or "127.0.0.1", registry)
    except (OSError, ValueError, OverflowError) as error:
        logger.warning("There are no metrics at MIXTRAL_METRICS=%s: %s. Set another host:port.", address, error)
        return
    stop.wait()
    server.shutdown()
    server.server_close()
    thread.join()


class CostMetrics(Collector):
    """Reads the ledger at each scrape."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = clock

    def describe(self) -> Iterable[Metric]:
        return ()  # otherwise the registry reads the ledger before it is served

    def collect(self) -> Iterator[Metric]:
        """The figures; none while Redis does not answer, so that no old ones are taken for new."""
        try:
            book = self._ledger.book()
        except RedisError as error:
            logger.warning("The metrics cannot be read from Redis: %s", error)
            return
        yield from families(book, self._now())


def families(book: Book, now: datetime) -> Iterator[Metric]:
    """The metrics of a ledger. Costs are gauges: the cloud's time of an end may be earlier than ours."""
    cost = GaugeMetricFamily("mixtral_cost_usd", "USD of machines since their creation, without disks.", labels=KIND)
    saved = GaugeMetricFamily("mixtral_spot_saved_usd", "USD that spot saved compared with on demand.", labels=KIND)
    rate = GaugeMetricFamily("mixtral_usd_per_hour", "USD per hour of the machines that run now.", labels=KIND)
    machines = GaugeMetricFamily("mixtral_machines", "Machines that run now.", labels=KIND)
    for kind, uses in _by_kind(book, now).items():
        running = [use for use in uses if use.ended is None]
        cost.add_metric(kind, float(sum((use.cost(None, now) for use in uses), Decimal(0))))
        saved.add_metric(kind, float(sum((use.saved(None, now) for use in uses), Decimal(0))))
        rate.add_metric(kind, float(sum((use.usd_per_hour or Decimal(0) for use in running), Decimal(0))))
        machines.add_metric(kind, len(running))
    yield from (cost, saved, rate, machines, _tokens(book, now))


def _tokens(book: Book, now: datetime) -> Metric:
    shown = {kind[0] for kind in _by_kind(book, now)}
    sums: defaultdict[str, Tokens] = defaultdict(Tokens)
    for (deployment, _), count in book.counts.items():
        owner = book.owners.get(deployment)
        if owner is not None and owner.name in shown:
            known = sums[owner.name]
            sums[owner.name] = Tokens(known.prompt + count.prompt, known.generated + count.generated)
    tokens = CounterMetricFamily("mixtral_tokens", "Tokens by the engines' counters.", labels=("deployment", "kind"))
    for name, found in sums.items():
        tokens.add_metric((name, "prompt"), found.prompt)
        tokens.add_metric((name, "answer"), found.generated)
    return tokens


def _by_kind(book: Book, now: datetime) -> dict[tuple[str, str, str], list[Use]]:
    found: defaultdict[tuple[str, str, str], list[Use]] = defaultdict(list)
    recent = {_name(use) for use in book.uses.values() if use.ended is None or now - use.ended < SHOWN_FOR}
    for use in book.uses.values():
        if _name(use) in recent:
            found[_name(use), use.booked.cloud, "spot" if use.booked.spot else "on demand"].append(use)
    return dict(found)


def _name(use: Use) -> str:
    return use.owner.name if use.owner else ""
