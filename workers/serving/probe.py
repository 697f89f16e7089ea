"""Checks of a replica or an endpoint: readiness, enforcement of the key, and a test completion."""

import json
import os
import time
from datetime import timedelta
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from msgspec import Struct

from recipes.schema import ReadinessProbe
from workers.serving.errors import ServingError
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


def probe(address: str, asked: ReadinessProbe, *, key: str) -> Unready | None:
    """None if the replica at `http://host:port` is ready; otherwise the reason.

    Any 2xx answer means ready, as in SkyPilot.
    """
    try:
        headers = httpx.Headers(_authorization(key))
        headers.update(asked.headers)  # whatever the case of their names
        answer = _client().request(
            "GET" if asked.post_data is None else "POST",
            f"{address}/{asked.path.lstrip('/')}",
            headers=headers,
            json=asked.post_data,
            timeout=asked.timeout.total_seconds(),
        )
    except (httpx.LocalProtocolError, UnicodeEncodeError):  # their text contains the header, which may be a secret
        return Unready(why="a header of the recipe's readiness probe contains a character that HTTP does not allow")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Unready(why=_why(error, asked.timeout), silent=True)
    if answer.is_success:
        return None
    if answer.status_code not in KEY_REFUSED:
        return Unready(why=_refusal(answer))
    own_header = any(name.lower() == "authorization" for name in asked.headers)
    return header_refused(_refusal(answer)) if own_header else another_key(_refusal(answer))


def key_is_enforced(address: str) -> bool:
    """Whether `/v1/models` of `http://host:port` rejects requests without a key. True if there is no answer."""
    try:
        answer = _client().get(f"{address}/v1/models", timeout=KEY_CHECK_TIMEOUT.total_seconds())
    except httpx.HTTPError:
        return True
    return answer.status_code in KEY_REFUSED


def cannot_complete(address: str, *, key: str, model: str, timeout: timedelta = COMPLETION_TIMEOUT) -> Unready | None:
    """None if the replica at `http://host:port` completes a prompt or has another API; otherwise the reason.

    A model for embeddings or speech rejects completions. A replica that fails or does not answer is broken. `timeout`:
    that of the recipe's probe; it applies if it is longer than COMPLETION_TIMEOUT.
    """
    try:
        completion(
            address, key, model=model, prompt="Ketchup is", max_tokens=1, timeout=max(timeout, COMPLETION_TIMEOUT)
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
    """Complete the prompt by `/v1/completions` of `http://host:port`. Raises CompletionFailed."""
    began = time.monotonic()
    body = {"model": model, "prompt": prompt, "max_tokens": max_tokens}
    try:
        answer = _client().post(
            f"{address}/v1/completions", headers=_authorization(key), json=body, timeout=timeout.total_seconds()
        )
        if not answer.is_success:
            status = answer.status_code
            raise CompletionFailed(_refusal(answer), broken=status in ENGINE_FAILS, key_refused=status in KEY_REFUSED)
        text = answer.json()["choices"][0]["text"]
    except httpx.HTTPError as error:
        raise CompletionFailed(_why(error, timeout), broken=True, silent=True) from error
    except (ValueError, LookupError, TypeError) as error:
        raise CompletionFailed(f"the answer is not a completion: {answer.text[:QUOTED]!r}") from error
    if not isinstance(text, str) or not text.strip():
        raise CompletionFailed("the model returned an empty answer")
    return TestAnswer(text=text, seconds=time.monotonic() - began)


@cache
def _client() -> httpx.Client:
    """One client for all threads of the process: creating one takes as long as many probes.

    It keeps no cookies, which replicas on one host would share, and no connections. Engines close idle connections
    within 5 s, so a probe every 10 s would use a closed one and report the replica as failed. Also, the pool checks
    every kept connection at each request.
    """
    return httpx.Client(
        # Connects directly: a proxy in the environment is for the internet and cannot reach 127.0.0.1.
        trust_env=False,
        # The environment may name further certificate authorities in SSL_CERT_FILE.
        verify=httpx.create_ssl_context(),
        limits=httpx.Limits(max_keepalive_connections=0),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


os.register_at_fork(after_in_child=_client.cache_clear)  # a thread of the parent may hold its lock during the fork


def _authorization(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _why(error: Exception, timeout: timedelta) -> str:
    match error:
        case httpx.ConnectError():
            return "nothing listens on its port"
        case httpx.TimeoutException():
            return f"no answer within {timeout.total_seconds():g} s"
        case _:
            return f"the connection broke ({error or type(error).__name__})"


def _refusal(answer: httpx.Response) -> str:
    """The status and the message of an engine's error: `status 404: The model does not exist`."""
    try:
        body = answer.json()
        message = body.get("error", body)
        message = message.get("message", message) if isinstance(message, dict) else message
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        message = answer.text
    words = " ".join(str(message).split())[:QUOTED]
    return f"status {answer.status_code}: {words}" if words else f"status {answer.status_code}"
