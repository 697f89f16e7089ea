"""The cost of the gateway: requests per second and time to the first token, with and without it."""

import contextlib
import multiprocessing
import os
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import httpx

from tests.load import Fate, Load, Target, waits
from tests.measured import show
from tests.rivals import ENVOY_CPU, SKYSERVE_CPU, SKYSERVE_FIRST_TOKEN, SKYSERVE_SHARE, constant
from workers.gateway.config import Shape
from workers.gateway.haproxy import SOCKET, Haproxy, binary
from workers.gateway.haproxy_cli import Cli
from workers.gateway.table import ReplicaServer, Route, RoutingTable
from workers.policy.key_limits import MOST
from workers.processes import Child, Children
from workers.sandbox.valkey import free_port

ROUNDS = 5
SECONDS = 3
CONNECTIONS = 64
STREAMS = 64
DEPLOYMENTS = 50
KEYS = 20
"""Number of keys per deployment. The maps are as long as those of a large installation."""

LIMITS = {name: MOST[name] for name in ("at_once", "requests_per_minute", "bytes_per_minute")}
"""Limits of each key that are checked and never reached."""

TIMES_SKYSERVE = 20
TTFT_MORE = 5  # ms

KEY = "mxk_" + "b" * 32
REPLICA_KEY = "replica"
BODY = '{"model":"bench","messages":[{"role":"user","content":"Hello! What is your name?"}]}'

STATIC = """\
defaults
  mode http
  timeout connect 2s
  timeout client 1m
  timeout server 1m
frontend upstream
  bind 127.0.0.1:{port}
  http-request return status 200 content-type application/json string '{{"choices":[{{"message":{{"content":"Hi"}}}}]}}'
"""


def rows():
    """Rows (name, value, reference) for `make bench`. All processes share this machine's cores."""
    with tempfile.TemporaryDirectory(prefix="mxg-") as folder, running() as children:
        yield from throughput(Path(folder), children)
    with tempfile.TemporaryDirectory(prefix="mxg-") as folder, running() as children:
        yield from first_token(Path(folder), children)


def throughput(folder, children):
    upstream = start_static(folder, children)
    gateway, cli = start_gateway(folder, children, upstream)
    direct, through, cpu = [], [], []
    for _ in range(ROUNDS):
        direct.append(saturate(upstream))
        before = cpu_of(cli)
        through.append(saturate(gateway))
        cpu.append((cpu_of(cli) - before) / (through[-1] * SECONDS))
    rps, alone = statistics.median(through), statistics.median(direct)
    ratio, minimum = rps / alone, SKYSERVE_SHARE * TIMES_SKYSERVE
    yield (
        f"requests/s through the gateway, {DEPLOYMENTS * KEYS} keys, median of {ROUNDS}",
        f"{rps:,.0f}",
        f"direct {alone:,.0f}; sent by {generator()} on {CONNECTIONS} connections",
    )
    yield (
        "the same as a share of direct requests to a static upstream, without the time of connecting",
        f"{ratio:.0%}",
        f"limit {minimum:.0%}, measured {ratio / minimum:.1f} x the limit; "
        + constant(f"SkyServe {SKYSERVE_SHARE:.1%}"),
    )
    yield (
        f"CPU per request of HAProxy's worker alone, median of {ROUNDS}",
        f"{statistics.median(cpu) * 1e6:.0f} µs",
        constant(f"SkyServe {SKYSERVE_CPU:,} µs, Envoy {ENVOY_CPU} µs"),
    )


def first_token(folder, children):
    upstream = start_scripted(folder, children)
    gateway, _ = start_gateway(folder, children, upstream)
    direct, through = [], []
    for _ in range(ROUNDS):
        direct.append(ttft(upstream, REPLICA_KEY))
        through.append(ttft(gateway, KEY))
    more = (statistics.median(through) - statistics.median(direct)) * 1e3
    yield (
        f"first token at {STREAMS} streams through the gateway, p50, median of {ROUNDS}",
        f"{statistics.median(through) * 1e3:.1f} ms",
        f"direct {statistics.median(direct) * 1e3:.1f} ms: {more:+.1f} ms, limit +{TTFT_MORE} ms; "
        + constant(f"SkyServe +{SKYSERVE_FIRST_TOKEN} ms"),
    )


