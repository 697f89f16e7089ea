"""What the gateway costs by the size of its buffer, and what ten thousand idle connections cost who has a key."""

import contextlib
import re
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

from tests.gateway_bench import BODY, KEY, SECONDS, cpu_of, running, saturate, start_gateway, start_static
from tests.measured import show
from workers.sandbox.valkey import free_port

BUFFERS = (65_536, 262_144)
ROUNDS = 3
WAITING = 1000
PROMPT = 4000
"""Bytes of the body of each request that waits."""
IDLE = 9990
ASKED = 200


def rows():
    """Rows (name, value, reference) for `make bench`."""
    for buffer in BUFFERS:
        with tempfile.TemporaryDirectory(prefix="mxg-") as folder, running() as children:
            yield costs(Path(folder), children, buffer)
        with tempfile.TemporaryDirectory(prefix="mxg-") as folder, running() as children, silent() as upstream:
            yield waits(Path(folder), children, buffer, upstream)
    with tempfile.TemporaryDirectory(prefix="mxg-") as folder, running() as children:
        yield from idles(Path(folder), children)


def costs(folder, children, buffer):
    address, cli = start_gateway(folder, children, start_static(folder, children), bufsize=buffer)
    spent = []
    for _ in range(ROUNDS):
        before = cpu_of(cli)
        answers = saturate(address) * SECONDS
        spent.append((cpu_of(cli) - before) / answers)
    return (
        f"CPU per request of HAProxy's worker alone, buffer of {buffer // 1024} KiB, median of {ROUNDS}",
        f"{statistics.median(spent) * 1e6:.0f} µs",
        "short requests on kept connections",
    )


def waits(folder, children, buffer, upstream):
    address, cli = start_gateway(folder, children, upstream, bufsize=buffer)
    body = b"x" * PROMPT
    with contextlib.ExitStack() as stack:
        before = None
        for n in range(WAITING + 1):
            one = connected(stack, address)
            one.sendall(head("POST", length=PROMPT) + body)
            if n == 0:  # what the first one costs, all others share
                time.sleep(0.5)
                before = memory(cli)
        time.sleep(2)
        grown = memory(cli) - before
    what = f"memory of HAProxy's worker for each of {WAITING:,} waiting requests of {PROMPT:,} bytes"
    return (
        f"{what}, buffer of {buffer // 1024} KiB",
        f"{grown / WAITING / 1024:.0f} KiB",
        f"{grown / 2**20:.0f} MiB together",
    )


def idles(folder, children):
    address, cli = start_gateway(folder, children, start_static(folder, children))
    alone, before = asked(address), memory(cli)
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        for _ in range(IDLE):
            connected(stack, address).sendall(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n")
        took = time.monotonic() - began
        beside, grown = asked(address), memory(cli) - before
    yield (
        f"answer to a key on a new connection beside {IDLE:,} connections that asked for /health, p50 of {ASKED}",
        f"{statistics.median(beside) * 1e3:.1f} ms",
        f"alone {statistics.median(alone) * 1e3:.1f} ms; largest {max(beside) * 1e3:.1f} ms; opened in {took:.1f} s",
    )
    yield f"memory of HAProxy's worker for {IDLE:,} such connections", f"{grown / 2**20:.1f} MiB", ""


def asked(address):
    """Seconds of each of some requests with a key, each on a new connection."""
    took = []
    for _ in range(ASKED):
        began = time.perf_counter()
        with contextlib.ExitStack() as stack:
            one = connected(stack, address)
            one.sendall(head("POST", length=len(BODY)) + BODY.encode())
            if not one.recv(65_536).startswith(b"HTTP/1.1 200"):
                raise SystemExit("a request with a key was not answered")
        took.append(time.perf_counter() - began)
    return took


def head(method, length):
    return (
        f"{method} /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def connected(stack, address):
    host, _, port = address.partition(":")
    return stack.enter_context(socket.create_connection((host, int(port)), timeout=10))


def memory(cli):
    """Bytes of memory that belong to HAProxy's worker."""
    rollup = Path(f"/proc/{cli.processes().current}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1]) * 1024


@contextlib.contextmanager
def silent():
    """A replica that takes requests and does not answer."""
    taken = []
    with socket.create_server(("127.0.0.1", free_port()), backlog=WAITING) as server:

        def take():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for one in taken:
            one.close()


if __name__ == "__main__":
    show("the gateway under load", rows())
