"""Requests a chat completion from an engine and collects its text in a thread of its own."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import httpx
from msgspec import Struct

from bot.prompting.cancelling import Cancelling
from bot.prompting.conversation import Turn
from bot.prompting.engine_exchange import PLAIN, beginning, exchange, is_compressed
from bot.prompting.engine_failures import (
    ALL_WITHIN,
    FIRST_TOKEN_WITHIN,
    EngineFailed,
    compressed,
    refusal,
    silent,
    stopped,
    too_slow,
    unreachable,
)
from bot.prompting.errors import PromptingError
from bot.prompting.outcome import Finish
from bot.prompting.received import Received
from bot.prompting.sse import Events

MODELS_WITHIN = timedelta(seconds=10)
"""Timeout of the request for the list of models."""

REFUSAL_WITHIN = timedelta(seconds=10)
"""Maximum time for the body of a refusal. What has arrived by then is shown."""

_TIMEOUT = httpx.Timeout(connect=5, read=FIRST_TOKEN_WITHIN.total_seconds(), write=30, pool=30)


def engine_client(at_once: int) -> httpx.Client:
    """Return a client for `at_once` answers. Each has a connection of its own, which can be shut down."""
    return httpx.Client(limits=httpx.Limits(max_connections=at_once * 2, max_keepalive_connections=0))


class EngineEndpoint(Struct, frozen=True, kw_only=True):
    """The address of a deployment and the key for it."""

    name: str
    """Name of the deployment, for error sentences."""
    url: str
    key: str

    def __repr__(self) -> str:
        return f"Endpoint({self.name}, {self.url})"  # no key in tracebacks and logs

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


class Model(Struct, frozen=True, kw_only=True):
    """The model that an engine reports as served."""

    name: str
    context: int | None
    """Context length in tokens; None if the engine does not report one."""


def model_of(http: httpx.Client, endpoint: EngineEndpoint, cancelling: Cancelling | None = None) -> Model:
    """Return the model under the deployment's name, else the first one that is listed. Raises EngineFailed."""
    url = f"{endpoint.url}/v1/models"
    try:
        answer = exchange(http, "GET", url, headers=endpoint.headers, within=MODELS_WITHIN, cancelling=cancelling)
    except httpx.HTTPError as error:
        raise unreachable(endpoint.name) from error
    if answer.status in (404, 405, 501):
        return Model(name=endpoint.name, context=None)  # an engine without a list of models may still serve completions
    if answer.status != httpx.codes.OK:
        raise refusal(endpoint.name, answer.status, answer.body)
    try:
        # llama.cpp lists its further names as aliases, vLLM as models.
        listed = json.loads(answer.body)["data"]
        models = {name: entry for entry in listed for name in (entry["id"], *entry.get("aliases", ()))}
        name = endpoint.name if endpoint.name in models else next(iter(models))
        return Model(name=name, context=_context(models[name]))
    except (ValueError, TypeError, KeyError, StopIteration, AttributeError, RecursionError):
        return Model(name=endpoint.name, context=None)


def _context(entry: dict[str, Any]) -> int | None:
    for found in (entry.get("max_model_len"), (entry.get("meta") or {}).get("n_ctx")):
        if isinstance(found, int) and found > 0:
            return found
    return None


def message_of(turn: Turn) -> dict[str, Any]:
    """Return a turn in the form of a chat completion's request."""
    if not turn.images:
        return {"role": turn.role, "content": turn.content}
    images = [{"type": "image_url", "image_url": {"url": image.url}} for image in turn.images]
    return {"role": turn.role, "content": [*images, {"type": "text", "text": turn.content}]}


