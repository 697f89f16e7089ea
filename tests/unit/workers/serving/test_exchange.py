"""One request on a connection of its own, against servers that answer well, badly and not at all."""

import asyncio
import errno
import socket
import ssl
from datetime import timedelta
from pathlib import Path

import h11
import pytest

from tests.fakes.haproxy_certificates import self_signed
from tests.patience import PATIENCE
from workers.serving.exchange import MAX_HEAD, MAX_PIECES, BadHeader, NoHttpAnswer, Shortage, exchange

SOON = timedelta(seconds=0.2)
LONG = timedelta(seconds=20)

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
KINDS = {
    "keeps its connection": PLAIN,
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n{}",
    "in chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    "first promises to continue": b"HTTP/1.1 103 Early Hints\r\n\r\n" + PLAIN,
}
BROKEN = {
    "breaks in the head": b"HTTP/1.1 200 O",
    "breaks in the body": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}",
    "is no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "closes at once": b"",
}


class Served:
    """A server on the loop of the test. `open`: connections that the client has not closed."""

    def __init__(self, answer, *, close=False, every=0.0):
        self.answer, self.close, self.every = answer, close, every
        self.open, self.callers, self.most = 0, [], 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/health"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def until_open(self, number):
        """Wait for that many connections, at most for some seconds. Returns how many there are."""
        await soon(lambda: self.open == number)
        return self.open

    async def _serve(self, reader, writer):
        self.open += 1
        self.most = max(self.most, self.open)
        self.callers.append(writer.get_extra_info("peername"))
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            while self.every:
                await asyncio.sleep(self.every)
                writer.write(b"x")
                await writer.drain()
            if not self.close:
                await reader.read()  # until the client closes
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


async def soon(holds):
    """Wait until it holds, at most for some seconds."""
    for _ in range(200 * PATIENCE):
        if holds():
            break
        await asyncio.sleep(0.01)


async def asked(served, within=LONG, **more):
    try:
        return await exchange(served.url, headers={}, within=within, **more)
    except NoHttpAnswer as error:
        return str(error)


def descriptors():
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.mark.parametrize("answer", KINDS.values(), ids=KINDS)
def test_an_answer_is_complete_whichever_way_it_ends(answer):
    async def scene():
        async with Served(answer, close=b"1.0" in answer[:9]) as served:
            return await asked(served)

    got = asyncio.run(scene())
    assert (got.status, got.body, got.cut, got.is_success) == (200, b"{}", False, True)


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_is_a_clause(answer):
    async def scene():
        async with Served(answer, close=True) as served:
            return await asked(served)

    assert asyncio.run(scene()).startswith("the connection broke (")


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        *(({"answer": answer, "close": b"1.0" in answer[:9]}, {}) for answer in KINDS.values()),
        *(({"answer": answer, "close": True}, {}) for answer in BROKEN.values()),
        ({"answer": b""}, {"within": SOON}),
        ({"answer": b"HTTP/1.1 200 OK\r\n\r\n", "every": 0.01}, {"within": SOON}),
        ({"answer": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000}, {"most": 1000}),
    ],
    ids=[*KINDS, *BROKEN, "hangs", "drips", "longer than what is read"],
)
def test_no_answer_and_no_failure_leaves_a_connection_or_a_descriptor_open(answer, more):
    async def scene():
        async with Served(**answer) as served:
            await asked(served, **more)  # the loop's own descriptors are open from now on
            before = descriptors()
            await asyncio.gather(*(asked(served, **more) for _ in range(30)))
            left = await served.until_open(0)
            await soon(lambda: descriptors() <= before)  # the server's ends are closed a moment later
            return left, descriptors() - before

    left, opened = asyncio.run(scene())
    assert left == 0
    assert opened <= 0


def test_requests_to_one_address_at_the_same_time_share_no_connection():
    async def scene():
        async with Served(PLAIN) as served:
            answers = await asyncio.gather(*(asked(served) for _ in range(300)))
            return answers, served.callers

    answers, callers = asyncio.run(scene())
    assert [answer for answer in answers if isinstance(answer, str)] == []
    assert len(set(callers)) == 300


