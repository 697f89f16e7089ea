"""Checks of Redis for `mixtral-bot check`: persistence, eviction, writes, access, and the installation's id."""

import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from bot.cli.check_connections import running_gateway
from bot.cli.check_workers import workers
from bot.views.amounts import duration
from workers.clouds.findings import Finding
from workers.deployment.identity import held
from workers.errors import WorkersError
from workers.redis_failures import failure_of
from workers.settings import from_environ
from workers.writable import write

FULL_FROM = 0.9
"""Part of maxmemory from which it is reported."""
CLOCKS_DIFFER = timedelta(minutes=1)
SLOW = 0.1
"""Duration of a call, in seconds, from which it is reported."""


def redis(environ: Mapping[str, str]) -> list[Finding]:
    """Check persistence, eviction, writes, access, the id, the workers and the gateway; one finding on a failure."""
    found = partial(Finding, about="Redis", what="")
    url = environ.get("REDIS_URL", "")
    if not url:
        mend = "start a Valkey or Redis with --appendonly yes, and set REDIS_URL=redis://localhost:6379/0"
        return [found(works=False, says="REDIS_URL is not set", mend=mend)]
    try:
        client: Any = Redis.from_url(
            url, socket_connect_timeout=5, socket_timeout=5, retry=Retry(NoBackoff(), 0), retry_on_timeout=False
        )
        refused = list(_writes(client))
        return [
            *(
                _persistence(client),
                *_disk(client),
                *_eviction(client),
                *refused,
                *_memory(client),
                *_speed(client),
                *_clock(client),
            ),
            *(*_access(url), *_installation(client, environ), *workers(client, accepts_writes=not refused)),
            running_gateway(client),
        ]
    except ValueError:  # its text may quote a part of the password
        says, mend = "REDIS_URL is not a Redis address", "write it as redis://localhost:6379/0"
    except (RedisError, OSError) as error:
        failure = failure_of(error)
        says, mend = failure.in_full, failure.mend
    return [found(works=False, says=says, mend=mend)]


def _persistence(client: Any) -> Finding:
    found = partial(Finding, about="Redis", what="")
    if not client.info("persistence").get("aof_enabled"):
        return found(works=False, says=f"answers, but {_without_aof(client)}", mend="start it with --appendonly yes")
    match _config(client, "appendfsync"):
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


def _without_aof(client: Any) -> str:
    match _config(client, "save"):
        case "":
            lost = "everything: appendonly is no, and it stores no snapshots"
        case None:
            lost = "data: appendonly is no, and when it stores snapshots is not known, because CONFIG is refused"
        case save:
            lost = f"all changes since its last snapshot: appendonly is no, and snapshots are stored by `save {save}`"
    return f"loses data in a crash, or at a restart, {lost}. Machines that were bought then run on unknown"


def _disk(client: Any) -> Iterator[Finding]:
    """Whether its last write to disk failed. It then refuses writes, or will lose them."""
    info = client.info("persistence")
    for name, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if info.get(name, "ok") != "ok":
            says = f"its last write of the {what} to disk failed, so it refuses writes: its disk may be full"
            yield Finding(about="Redis", what="disk", works=False, says=says, mend="free space on the disk of Redis")


def _writes(client: Any) -> Iterator[Finding]:
    """Whether it accepts a write."""
    try:
        write(client)
    except RedisError as error:
        failure = failure_of(error)
        says = f"{failure.in_full}, so nothing can be launched, scaled or ended"
        yield Finding(about="Redis", what="writes", works=False, says=says, mend=failure.mend)


def _memory(client: Any) -> Iterator[Finding]:
    """Whether it has memory for more."""
    memory = client.info("memory")
    used, most = memory.get("used_memory", 0), memory.get("maxmemory", 0)
    if most and used > FULL_FROM * most:
        says = f"{100 * used // most} % of maxmemory is used; at 100 % it refuses writes"
        yield Finding(about="Redis", what="memory", works=None, says=says, mend="raise maxmemory")


def _speed(client: Any) -> Iterator[Finding]:
    began = time.monotonic()
    client.ping()
    took = time.monotonic() - began
    if took > SLOW:
        says = f"one call takes {1000 * took:.0f} ms: commands in Slack need several within its 3 s, and are late"
        yield Finding(about="Redis", what="speed", works=None, says=says, mend="move it closer, or check its load")


def _clock(client: Any) -> Iterator[Finding]:
    """Whether this host and Redis have the same time. All processes decide by that of Redis."""
    seconds, _ = client.time()
    ahead = datetime.now(UTC) - datetime.fromtimestamp(seconds, UTC)
    if abs(ahead) > CLOCKS_DIFFER:
        of_host = "ahead of" if ahead > timedelta() else "behind"
        says = (
            f"the clock of this host is {duration(abs(ahead))} {of_host} the clock of Redis, by which deployments and "
            "machines end; clouds refuse calls that are signed by a wrong clock"
        )
        yield Finding(about="Redis", what="clock", works=False, says=says, mend="synchronize both clocks by NTP")


def _access(url: str) -> Iterator[Finding]:
    """Whether others can reach a Redis without a password. Jobs in its queue are code, which the workers run."""
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.password or not parts.hostname:
        return
    addresses = _addresses(parts.hostname)
    if all(address.is_loopback for address in addresses):
        return
    public = any(address.is_global for address in addresses)
    says = (
        f"REDIS_URL has no password, and {parts.hostname} is not a loopback address: anyone who can connect "
        "to it can read the keys of all endpoints, and make the workers run any program"
    )
    mend = "set `requirepass` and write the password into REDIS_URL"
    yield Finding(about="Redis", what="access", works=False if public else None, says=says, mend=mend)


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    try:
        return [ip_address(str(found[4][0]).partition("%")[0]) for found in socket.getaddrinfo(host, None)]
    except (OSError, ValueError):
        return []  # it has answered: it is a name that only the client of Redis could resolve


def _config(client: Any, name: str) -> str | None:
    """A setting of Redis; None if it refuses CONFIG."""
    try:
        value = client.config_get(name).get(name)
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