class Completion:
    """One streamed answer. Its reader thread ends with the answer."""

    def __init__(
        self,
        http: httpx.Client,
        endpoint: EngineEndpoint,
        model: str,
        turns: Sequence[Turn],
        answer_tokens: int,
        *,
        thought_tokens: int = 0,
        temperature: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`thought_tokens`: maximum length of the thoughts before the answer. `temperature`: None for the engine's."""
        self._http, self._endpoint, self._clock = http, endpoint, clock
        self._body = {
            "model": model,
            "messages": [message_of(turn) for turn in turns],
            "max_tokens": answer_tokens + thought_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        } | ({} if temperature is None else {"temperature": temperature})
        self._changed = threading.Condition()
        self._texts: list[str] = []
        self._awaited = True  # the first text ends a wait in `take`; later text does not
        self._cancelling = Cancelling()
        self._error: EngineFailed | None = None
        self._received = Received(endpoint.name, clock, answer_tokens=answer_tokens, thought_tokens=thought_tokens)
        self.finish: Finish | None = None
        threading.Thread(target=self._read, name="engine", daemon=True).start()

    @property
    def thinking(self) -> float | None:
        """Seconds since the model's first thought, while there is no answer; None otherwise."""
        return self._received.thinking

    @property
    def ended(self) -> bool:
        return self.finish is not None or self._error is not None

    def take(self, wait: timedelta) -> str:
        """Return the text since the last call. Waits up to `wait` for the first text or for the end of the answer.

        Raises EngineFailed if the engine has failed and all its text has been returned.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.ended or (self._awaited and self._texts), wait.total_seconds())
            if not self.ended and (error := self._overdue()) is not None:
                self._cancelling.cancel()  # the reader does not notice what arrives before a piece is complete
                self._end(error=error)
            text = "".join(self._texts)
            self._texts.clear()
            self._awaited = self._awaited and not text
        if not text and self._error is not None:
            raise self._error
        return text

    def cancel(self) -> None:
        """End the request immediately, also while the engine sends nothing: the connection is shut down."""
        self._cancelling.cancel()

    def _read(self) -> None:
        try:
            finish = self._finished()
        except EngineFailed as error:
            self._end(error=error)
        except PromptingError as error:
            self._end(error=EngineFailed(str(error)))
        except Exception as error:  # noqa: BLE001 - every error is raised by `take`
            self._end(error=_broken(self._endpoint, error, begun=False))
        else:
            self._end(finish=finish)

    def _end(self, *, finish: Finish | None = None, error: EngineFailed | None = None) -> None:
        with self._changed:
            if not self.ended:
                self.finish, self._error = finish, error
            self._cancelling.over()
            self._changed.notify_all()

    def _finished(self) -> Finish:
        received = self._received
        url = f"{self._endpoint.url}/v1/chat/completions"
        try:
            with self._http.stream(
                "POST",
                url,
                json=self._body,
                headers={**self._endpoint.headers, **PLAIN},
                timeout=_TIMEOUT,
                extensions=self._cancelling.extensions,
            ) as response:
                if response.status_code != httpx.codes.OK:
                    until = self._clock() + REFUSAL_WITHIN.total_seconds()
                    said = beginning(response, is_enough=lambda: self._clock() > until)
                    raise refusal(self._endpoint.name, response.status_code, said)
                if is_compressed(response):
                    raise compressed(self._endpoint.name)
                self._receive(response, received)
        except httpx.HTTPError as error:
            if not self._cancelling.is_cancelled:
                raise _broken(self._endpoint, error, begun=received.has_begun) from error
        if received.reason is None and not self._cancelling.is_cancelled:
            raise stopped(self._endpoint.name)
        return received.finish()

    def _receive(self, response: httpx.Response, received: Received) -> None:
        events = Events()
        for some in response.iter_bytes():
            for chunk in events.feed(some):
                self._add(received.text(chunk))
            if events.done or self._cancelling.is_cancelled:
                break
            if received.is_full:
                received.reason = "length"  # max_tokens has room for thoughts, which this answer did not need
                break
            if (error := self._overdue()) is not None:
                raise error
        self._add(received.rest())

    def _overdue(self) -> EngineFailed | None:
        now = self._clock()
        if now - self._received.last > FIRST_TOKEN_WITHIN.total_seconds():
            return silent(self._endpoint.name)
        if now - self._received.asked > ALL_WITHIN.total_seconds():
            return too_slow(self._endpoint.name)
        return None

    def _add(self, text: str) -> None:
        if not text:
            return
        with self._changed:
            self._texts.append(text)
            if self._awaited:
                self._changed.notify_all()


def _broken(endpoint: EngineEndpoint, error: Exception, *, begun: bool) -> EngineFailed:
    if begun:
        return silent(endpoint.name) if isinstance(error, httpx.TimeoutException) else stopped(endpoint.name)
    if isinstance(error, httpx.ReadTimeout):
        return silent(endpoint.name)
    return unreachable(endpoint.name) if isinstance(error, httpx.TransportError) else stopped(endpoint.name)
