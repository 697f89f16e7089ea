"""Thousands of replicas in a process of their own: each has a loopback address, and answers after a delay."""

import asyncio
import multiprocessing
import resource
from collections import Counter
from functools import partial
from multiprocessing.connection import Connection

from workers.sandbox.valkey import free_port

NEVER = 3600.0
"""Delay of a replica that hangs, in seconds."""

_fork = multiprocessing.get_context("fork")

COMPLETION = b'{"choices": [{"text": " mustard"}]}'


class Replicas:
    """Replica `n` listens after `listen(n)`; `delay` is that of every answer unless `listen` names another."""

    def __init__(self, delay: float = 0.0):
        self.port = free_port()
        self._delay = delay

    def __enter__(self):
        self._pipe, theirs = _fork.Pipe()
        self._process = _fork.Process(target=_serve, args=(theirs, self.port, self._delay), daemon=True)
        self._process.start()
        theirs.close()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def address(self, number: int) -> str:
        return f"http://{_host(number)}:{self.port}"

    def listen(self, *numbers: int, delay: float | None = None) -> None:
        """Return once they listen."""
        self._ask("listen", numbers, delay)

    def slow_down(self, *numbers: int, delay: float = NEVER) -> None:
        """Answer after another delay from now on."""
        self._ask("slow", numbers, delay)

    def seen(self) -> dict[str, int]:
        """Numbers of `requests`, of connections `open` now, and of those that were open at once (`most`)."""
        counts: dict[str, int] = self._ask("seen")
        return counts

    def requests(self) -> list[tuple[int, str]]:
        """The replica and the path of each request, in the order of arrival."""
        order: list[tuple[int, str]] = self._ask("requests")
        return order

    def _ask(self, *command):
        self._pipe.send(command)
        return self._pipe.recv()


def _host(number: int) -> str:
    return f"127.{8 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"


def _serve(pipe: Connection, port: int, delay: float) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_Server(pipe, port, delay).run())


class _Server:
    def __init__(self, pipe, port, delay):
        self.pipe, self.port, self.delay = pipe, port, delay
        self.delays = {}
        self.counts = Counter(requests=0, open=0, most=0)
        self.order = []

    async def run(self):
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        commands = asyncio.Queue()

        def read():
            try:
                commands.put_nowait(self.pipe.recv())
            except EOFError:
                ended.set()

        loop.add_reader(self.pipe.fileno(), read)
        obeying = asyncio.create_task(self.obey(commands))
        await ended.wait()
        obeying.cancel()

    async def obey(self, commands):
        loop = asyncio.get_running_loop()
        while True:
            match await commands.get():
                case "listen", numbers, delay:
                    for number in numbers:
                        self.delays[number] = self.delay if delay is None else delay
                        await loop.create_server(
                            partial(_Answering, self, number), _host(number), self.port, backlog=512
                        )
                    self.pipe.send(None)
                case "slow", numbers, delay:
                    self.delays |= dict.fromkeys(numbers, delay)
                    self.pipe.send(None)
                case ("seen",):
                    self.pipe.send(dict(self.counts))
                case ("requests",):
                    self.pipe.send(self.order)


class _Answering(asyncio.Protocol):
    def __init__(self, server, number):
        self.server, self.number, self.received = server, number, b""

    def connection_made(self, transport):
        self.transport = transport
        counts = self.server.counts
        counts["open"] += 1
        counts["most"] = max(counts["most"], counts["open"])

    def connection_lost(self, exc):
        self.server.counts["open"] -= 1

    def data_received(self, data):
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self.received = b""
        line, _, headers = head.partition(b"\r\n")
        path = line.split()[1].decode()
        self.server.counts["requests"] += 1
        self.server.order.append((self.number, path))
        close = b"connection: close" in headers.lower()
        answer = _answer(path, headers.lower())
        asyncio.get_running_loop().call_later(self.server.delays[self.number], self.write, answer, close)

    def write(self, answer, close):
        """As engines do: the connection is kept unless the client asks to close it."""
        if not self.transport.is_closing():
            self.transport.write(answer)
            if close:
                self.transport.close()


def _length(head):
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _answer(path, headers):
    if path == "/metrics":
        status, body = b"404 Not Found", b"{}"
    elif b"authorization:" not in headers and path != "/health":
        status, body = b"401 Unauthorized", b"{}"
    else:
        status, body = b"200 OK", COMPLETION if path == "/v1/completions" else b"{}"
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
