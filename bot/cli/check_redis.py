"""Checks of Redis for `mixtral-bot check`: persistence, eviction, the installation's id, and the worker."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from workers.clouds.findings import Finding
from workers.control.sweeper import LEASE
from workers.deployment.identity import held
from workers.deployment.log import Log
from workers.errors import WorkersError
from workers.lease import is_held
from workers.settings import from_environ

SWEEPER_RESTARTS_WITHIN = 2.0  # maximum seconds until another sweeper takes over the lease of one that ended


def redis(environ: Mapping[str, str]) -> list[Finding]:
    """Check persistence, eviction, the installation's id and the worker; one finding if Redis does not answer."""
    found = partial(Finding, about="Redis", what="")
    url = environ.get("REDIS_URL", "")
    if not url:
        mend = "start a Valkey or Redis with --appendonly yes, and set REDIS_URL=redis://localhost:6379/0"
        return [found(works=False, says="REDIS_URL is not set", mend=mend)]
    try:
        client: Any = Redis.from_url(
            url, socket_connect_timeout=5, socket_timeout=5, retry=Retry(NoBackoff(), 0), retry_on_timeout=False
        )
        return [_persistence(client), *_eviction(client), *_installation(client, environ), *_worker(client)]
    except ValueError:  # its text may quote a part of the password
        says, mend = "REDIS_URL is not a Redis address", "write it as redis://localhost:6379/0"
    except (RedisError, OSError) as error:
        says, mend = " ".join(str(error).split()).rstrip("."), "start it, or correct REDIS_URL"
    return [found(works=False, says=says, mend=mend)]


def _persistence(client: Any) -> Finding:
    found = partial(Finding, about="Redis", what="")
    if not client.info("persistence").get("aof_enabled"):
        return found(works=False, says="answers, but loses data in a crash", mend="start it with --appendonly yes")
    match _appendfsync(client):
        case "always":
            return found(works=True, says="answers, and stores every append on disk")
        case "everysec":
            says = "answers, and stores appends on disk once a second: a crash of its host loses up to 2 s of them"
            return found(works=True, says=says)
        case None:
            says = (
                "answers, and has an append-only file; how often it is stored is not known, because CONFIG is refused"
            )
            return found(works=True, says=says)
        case other:
            says = (
                f"answers, but appendfsync is {other}: a crash of its host loses what the kernel has not stored yet, "
                "usually 30 s. Machines that were bought in that time may be bought again"
            )
            return found(works=False, says=says, mend="set appendfsync always, or everysec")


def _appendfsync(client: Any) -> str | None:
    try:
        value = client.config_get("appendfsync").get("appendfsync")
    except ResponseError:
        return None
    return str(value) if value is not None else None


def _eviction(client: Any) -> Iterator[Finding]:
    policy = client.info("memory").get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        says = (
            f"maxmemory-policy is {policy}: when the memory is full, Redis deletes logs of running deployments, "
            "and their machines run without being observed"
        )
        mend = "set maxmemory-policy noeviction"
        yield Finding(about="Redis", what="memory", works=False, says=says, mend=mend)


def _installation(client: Redis, environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        home = from_environ(environ, needs_redis=False).installation
    except (WorkersError, OSError):
        return  # the cause is in the finding about the settings
    theirs = held(client)
    if theirs and home and theirs != home:
        says = f"it belongs to the installation {theirs}, and this host to {home}: no process starts here"
        mend = (
            f"set MIXTRAL_INSTALLATION={theirs} if this host is a part of {theirs}, or REDIS_URL to the Redis of {home}"
        )
        yield Finding(about="Redis", what="installation", works=False, says=says, mend=mend)


def _worker(client: Redis) -> Iterator[Finding]:
    """Check that a sweeper renews its lease. One that is stopped or frozen loses it."""
    found = partial(Finding, about="worker", what="")
    until = time.monotonic() + SWEEPER_RESTARTS_WITHIN
    deployments = len(Log(client).names())
    while not (there := is_held(client, LEASE)) and deployments and time.monotonic() < until:
        time.sleep(0.2)
    if there:
        yield found(works=True, says="observes the machines")
        return
    mend = "start `mixtral-bot worker`; if it runs, end and start it again, and see its log"
    if deployments:
        which = "the deployment" if deployments == 1 else f"the {deployments} deployments"
        says = (
            f"none answers: the machines of {which} are not observed, nothing is launched or ended, and each machine "
            "ends itself when its lease has passed"
        )
        yield found(works=False, says=says, mend=mend)
    else:
        yield found(works=None, says="none runs yet", mend="start `mixtral-bot worker`")