def ttft(address, key):
    """Median time to the first token, in seconds, with a constant number of open streams."""
    target = Target(url=f"http://{address}", key=key, model="bench")
    with Load(target, streams=STREAMS, tokens=(10, 30)) as load:
        time.sleep(SECONDS)
    failed = [a for a in load.answers if a.fate is not Fate.OK]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(load.answers)} streams at {address} failed: {failed[0].why}")
    return statistics.median(waits(load.answers))


@contextlib.contextmanager
def running():
    children = Children()
    try:
        yield children
    finally:
        children.stop()


def start_static(folder, children):
    """A HAProxy that answers by itself, so that the upstream does not limit the rate."""
    port, config = free_port(), folder / "static.cfg"
    config.write_text(STATIC.format(port=port))
    argv = (str(binary()), "-db", "-f", str(config))
    children.start(Child(name="static", argv=argv, env={}, log=folder / "static.log"))
    return answering(port, children)


def start_scripted(folder, children):
    port = free_port()
    served = ("--served-model-name", "bench", "--port", str(port), "--latency", "0.05", "--tokens-per-s", "10")
    argv = (sys.executable, "-m", "workers.serving.scripted", *served)
    env = os.environ | {"VLLM_API_KEY": REPLICA_KEY}
    children.start(Child(name="scripted", argv=argv, env=env, log=folder / "scripted.log"))
    return answering(port, children)


def start_gateway(folder, children, upstream, **shape):
    """HAProxy as the gateway starts it, with one replica per deployment: its address, and its command line."""
    port = free_port()
    shaped = Shape(bind=f"127.0.0.1:{port}", hold_socket=str(folder / "hold.sock"), **shape)
    haproxy = Haproxy(shaped, folder / "gateway")
    replica = (ReplicaServer(name="r1", address=upstream),)
    routes = tuple(
        Route(
            deployment=f"d{n}",
            servers=replica,
            keys=frozenset(keys(n)),
            replica_key=REPLICA_KEY,
            ids={key: f"k-{n:06}" for n, key in enumerate(keys(n))},
            limits=LIMITS,
        )
        for n in range(DEPLOYMENTS)
    )
    haproxy.prepare(RoutingTable(routes=routes))
    children.start(haproxy.child(folder / "haproxy.log"))
    return answering(port, children), Cli(folder / "gateway" / SOCKET)


def keys(deployment):
    return [KEY if not deployment and not n else f"mxk_{deployment:016}{n:016}" for n in range(KEYS)]


def answering(port, children):
    """`host:port` once the server there answers as one of this bench."""
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success:
                return f"127.0.0.1:{port}"
        if time.monotonic() > deadline:
            raise SystemExit(f"no answer on port {port}")
        children.restart_the_dead()
        time.sleep(0.05)


def cpu_of(cli):
    """CPU seconds used by HAProxy's worker process."""
    fields = Path(f"/proc/{cli.processes().current}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def generator():
    return "wrk" if shutil.which("wrk") else "two Python processes (wrk is not on PATH)"


def saturate(address):
    """Requests per second at full load on kept-alive connections. Any status but 200 ends the bench."""
    return _wrk(address) if shutil.which("wrk") else _ours(address)


def _wrk(address):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method = 'POST'\nwrk.body = '{BODY}'\n")
        script.write(f"wrk.headers['Authorization'] = 'Bearer {KEY}'\n")
        script.write("wrk.headers['Content-Type'] = 'application/json'\n")
        script.flush()
        argv = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", script.name]
        argv.append(f"http://{address}/v1/chat/completions")
        output = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"some answers were not 200:\n{output}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def _ours(address):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(abs, range(2)))  # both processes are started before either measures
        return sum(pool.map(hammer, [address] * 2)) / SECONDS


def hammer(address):
    """Number of answers in SECONDS on half of the connections, one request at a time on each."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
    host, _, port = address.partition(":")
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.EpollSelector())
        for _ in range(CONNECTIONS // 2):
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(request)
        answers, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            for key, _ in selector.select(1):
                answer = key.fileobj.recv(65536)  # one small answer, complete
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"an answer was not 200: {answer[:300]!r}")
                key.fileobj.sendall(request)
                answers += 1
        return answers


if __name__ == "__main__":
    show("the gateway", rows())
