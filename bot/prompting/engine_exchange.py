"""One request to an engine and its answer, of which a bounded part is read in bounded time."""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta

import httpx
from msgspec import Struct

from bot.prompting.cancelling import Cancelling

MOST_BYTES = 2**20
"""Maximum size of a body that is read, in bytes. The rest is left out."""

MAX_PAUSES = 4
"""Maximum time for an answer, in timeouts. One timeout is the maximum time between two pieces of it."""

PLAIN = {"Accept-Encoding": "identity"}
"""The header by which an engine is asked for an answer that is not compressed: a few bytes may become any number."""


class EngineAnswer(Struct, frozen=True, kw_only=True):
    """An answer, or the beginning of one that is longer."""

    status: int
    body: bytes


def exchange(
    http: httpx.Client,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    within: timedelta,
    json: object = None,
    most: int = MOST_BYTES,
    cancelling: Cancelling | None = None,
) -> EngineAnswer:
    """Send a request and return its answer, with at most `most` bytes of its body. Raises httpx.HTTPError.

    `within`: for the connection, and for each piece of the answer. An answer that is not complete after `MAX_PAUSES` of
    them is a TimeoutException: its connection is shut down, since a head that arrives a byte at a time is no piece.
    """
    late = Cancelling(beside=cancelling)
    timer = threading.Timer(MAX_PAUSES * within.total_seconds(), late.cancel)
    timer.daemon = True
    timer.start()
    try:
        with http.stream(
            method,
            url,
            json=json,
            headers={**headers, **PLAIN},
            timeout=within.total_seconds(),
            extensions=late.extensions,
        ) as response:
            answer = EngineAnswer(status=response.status_code, body=beginning(response, most))
    except httpx.HTTPError as error:
        if late.is_cancelled:
            raise _too_late() from error
        raise
    finally:
        timer.cancel()
        late.over()
    if late.is_cancelled:  # the body seems complete if it ends with its connection
        raise _too_late()
    if cancelling is not None and cancelling.is_cancelled:
        raise httpx.ReadError("The request was cancelled.")
    return answer


def beginning(response: httpx.Response, most: int = MOST_BYTES, is_enough: Callable[[], bool] = lambda: False) -> bytes:
    """Return the first `most` bytes of a body; none of one that is compressed. Raises httpx.HTTPError.

    `is_enough`: whether what has arrived is enough, asked after each piece.
    """
    body = bytearray()
    if is_compressed(response):
        return b""
    for some in response.iter_bytes():
        body += some[: most - len(body)]
        if len(body) >= most or is_enough():
            break
    return bytes(body)


def is_compressed(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")


def _too_late() -> httpx.ReadTimeout:
    return httpx.ReadTimeout("The answer was not complete in time.")
