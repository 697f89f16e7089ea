"""`mixtral-bot gateway`: starts HAProxy and keeps its routing table until SIGTERM."""

import contextlib
import fcntl
import logging
import resource
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from workers.deployment.gateway_notices import GatewayNotices
from workers.deployment.key_uses import KeyUses
from workers.deployment.loads import Loads
from workers.deployment.log import Log
from workers.gateway.address import in_use, is_taken, wait_until_free
from workers.gateway.capacity import capacity
from workers.gateway.certificate import combined
from workers.gateway.claim import Claim, identity
from workers.gateway.config import Shape
from workers.gateway.errors import GatewayDown, GatewayError
from workers.gateway.gateway import Gateway
from workers.gateway.haproxy import Haproxy
from workers.gateway.holding import MAX_HELD, Holding
from workers.nudges import nudge
from workers.policy.stored import StoredPolicy
from workers.processes import Children
from workers.redis_clock import RedisClock
from workers.run import belong, connect
from workers.settings import GatewaySettings, Settings, from_environ
from workers.writable import wait_for

logger = logging.getLogger(__name__)

HOLD_SOCKET = "hold.sock"
LOG = "haproxy.log"
LOCK = "lock"
HAPROXY = "haproxy"
"""Name of the child."""
UP_WITHIN = timedelta(seconds=10)
"""Time in which HAProxy is started again if it ends at once, for example because its address was not free yet."""
ANSWERS_WITHIN = timedelta(minutes=1)
"""Maximum time until an HAProxy that runs answers: a host may be very busy."""
NAMED_WITHIN = timedelta(seconds=3)
"""Maximum wait for the first worker of a new installation, which makes its id."""


def main(environ: Mapping[str, str]) -> None:
    """Run in the foreground until SIGTERM or SIGINT. Raises SettingsError, GatewayError."""
    settings = from_environ(environ)
    shaped = settings.gateway
    _certificate(shaped)  # a certificate that is not usable ends this process before it waits for anything
    shaped.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(shaped.folder):
        redis = connect(settings.redis_url)
        wait_for(redis)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):  # before anything that needs an orderly end is started
            signal.signal(number, lambda *_: stop.set())
        installation = _installation(settings, redis, stop)
        haproxy = haproxy_of(shaped, installation)
        with Claim(redis, identity(shaped.folder)).held(stop):
            _drive(haproxy, shaped, redis, stop, installation)


def _installation(settings: Settings, redis: Redis, stop: threading.Event) -> str:
    """The id of the installation; empty if no worker has made one within NAMED_WITHIN. Raises AnotherInstallation."""
    deadline = time.monotonic() + NAMED_WITHIN.total_seconds()
    while not (found := belong(settings, redis).installation) and time.monotonic() < deadline:
        if stop.wait(0.1):
            break
    return found


def _drive(haproxy: Haproxy, shaped: GatewaySettings, redis: Redis, stop: threading.Event, installation: str) -> None:
    gateway = Gateway(
        log=Log(redis),
        haproxy=haproxy,
        loads=Loads(redis),
        key_uses=KeyUses(redis),
        notices=GatewayNotices(redis),
        policy=StoredPolicy(redis).current,
        nudge=nudge(redis),
        url=shaped.url,
        clock=RedisClock(redis),
    )
    _prepare(gateway, stop)  # before the first request is held, because its outlook is computed from the log
    holding = Holding(shaped.folder / HOLD_SOCKET, shaped.hold, gateway.outlook, max_held=_raise_file_limit() // 2)
    children = Children()
    try:
        if not shaped.attached and not stop.is_set():
            wait_until_free(shaped, installation, stop)
            children.start(haproxy.child(shaped.folder / LOG))
        _wait_until_up(haproxy, shaped, stop, installation, children)
        supervisor = threading.Thread(target=_supervise, args=(children, stop), name="supervisor", daemon=True)
        supervisor.start()
        gateway.run(holding, stop)
        supervisor.join()
    finally:
        children.stop()
        holding.close()


def haproxy_of(settings: GatewaySettings, installation: str = "") -> Haproxy:
    """HAProxy as the settings describe it. Raises GatewayError if the certificate is not usable."""
    certificate = _certificate(settings)
    fits = capacity(settings.memory, settings.buffer)
    shape = Shape(
        bind=settings.bind,
        installation=installation,
        hold_socket=str(settings.folder / HOLD_SOCKET),
        metrics_bind=settings.metrics,
        tls=certificate is not None,
        pool=settings.backends,
        bufsize=settings.buffer,
        maxconn=fits.maxconn,
    )
    return Haproxy(shape, settings.folder, certificate=certificate, memory=fits.memory)


def _certificate(settings: GatewaySettings) -> str | None:
    if settings.certificate is None or settings.certificate_key is None:
        return None
    return combined(settings.certificate, settings.certificate_key)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with this process. Raises GatewayError if another gateway holds it."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GatewayError(
                f"Another gateway uses {folder}. One gateway serves all deployments of an installation. "
                "End it first, or set MIXTRAL_GATEWAY_FOLDER if this is another installation."
            ) from error
        yield


def _raise_file_limit() -> int:
    """Raise the limit on open files to its maximum; return how many files held requests may use."""
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))
    return min(2 * MAX_HELD, maximum)


def _prepare(gateway: Gateway, stop: threading.Event) -> None:
    """Write the complete table before any traffic is accepted; wait for Redis as long as necessary."""
    while not stop.is_set():
        try:
            gateway.prepare()
        except (RedisError, GatewayDown, OSError) as error:
            logger.warning("waiting: %s", error)
            stop.wait(1)
        else:
            return


def _wait_until_up(
    haproxy: Haproxy, settings: GatewaySettings, stop: threading.Event, installation: str, children: Children
) -> None:
    """Return when HAProxy answers. Raises GatewayError if this process started it and it does not answer in time."""
    began = time.monotonic()
    while not haproxy.up() and not stop.is_set():
        children.restart_the_dead()
        if not settings.attached and _has_failed(children, timedelta(seconds=time.monotonic() - began)):
            if is_taken(settings.bind):  # by a gateway that started at the same time
                raise in_use(settings, installation)
            log = settings.folder / LOG
            output = log.read_text(errors="replace")[-1000:].strip() if log.exists() else ""
            raise GatewayError(f"HAProxy did not start at {settings.bind}. Its output: {output or 'none'}")
        stop.wait(0.05)
    if not stop.is_set():
        logger.info("gateway is up at %s; its public address is %s", settings.bind, settings.url)


def _has_failed(children: Children, waited: timedelta) -> bool:
    return waited > ANSWERS_WITHIN or (waited > UP_WITHIN and children.has_ended(HAPROXY))


def _supervise(children: Children, stop: threading.Event) -> None:
    while not stop.wait(0.1):
        children.restart_the_dead()
