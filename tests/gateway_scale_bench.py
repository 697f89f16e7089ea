"""How soon a key is live at many deployments: from its append to the first answer that is not 401."""

import http.client
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.fakes.haproxy import connects
from tests.gateway_bench import answering, running
from tests.measured import show
from tests.scale import REPLICAS, Store
from workers.deployment.events import KeyId, KeyIssued, KeyRevoked
from workers.deployment.keys import new_key
from workers.deployment.log import Log, stamp
from workers.processes import Child
from workers.sandbox.valkey import free_port

DEPLOYMENTS = (50, 1000)
ROUNDS = 15
LIMIT = 100
"""Milliseconds."""


def rows():
    """Rows (name, value, reference) for `make bench`. The gateway is a process of its own."""
    for size in DEPLOYMENTS:
        with Store(size) as store, tempfile.TemporaryDirectory(prefix="mxg-") as folder, running() as children:
            port = start_gateway(store, Path(folder), children)
            opened, closed = zip(*(round_of(store, port) for _ in range(ROUNDS)), strict=True)
        for what, took in (("live", opened), ("revoked", closed)):
            middle = statistics.median(took) * 1e3
            limit = f"limit {LIMIT} ms, {LIMIT / middle:.1f} x the measured value"
            yield (
                f"{size} deployments x {REPLICAS}: a key is {what}, median of {ROUNDS}",
                f"{middle:.0f} ms",
                f"from the append to the answer; largest {max(took) * 1e3:.0f} ms; {limit}",
            )


def start_gateway(store, folder, children):
    port = free_port()
    env = os.environ | {
        "REDIS_URL": f"redis://127.0.0.1:{store.redis.connection_pool.connection_kwargs['port']}/0",
        "MIXTRAL_HOME": str(folder),
        "MIXTRAL_GATEWAY_BIND": f"127.0.0.1:{port}",
    }
    argv = (sys.executable, "-m", "bot.cli", "gateway")
    children.start(Child(name="gateway", argv=argv, env=env, log=folder / "gateway.log"))
    while not connects(port):  # it reads every log first
        children.restart_the_dead()
        time.sleep(0.1)
    answering(port, children)
    time.sleep(5)  # the first reading of HAProxy, and the record of each endpoint
    return port


def round_of(store, port):
    """Seconds until a new key is accepted, and until it is refused after it was revoked."""
    log, id_, key = Log(store.redis), store.ids[len(store.ids) // 2], new_key()
    name = KeyId(f"k-{key[-6:]}")
    issued = KeyIssued(**stamp(datetime.now(UTC)), key=name, user="U2", by="U1")
    assert log.issue(id_, log.version(id_), issued, key)
    opened = waited(port, key, lambda status: status == 200)
    assert log.revoke(id_, log.version(id_), KeyRevoked(**stamp(datetime.now(UTC)), key=name, by="U1"))
    closed = waited(port, key, lambda status: status in (401, 429))
    time.sleep(0.37)  # so that the rounds begin at different times of the gateway's second
    return opened, closed


def waited(port, key, ends):
    began = time.perf_counter()
    while not ends(status_of(port, key)):
        if time.perf_counter() - began > 30:
            raise SystemExit("a change of keys did not arrive within 30 s")
        time.sleep(0.002)
    return time.perf_counter() - began


def status_of(port, key):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    show("the gateway's table", rows())
