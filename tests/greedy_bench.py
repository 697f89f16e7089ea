"""Whether a key at ten times its limit slows a second key of its deployment."""

import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.gateway_bench import REPLICA_KEY, answering, running
from tests.load import Fate, Target, ask
from tests.measured import show
from workers.gateway.config import Shape
from workers.gateway.haproxy import Haproxy
from workers.gateway.table import ReplicaServer, Route, RoutingTable
from workers.processes import Child
from workers.sandbox.valkey import free_port

ROUNDS = 5
SECONDS = 8
SLOTS = 8
"""Requests that the engine computes together; the greedy key may have half as many at once, as by default."""
AT_ONCE = SLOTS // 2
TIMES = 10
MODEST = 2
"""Requests at once of the modest key."""
TOKENS = 20
PAUSE = 0.5
"""Seconds after which a greedy client that was refused asks again. Retry-After asks for ten times as many."""
MOST = 1.1

GREEDY_KEY, MODEST_KEY = "mxk_greedy", "mxk_modest"


def rows():
    """Rows (name, value, reference) for `make bench`."""
    with tempfile.TemporaryDirectory(prefix="mxg-") as folder, running() as children:
        engine = start_engine(Path(folder), children)
        haproxy, address = start_gateway(Path(folder), children, engine)
        limit(haproxy, engine, {"at_once": AT_ONCE})
        rounds = [(p99(address), p99_beside_the_greedy(address)) for _ in range(ROUNDS)]
        use = haproxy.key_uses()["d/greedy"]
        limit(haproxy, engine, {})
        unlimited = p99_beside_the_greedy(address)
    alone, beside = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(beside / alone for alone, beside in rounds)
    measured = f"{alone * 1e3:.0f} ms alone, {beside * 1e3:.0f} ms beside; without limits {unlimited / alone:.1f}"
    yield (
        f"p99 of a key beside one at {TIMES} x its limit, without its first second, to p99 alone, median of {ROUNDS}",
        f"{ratio:.2f}",
        f"limit {MOST}; {measured}",
    )
    yield (
        f"requests of the other, with {TIMES * AT_ONCE} clients where {AT_ONCE} are allowed",
        f"{use.admitted} admitted, {use.refused} refused",
        "",
    )


def start_engine(folder, children):
    port = free_port()
    pace = ("--slots", str(SLOTS), "--latency", "0.1", "--tokens-per-s", "50")
    argv = (
        sys.executable,
        "-m",
        "workers.serving.scripted",
        "--served-model-name",
        "bench",
        "--port",
        str(port),
        *pace,
    )
    env = os.environ | {"VLLM_API_KEY": REPLICA_KEY}
    children.start(Child(name="engine", argv=argv, env=env, log=folder / "engine.log"))
    return answering(port, children)


def start_gateway(folder, children, engine):
    port = free_port()
    haproxy = Haproxy(Shape(bind=f"127.0.0.1:{port}", hold_socket=str(folder / "hold.sock")), folder / "gateway")
    haproxy.prepare(table(engine, {}))
    children.start(haproxy.child(folder / "haproxy.log"))
    return haproxy, answering(port, children)


def limit(haproxy, engine, limits):
    haproxy.converge(table(engine, limits))


def table(engine, limits):
    ids = {GREEDY_KEY: "greedy", MODEST_KEY: "modest"}
    servers = (ReplicaServer(name="r1", address=engine),)
    route = Route(deployment="d", servers=servers, keys=frozenset(ids), replica_key=REPLICA_KEY, ids=ids, limits=limits)
    return RoutingTable(routes=(route,))


def p99_beside_the_greedy(address):
    context = multiprocessing.get_context("spawn")
    stop, started = context.Event(), context.Event()
    process = context.Process(target=greed, args=(address, stop, started))
    process.start()
    started.wait()
    time.sleep(1)  # it has reached its limit
    try:
        return p99(address)
    finally:
        stop.set()
        process.join()


def greed(address, stop, started):
    """Ten times as many clients as the limit allows, each with one request after another, in a process of its own."""
    target = Target(url=f"http://{address}", key=GREEDY_KEY, model="bench")

    def client(_):
        while not stop.is_set():
            if ask(target, tokens=TOKENS).fate is not Fate.OK:
                stop.wait(PAUSE)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(TIMES * AT_ONCE)]
    for thread in threads:
        thread.start()
    started.set()
    for thread in threads:
        thread.join()


def p99(address):
    """Of the times of complete answers to the modest key, in seconds."""
    target = Target(url=f"http://{address}", key=MODEST_KEY, model="bench")
    until = time.monotonic() + SECONDS

    def client(_):
        took = []
        while time.monotonic() < until:
            answer = ask(target, tokens=TOKENS)
            if answer.fate is not Fate.OK:
                raise SystemExit(f"a request of the modest key failed: {answer.why}")
            took.append(answer.took)
        return took

    with ThreadPoolExecutor(MODEST) as pool:
        times = sorted(t for found in pool.map(client, range(MODEST)) for t in found)
    return times[int(len(times) * 0.99)]


if __name__ == "__main__":
    show("limits of keys", rows())
