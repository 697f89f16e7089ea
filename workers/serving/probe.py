"""Checks of a replica or an endpoint: readiness, enforcement of the key, and a test completion.

Coroutines, because thousands wait at the same time. `completion` is for a caller that has no event loop.
"""

import asyncio
import json
import time
from datetime import timedelta

from msgspec import Struct

from recipes.schema import ReadinessProbe
from workers.serving.errors import ServingError
from workers.serving.exchange import BadHeader, HttpAnswer, NoHttpAnswer, Shortage, exchange
from workers.serving.unready import KEY_REFUSED, Unready, another_key, header_refused

COMPLETION_TIMEOUT = timedelta(seconds=60)
KEY_CHECK_TIMEOUT = timedelta(seconds=10)
ENGINE_FAILS = frozenset({500, 502, 503, 504})
QUOTED = 200
"""Maximum number of characters of an answer that are quoted in a sentence."""


class CompletionFailed(ServingError):
    """A completion failed. The message contains the reason."""

    def __init__(self, why: str, *, broken: bool = False, silent: bool = False, key_refused: bool = False) -> None:
        """`broken`: no answer (`silent`) or a server error. Otherwise the answer was not a completion."""
        super().__init__(f"The test completion failed: {why}.")
        self.why = why
        self.broken = broken
        self.silent = silent
        self.key_refused = key_refused


class TestAnswer(Struct, frozen=True, kw_only=True):
    """The model's answer to a prompt."""

    text: str
    seconds: float


async def probe(address: str, asked: ReadinessProbe, *, key: str) -> Unready | None:
    """None if the replica at `http://host:port` is ready; otherwise the reason. Raises Shortage.

    Any 2xx answer means ready, as in SkyPilot.
    """
    own = {name.lower(): value for name, value in asked.headers.items()}
    headers = {name: value for name, value in _authorization(key).items() if name.lower() not in own} | own
    url = f"{address}/{asked.path.lstrip('/')}"
    try:
        answer = await exchange(url, headers=headers, content=asked.post_data, within=asked.timeout)
    except BadHeader:
        return Unready(why="a header of the recipe's readiness probe contains a character that HTTP does not allow")
    except Shortage:
        raise  # it says nothing about the replica
    except NoHttpAnswer as error:
        return Unready(why=str(error), silent=True)
    if answer.is_success:
        return None
    if answer.status not in KEY_REFUSED:
        return Unready(why=_refusal(answer))
    return header_refused(_refusal(answer)) if "authorization" in own else another_key(_refusal(answer))


async def key_is_enforced(address: str) -> bool:
    """Whether `/v1/models` of `http://host:port` rejects requests without a key. True if there is no answer."""
    try:
        answer = await exchange(f"{address}/v1/models", headers={}, within=KEY_CHECK_TIMEOUT)
    except NoHttpAnswer:
        return True
    return answer.status in KEY_REFUSED


async def cannot_complete(
    address: str, *, key: str, model: str, within: timedelta = COMPLETION_TIMEOUT
) -> Unready | None:
    """None if the replica at `http://host:port` completes a prompt or has another API; otherwise the reason.

    A model for embeddings or speech rejects completions. A replica that fails or does not answer is broken. `within`:
    that of the recipe's probe; it applies if it is longer than COMPLETION_TIMEOUT.
    """
    try:
        await completed(
            address, key, model=model, prompt="Ketchup is", max_tokens=1, within=max(within, COMPLETION_TIMEOUT)
        )
    except CompletionFailed as failed:
        if failed.key_refused:
            return another_key(failed.why)
        if failed.broken:
            return Unready(why=f"it answers, but a completion fails: {failed.why}", silent=failed.silent)
    return None


def completion(
    address: str,
    key: str,
    *,
    model: str,
    prompt: str,
    max_tokens: int = 24,
    timeout: timedelta = COMPLETION_TIMEOUT,
) -> TestAnswer:
    """As `completed`, for a thread without an event loop."""
    return asyncio.run(completed(address, key, model=model, prompt=prompt, max_tokens=max_tokens, within=timeout))


async def completed(
    address: str, key: str, *, model: str, prompt: str, max_tokens: int, within: timedelta
) -> TestAnswer:
    """Complete the prompt by `/v1/completions` of `http://host:port`. Raises CompletionFailed."""
    began = time.monotonic()
    body = {"model": model, "prompt": prompt, "max_tokens": max_tokens}
    try:
        answer = await exchange(f"{address}/v1/completions", headers=_authorization(key), content=body, within=within)
    except NoHttpAnswer as error:
        raise CompletionFailed(str(error), broken=True, silent=True) from error
    if not answer.is_success:
        status = answer.status
        raise CompletionFailed(_refusal(answer), broken=status in ENGINE_FAILS, key_refused=status in KEY_REFUSED)
    try:
        text = json.loads(answer.body)["choices"][0]["text"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CompletionFailed(f"the answer is not a completion: {_text(answer)[:QUOTED]!r}") from error
    if not isinstance(text, str) or not text.strip():
        raise CompletionFailed("the model returned an empty answer")
    return TestAnswer(text=text, seconds=time.monotonic() - began)


def _authorization(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _text(answer: HttpAnswer) -> str:
    return answer.body.decode(errors="replace")


def _refusal(answer: HttpAnswer) -> str:
    """The status and the message of an engine's error: `status 404: The model does not exist`."""
    try:
        body = json.loads(answer.body)
        message = body.get("error", body)
        message = message.get("message", message) if isinstance(message, dict) else message
    except (ValueError, RecursionError, AttributeError):  # also of numbers with thousands of digits, and deep nesting
        message = _text(answer)
    words = " ".join(str(message).split())[:QUOTED]
    return f"status {answer.status}: {words}" if words else f"status {answer.status}"
