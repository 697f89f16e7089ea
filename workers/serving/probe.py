"""Asks a replica or an endpoint: is it ready, does it insist on the key, does it complete a sentence."""

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

COMPLETION_TIMEOUT = timedelta(seconds=60)
KEY_CHECK_TIMEOUT = timedelta(seconds=10)
ENGINE_FAILS = frozenset({500, 502, 503, 504})
QUOTED = 200
"""So many characters of an answer are quoted in a sentence."""


class CompletionFailed(ServingError):
    """A completion was asked for and did not come, and the message says how."""

    def __init__(self, why: str, *, broken: bool = False) -> None:
        """`broken`: nothing came, or the engine's own failure. Else it said something that is no completion."""
        super().__init__(f"The test completion failed: {why}.")
        self.why = why
        self.broken = broken


class TestAnswer(Struct, frozen=True, kw_only=True):
    """What the model made of a prompt."""

    text: str
    seconds: float


def probe(address: str, asked: ReadinessProbe, *, key: str) -> str | None:
    """None if the replica at `http://host:port` is ready; else why not, in a few words.

    Ready is any 2xx, as with SkyPilot.
    """
    try:
        answer = _client().request(
            "GET" if asked.post_data is None else "POST",
            f"{address}/{asked.path.lstrip('/')}",
            headers=_authorization(key) | asked.headers,
            json=asked.post_data,
            timeout=asked.timeout.total_seconds(),
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _why(error, asked.timeout)
    return None if answer.is_success else _refusal(answer)


def key_is_enforced(address: str) -> bool:
    """Whether `/v1/models` of `http://host:port` turns away who has no key. No answer at all counts as such."""
    try:
        answer = _client().get(f"{address}/v1/models", timeout=KEY_CHECK_TIMEOUT.total_seconds())
    except httpx.HTTPError:
        return True
    return answer.status_code in {401, 403}


def cannot_complete(address: str, *, key: str, model: str) -> str | None:
    """None if the replica at `http://host:port` completes a sentence, or has another API; else why not, in a few words.

    A model for embeddings or speech knows no completions and says so. One that says nothing, or fails, is broken.
    """
    try:
        completion(address, key, model=model, prompt="Ketchup is", max_tokens=1)
    except CompletionFailed as failed:
        return f"it answers, but a completion fails: {failed.why}" if failed.broken else None
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
    """Ask `/v1/completions` of `http://host:port` to go on from the prompt. Raises CompletionFailed."""
    began = time.monotonic()
    asked = {"model": model, "prompt": prompt, "max_tokens": max_tokens}
    try:
        answer = _client().post(
            f"{address}/v1/completions", headers=_authorization(key), json=asked, timeout=timeout.total_seconds()
        )
        if not answer.is_success:
            raise CompletionFailed(_refusal(answer), broken=answer.status_code in ENGINE_FAILS)
        text = answer.json()["choices"][0]["text"]
    except httpx.HTTPError as error:
        raise CompletionFailed(_why(error, timeout), broken=True) from error
    except (ValueError, LookupError, TypeError) as error:
        raise CompletionFailed(f"the answer is no completion: {answer.text[:QUOTED]!r}") from error
    if not isinstance(text, str) or not text.strip():
        raise CompletionFailed("the model answered nothing")
    return TestAnswer(text=text, seconds=time.monotonic() - began)


@cache
def _client() -> httpx.Client:
    """One for the process, for all its threads: making one costs as much as many probes.

    It keeps nothing of one replica for the next: no cookie, for replicas on one host would share it, and no connection.
    Engines close an idle one within 5 s: a probe every 10 s would find it dead and blame the replica. And the pool
    looks at every connection that it keeps, at each request.
    """
    return httpx.Client(
        # Replicas are reached directly: a proxy in the environment is for the outside, and knows nothing of 127.0.0.1.
        trust_env=False,
        # Whom to trust beside the public authorities is for the environment to say: SSL_CERT_FILE.
        verify=httpx.create_ssl_context(),
        limits=httpx.Limits(max_keepalive_connections=0),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


os.register_at_fork(after_in_child=_client.cache_clear)  # its lock may be held at that moment, by a thread left behind


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
    """`status 404: The model does not exist`, from an engine's error body."""
    try:
        body = answer.json()
        said = body.get("error", body)
        said = said.get("message", said) if isinstance(said, dict) else said
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        said = answer.text
    words = " ".join(str(said).split())[:QUOTED]
    return f"status {answer.status_code}: {words}" if words else f"status {answer.status_code}"
