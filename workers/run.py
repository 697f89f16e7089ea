"""Creates the workers' connections, drivers and control loop from the settings."""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace
from redis import Redis

from recipes.schema import Recipe
from workers.api import Deployments
from workers.clouds.aws.driver import AwsDriver
from workers.clouds.driver import Driver
from workers.clouds.gcp.driver import GcpDriver
from workers.clouds.local.driver import LocalDriver
from workers.clouds.quotes import sources
from workers.clouds.sdks import import_sdks
from workers.clouds.usability import statuses
from workers.control import cost_metrics
from workers.control.advance import Advance
from workers.control.refreshing import PriceRefresher
from workers.control.sweeper import Sweeper
from workers.deployment.identity import agree
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log
from workers.heartbeats import HeartbeatRecorder, WorkerPart
from workers.nudges import forward, nudge
from workers.placement.catalog import PricesError
from workers.placement.explain_empty import why_empty
from workers.placement.in_use import in_use
from workers.placement.ladder import Ladder, Rung
from workers.placement.limits import Limits
from workers.placement.planner import plan
from workers.placement.shared_prices import reader
from workers.pool import WorkerProcesses
from workers.processes import raise_descriptors
from workers.redis_clock import RedisClock
from workers.settings import ENDS, QUEUE, Settings, from_environ, host_of, kept, queue_of
from workers.writable import wait_for

logger = logging.getLogger(__name__)

WORKERS = 4
"""Number of processes that run all jobs. One more ends deployments only, while clouds keep these waiting."""

ANSWERS_WITHIN = 5.0
"""Timeout of Redis in seconds. A frozen Redis accepts connections and never answers."""

PULSE_WITHIN = 0.5
"""The same for the heartbeat of the process that restarts the others, and must end within seconds."""


def connect(url: str, answers_within: float = ANSWERS_WITHIN) -> Redis:
    """A client that raises RedisError if Redis does not answer within this time, in seconds.

    A blocking call needs a shorter timeout of its own. RQ sets longer timeouts for its blocking calls.
    """
    return Redis.from_url(
        url,
        health_check_interval=30,
        socket_connect_timeout=answers_within,
        socket_timeout=answers_within,
        socket_keepalive=True,
    )


def drivers_of(settings: Settings) -> dict[str, Driver]:
    """The drivers of the clouds that this installation may use, by name, usable or not (`Driver.status`)."""
    made: dict[str, Callable[[], Driver]] = {
        "aws": lambda: AwsDriver(settings.environ),
        "gcp": lambda: GcpDriver(settings.environ),
        "local": lambda: LocalDriver(settings.home, settings.environ),
    }
    return {cloud: make() for cloud, make in made.items() if settings.clouds is None or cloud in settings.clouds}


def ladder_of(settings: Settings, drivers: Mapping[str, Driver], redis: Redis | None = None) -> Ladder:
    """The planner, with the clouds and prices of this installation."""
    shared = None if redis is None else reader(redis)

    def ladder(recipe: Recipe, limits: Limits) -> tuple[Sequence[Rung], str]:
        try:
            priced = in_use(settings.environ, shared)
        except PricesError as error:
            return (), str(error)  # an unreadable price table ends the launch before any call to a cloud
        for ignored in priced.ignored:
            logger.warning("%s", ignored)
        offers = [*priced.offers, *(o for d in drivers.values() for o in d.offers())]
        known = statuses(settings.environ, drivers=frozenset(drivers)) | {c: d.status() for c, d in drivers.items()}
        rungs = plan(recipe, offers, limits, statuses=known)
        return rungs, "" if rungs else why_empty(recipe, offers, limits)

    return ladder


def wire_deployments(settings: Settings, redis: Redis) -> Deployments:
    drivers, every = drivers_of(settings), settings.keep_trying_every
    return Deployments(redis, nudge(redis), drivers, every, nudge_end=nudge(redis, ENDS))


def belong(settings: Settings, redis: Redis, *, may_found: bool = False) -> Settings:
    """The settings with the id on which Redis and this host agree; a home without an id keeps it from then on.

    Raises AnotherInstallation, RedisError.
    """
    id_ = agree(redis, settings.installation, may_found=may_found)
    if id_ and not settings.installation:
        agree(redis, kept(settings.home, "installation", id_))  # another process may have written the file first
    return replace(settings, installation=id_)


def wire_advance(*, forwards: bool) -> Advance:
    """The function that a job runs, made from the environment in the job's own process."""
    settings = from_environ(os.environ)
    redis = connect(settings.redis_url)
    settings = belong(settings, redis, may_found=True)
    drivers = drivers_of(settings)
    return Advance(
        redis=redis,
        log=Log(redis),
        drivers=drivers,
        ladder=ladder_of(settings, drivers, redis),
        environ=settings.environ,
        installation=settings.installation,
        machine_lease=settings.lease,
        control_lease=settings.control_lease,
        clock=RedisClock(redis),
        gateway=settings.gateway.internal_url,
        host=host_of(settings.home),
        forward=forward(redis) if forwards else None,
    )


def run_sweeper(settings: Settings, stop: threading.Event) -> None:
    """Sweep until `stop` is set."""
    descriptors = raise_descriptors()
    redis = connect(settings.redis_url)
    clock = RedisClock(redis)
    refresher = PriceRefresher(redis, partial(sources, settings.environ), every=settings.prices_every, clock=clock)
    threading.Thread(target=refresher.run, args=(stop,), name="prices", daemon=True).start()
    if settings.metrics:
        serving = (settings.metrics, Ledger(redis), clock, stop)
        threading.Thread(target=cost_metrics.serve, args=serving, name="metrics", daemon=True).start()
    sweeper = Sweeper(
        redis=redis,
        log=Log(redis),
        drivers=drivers_of(settings),
        nudge=nudge(redis),
        nudge_end=nudge(redis, ENDS),
        installation=settings.installation,
        environ=settings.environ,
        machine_lease=settings.lease,
        control_lease=settings.control_lease,
        every=settings.sweep_every,
        clock=clock,
        host=host_of(settings.home),
        audit_kept=settings.audit_kept,
        probes_at_once=descriptors * 3 // 4,
    )
    sweeper.run(stop)


def main(environ: Mapping[str, str]) -> None:
    """Run workers and sweeper in the foreground until SIGTERM or SIGINT. Raises SettingsError, AnotherInstallation."""
    settings = from_environ(environ)
    redis = connect(settings.redis_url)
    wait_for(redis)
    settings = belong(settings, redis, may_found=True)
    pool = WorkerProcesses(
        lambda: connect(settings.redis_url),
        lambda stop: run_sweeper(settings, stop),
        queues=(ENDS, QUEUE, queue_of(host_of(settings.home))),
        reserved=(ENDS,),
        num_workers=WORKERS,
        host=host_of(settings.home),
        heartbeat=HeartbeatRecorder(connect(settings.redis_url, PULSE_WITHIN), WorkerPart.POOL, host_of(settings.home)),
    )
    drivers = drivers_of(settings)
    # Before the pool forks: otherwise each job imports them anew. A job that needs them would wait as long.
    import_sdks(cloud for cloud, driver in drivers.items() if driver.status().usable)
    logger.info("worker is up: installation %s, clouds %s", settings.installation, ", ".join(drivers))
    pool.start(logging_level="WARNING")
