"""One HTTP request and its answer, on a connection of its own, on the caller's event loop.

Engines close idle connections within 5 s, so a kept one would be closed by the next probe.
"""

import asyncio
import errno
import json
import socket
import ssl
from collections.abc import Mapping
from datetime import timedelta
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any

import h11
import httpx
from msgspec import Struct

from workers.serving.errors import ServingError

MAX_BYTES = 2**16
"""Maximum size of a body that is read, in bytes. The rest is left out. A test completion has about a thousand."""

MAX_HEAD = 2**14
"""Maximum size of what is received beside the body, in bytes: heads, and the marks of chunks."""

MAX_PIECES = 4096
"""Maximum number of pieces of an answer. Each costs the loop some microseconds, however small it is; a page of 4 MiB in
the packets of a slow network has 3000.
"""

MAX_PAUSES = 4
"""Maximum time for an answer, in timeouts. One timeout is the maximum time between two pieces of it."""

OWN_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Errors of a connection that say something about this process or host, and nothing about the replica."""


UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


class NoHttpAnswer(ServingError):
    """There is no complete answer. The message is a clause."""


class Shortage(NoHttpAnswer):
    """No descriptor, port or memory for a connection is left on this host."""


class BadHeader(ServingError):
    """A header contains a character that HTTP does not allow. The message does not quote it: it may be a secret."""


class HttpAnswer(Struct, frozen=True, kw_only=True):
    """A complete answer, or the beginning of one that is longer than `most` bytes or has too many pieces."""

    status: int
    body: bytes
    cut: bool = False
    """Whether the body is longer."""

    @property
    def is_success(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


async def exchange(
    url: str,
    *,
    headers: Mapping[str, str],
    content: object = None,
    within: timedelta,
    most: int = MAX_BYTES,
) -> HttpAnswer:
    """GET a URL, or POST `content` as JSON. Raises NoHttpAnswer, BadHeader.

    Connects directly: a proxy in the environment is for the internet. Follows no redirects, and keeps no cookies.
    `within`: for the connection, and for each piece of the answer.
    """
    target = _target(url)
    http = h11.Connection(h11.CLIENT)
    sent = _written(http, target, headers, content)
    loop = asyncio.get_running_loop()
    pause = within.total_seconds()
    exchanging: _Exchange | None = None
    try:
        async with asyncio.timeout(pause) as deadline:
            exchanging = _Exchange(http, sent, most, pause, deadline)
            try:
                await loop.create_connection(
                    lambda: exchanging, target.host, target.port, ssl=_tls() if target.tls else None
                )
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise
                raise _unconnected(error) from error
            return await exchanging.answer
    except TimeoutError as error:
        raise NoHttpAnswer(f"no answer within {pause:g} s") from error
    finally:
        if exchanging is not None:
            exchanging.close()


def _unconnected(error: OSError) -> NoHttpAnswer:
    match error:
        case ssl.SSLCertVerificationError():
            return NoHttpAnswer(f"its certificate is not accepted: {error.verify_message}")
        case ssl.SSLError():
            return NoHttpAnswer(f"TLS fails ({error.reason or error})")
        case socket.gaierror():
            return NoHttpAnswer(f"the name of its host cannot be resolved ({error.strerror})")
        case _ if error.errno in OWN_SHORTAGES:
            return Shortage(f"this host cannot connect: {error.strerror}")
        case _ if error.errno in UNREACHABLE:
            return NoHttpAnswer(f"its host cannot be reached ({error.strerror})")
        case _:
            return NoHttpAnswer("nothing listens on its port")


class _Target(Struct, frozen=True):
    host: str
    port: int
    tls: bool
    authority: bytes
    path: bytes


@lru_cache(maxsize=8192)
def _target(url: str) -> _Target:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise NoHttpAnswer(f"the connection broke ({error})") from error
    tls = parsed.scheme == "https"
    if not parsed.host or parsed.scheme not in ("http", "https"):
        raise NoHttpAnswer("the connection broke (its address is no URL of HTTP)")
    return _Target(parsed.host, parsed.port or (443 if tls else 80), tls, parsed.netloc, parsed.raw_path)


@cache
def _tls() -> ssl.SSLContext:
    """The environment may name further certificate authorities in SSL_CERT_FILE."""
    return httpx.create_ssl_context()


def _written(http: h11.Connection, target: _Target, headers: Mapping[str, str], content: object) -> bytes:
    body = None if content is None else json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    fields: dict[str, str | bytes] = {
        "host": target.authority,
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "mixtral-bot",
        "connection": "close",
    }
    if body is not None:
        fields |= {"content-type": "application/json", "content-length": str(len(body))}
    fields |= {name.lower(): value for name, value in headers.items()}
    method = "GET" if body is None else "POST"
    try:
        ours = [(name.encode("ascii"), v.encode("ascii") if isinstance(v, str) else v) for name, v in fields.items()]
        sent: list[bytes | None] = [http.send(h11.Request(method=method, target=target.path, headers=ours))]
        sent += [http.send(h11.Data(data=body))] if body else []
        sent += [http.send(h11.EndOfMessage())]
    except (h11.LocalProtocolError, UnicodeEncodeError) as error:
        raise BadHeader("a header contains a character that HTTP does not allow") from error
    return b"".join(part for part in sent if part)


class _Exchange(asyncio.Protocol):
    """Sends the request once it is connected, and sets `answer` when the answer is complete or cannot be any more."""

    def __init__(
        self, http: h11.Connection, request: bytes, most: int, pause: float, deadline: asyncio.Timeout
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[HttpAnswer] = self._loop.create_future()
        self._http, self._request, self._most = http, request, most
        self._pause, self._deadline = pause, deadline
        self._ends = self._loop.time() + MAX_PAUSES * pause
        self._transport: asyncio.Transport | None = None
        self._status, self._body = 0, bytearray()
        self._received = self._pieces = 0

    def close(self) -> None:
        """Drop the connection at once, whatever is left to be sent or received."""
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()  # nobody may have waited for it
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self.answer.done():  # given up before
            transport.abort()
            return
        self._wait_again()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._wait_again()
        room = MAX_HEAD + self._most - self._received
        self._received += len(data)
        self._read(data[:room])
        if len(data) > room:
            self._cut()

    def eof_received(self) -> None:
        if self._http.their_state is h11.SEND_RESPONSE:
            self._fail("Server disconnected without sending a response.")
        else:
            self._read(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or "it was closed")

    def _read(self, data: bytes) -> None:
        if self.answer.done():
            return
        try:
            self._http.receive_data(data)
            while (event := self._http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                self._pieces += 1
                match event:
                    case h11.Response():
                        self._status = event.status_code
                    case h11.Data():
                        self._body += event.data
                    case h11.EndOfMessage():
                        self._finish(cut=False)
                        return
                    case h11.ConnectionClosed():
                        self._fail("it was closed")
                        return
                if self._pieces >= MAX_PIECES or len(self._body) > self._most:
                    self._cut()
                    return
        except h11.RemoteProtocolError as error:
            self._fail(error)

    def _cut(self) -> None:
        if self._status:
            self._finish(cut=True)
        else:
            self._fail("the head of its answer does not end")

    def _finish(self, *, cut: bool) -> None:
        if not self.answer.done():
            self.answer.set_result(HttpAnswer(status=self._status, body=bytes(self._body[: self._most]), cut=cut))

    def _fail(self, why: object) -> None:
        if not self.answer.done():
            self.answer.set_exception(NoHttpAnswer(f"the connection broke ({why or type(why).__name__})"))

    def _wait_again(self) -> None:
        if not self._deadline.expired() and self._deadline.when() is not None:
            self._deadline.reschedule(min(self._loop.time() + self._pause, self._ends))