def test_an_exchange_that_is_cancelled_leaves_no_connection():
    async def scene():
        async with Served(b"") as served:
            task = asyncio.create_task(asked(served))
            await served.until_open(1)
            task.cancel()
            await asyncio.wait([task])
            return await served.until_open(0)

    assert asyncio.run(scene()) == 0


def test_an_answer_that_drips_is_given_up_after_some_timeouts():
    async def scene():
        async with Served(b"HTTP/1.1 200 OK\r\n\r\n", every=0.01) as served:
            return await asked(served, timedelta(seconds=0.05))

    assert asyncio.run(scene()) == "no answer within 0.05 s"


def test_a_long_answer_is_cut():
    async def scene():
        async with Served(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000) as served:
            return await asked(served, most=1000)

    got = asyncio.run(scene())
    assert (len(got.body), got.cut) == (1000, True)


def in_pieces(number, mark=b"1"):
    """An answer of that many chunks of one byte each."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + (mark + b"\r\nx\r\n") * number + b"0\r\n\r\n"


def test_an_answer_in_tiny_pieces_is_cut_after_some_thousand():
    async def scene():
        async with Served(in_pieces(2**16)) as served:
            return await asked(served, most=2**22)

    got = asyncio.run(scene())
    assert got.cut
    assert MAX_PIECES - 10 < len(got.body) <= MAX_PIECES


def test_what_is_received_counts_and_not_what_it_contains():
    mark = b"1;" + b"y" * 100

    async def scene():
        async with Served(in_pieces(900, mark)) as served:
            return await asked(served, most=1000)

    got = asyncio.run(scene())
    assert got.cut
    assert len(got.body) <= (MAX_HEAD + 1000) / len(mark)


@pytest.mark.parametrize(
    ("begin", "again", "why"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", "the head of its answer does not end"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", "Receive buffer too long"),
    ],
    ids=["many heads", "a long head"],
)
def test_a_head_that_does_not_end_is_no_answer(begin, again, why):
    async def scene():
        async with Served(begin + again * (2 * MAX_HEAD // len(again))) as served:
            return await asked(served, most=10)

    assert asyncio.run(scene()) == f"the connection broke ({why})"


def test_hostile_replicas_do_not_keep_the_loop_from_a_healthy_one():
    """What the loop does for each hostile one is bounded in events of HTTP, whatever these send."""
    events = 0

    class Counted(h11.Connection):
        def next_event(self):
            nonlocal events
            events += 1
            return super().next_event()

    async def scene(monkeypatch):
        monkeypatch.setattr(h11, "Connection", Counted)
        async with Served(in_pieces(2**16)) as hostile, Served(PLAIN) as healthy:
            return await asyncio.gather(*(asked(hostile) for _ in range(12)), asked(healthy))

    with pytest.MonkeyPatch.context() as patch:
        *_, healthy = asyncio.run(scene(patch))
    assert healthy.body == b"{}"
    assert events < 13 * MAX_PIECES


def test_a_host_without_descriptors_says_nothing_about_the_replica(monkeypatch):
    def full(*_, **__):
        raise OSError(24, "Too many open files")

    async def scene():
        async with Served(PLAIN) as served:
            monkeypatch.setattr(socket, "socket", full)
            return await exchange(served.url, headers={}, within=LONG)

    with pytest.raises(Shortage, match="Too many open files"):
        asyncio.run(scene())


def test_a_certificate_that_is_not_accepted_is_named(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path, "localhost"))

    async def scene():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        async with server:
            await exchange(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", headers={}, within=LONG)

    with pytest.raises(NoHttpAnswer, match="its certificate is not accepted: self-signed certificate"):
        asyncio.run(scene())


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the name of its host cannot be resolved"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), r"its host cannot be reached \(No route to host\)"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "nothing listens on its port"),
    ],
)
def test_a_connection_that_fails_says_where(monkeypatch, error, why):
    async def fails(*_, **__):
        raise error

    async def scene():
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fails, raising=False)
        await exchange("http://replica:8000/", headers={}, within=LONG)

    with pytest.raises(NoHttpAnswer, match=why):
        asyncio.run(scene())


def test_a_header_with_a_line_break_is_not_quoted():
    with pytest.raises(BadHeader) as raised:
        asyncio.run(exchange("http://127.0.0.1:1/", headers={"X": "secret\r\nY: 1"}, within=LONG))
    assert "secret" not in str(raised.value)
