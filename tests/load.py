"""Load on an endpoint: a constant number of open streams, requests at a fixed rate, and the result of each request."""

import http.client
import json
import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

LATE = 0.05
"""Maximum delay of a request behind its schedule, in seconds. With a longer delay the rate was not kept."""


class Fate(StrEnum):
    OK = "ok"
    LOST = "lost before its first byte"
    CUT = "cut after its first byte"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of one request. Times are in seconds since 1970, as in the log."""

    streamed: bool
    began: float
    ended: float
    fate: Fate
    first: float | None = None
    """When the answer began; for a stream, when its first token arrived."""
    port: int = 0
    """The client's request id, by which HAProxy's data can be matched."""
    why: str = ""

    @property
    def took(self):
        return self.ended - self.began


@dataclass(frozen=True, kw_only=True)
class Target:
    """Address and key of an endpoint."""

    url: str
    """The base URL, without a path."""
    key: str
    model: str
    timeout: float = 60.0
    """Seconds without a byte after which a request counts as lost or cut."""


def ask(target, *, tokens, streamed=False):
    """One chat completion, on a connection of its own."""
    parts = urlsplit(target.url)
    began = time.time()
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=target.timeout)) as connection:
        port = 0
        answer, first = None, None
        try:
            connection.connect()
            port = connection.sock.getsockname()[1]
            body = {"model": target.model, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": tokens}
            connection.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(body | {"stream": streamed}),
                {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            first = time.time()
            if answer.status != 200:
                said = answer.read(300).decode(errors="replace")
                fate, why = Fate.LOST, f"{answer.status}: {said}"
            elif streamed:
                first, whole = _follow(answer)
                fate, why = (Fate.OK, "") if whole else (Fate.CUT, "the stream ended without [DONE]")
            else:
                json.loads(answer.read())
                fate, why = Fate.OK, ""
        except (OSError, http.client.HTTPException, ValueError) as error:
            fate, why = (Fate.LOST if answer is None else Fate.CUT), repr(error)
    return Answer(streamed=streamed, began=began, ended=time.time(), fate=fate, first=first, port=port, why=why)


def _follow(answer):
    """When the first token of a stream arrived, and whether the stream was complete."""
    first, said = None, b""
    for line in answer:
        if not line.startswith(b"data: "):
            continue
        first, said = first or time.time(), line.strip()
    return first, said == b"data: [DONE]"


class Load:
    """Streams and requests in threads of this process, until `stop`. A context manager."""

    def __init__(self, target, *, streams, tokens, per_second=0.0, seed=2026):
        """`tokens`: shortest and longest stream. Requests keep their rate whether or not earlier ones are answered."""
        self._target = target
        self._tokens = tokens
        self._per_second = per_second
        self._seed = seed
        self._over = threading.Event()
        self._noting = threading.Lock()
        self.answers = []
        self.late = 0
        self._threads = [threading.Thread(target=self._stream, args=(n,), daemon=True) for n in range(streams)]
        if per_second:
            self._threads.append(threading.Thread(target=self._send, daemon=True))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Start no further request, and wait for those in progress."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _stream(self, number):
        chosen = random.Random(self._seed + number)
        self._over.wait(chosen.uniform(0, 1))  # spreads the starts, and so the ends, of the streams
        while not self._over.is_set():
            self._note(ask(self._target, tokens=chosen.randint(*self._tokens), streamed=True))

    def _send(self):
        began, sent = time.monotonic(), 0
        with ThreadPoolExecutor(256) as pool:
            while not self._over.wait(max(0.0, began + sent / self._per_second - time.monotonic())):
                self.late += time.monotonic() - (began + sent / self._per_second) > LATE
                pool.submit(self._request, time.time())
                sent += 1

    def _request(self, due):
        answer = ask(self._target, tokens=1)
        self.late += answer.began - due > LATE
        self._note(answer)

    def _note(self, answer):
        with self._noting:
            self.answers.append(answer)
        if answer.fate is Fate.LOST:
            time.sleep(0.1)  # limits the rate of retries while the endpoint refuses connections


def of_fate(answers, fate):
    return [answer for answer in answers if answer.fate is fate]


def waits(answers):
    """Seconds to the first byte, or to a stream's first token, of the answered requests, sorted."""
    return sorted(answer.first - answer.began for answer in answers if answer.fate is Fate.OK)


def at(share, ordered):
    """A quantile of sorted values."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(answers):
    """A summary of the results, in one line."""
    fates = ", ".join(f"{len(of_fate(answers, fate))} {fate}" for fate in Fate)
    ordered = waits(answers)
    if not ordered:
        return f"{len(answers)}: {fates}"
    p50, p99 = statistics.median(ordered), at(0.99, ordered)
    return f"{len(answers)}: {fates}; first byte after {p50 * 1e3:.0f} ms p50, {p99 * 1e3:.0f} ms p99"
