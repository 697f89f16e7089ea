"""HTTP instead of Socket Mode: signed requests to the app's request URL."""

import hashlib
import hmac
import json
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

import httpx

from bot.sandbox.deliveries import Deliveries, NotConnected, Unacked
from bot.sandbox.faults import Faults, Kind
from bot.sandbox.limits import JSON

_FORM = "application/x-www-form-urlencoded"


class HttpMode:
    """Calls one request URL for commands, interactions and events; `clock` returns seconds since 1970."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        faults: Faults,
        ack_within: float,
        deliveries: Deliveries,
        clock: Callable[[], float],
    ) -> None:
        self.deliveries = deliveries
        self._url = url
        self._secret = secret
        self._faults = faults
        self._ack_within = ack_within
        self._clock = clock
        self._http = httpx.AsyncClient(trust_env=False, follow_redirects=True, max_redirects=2)

    async def request(self, kind: str, payload: JSON) -> JSON:
        """Send a slash command or an interaction once; return the payload of its ack.

        Raises NotConnected if no server listens, and Unacked if the app refused or did not answer in time.
        """
        form = urlencode(payload) if kind == "slash_commands" else urlencode({"payload": json.dumps(payload)})
        return await self.deliveries.logged(kind, self._acked(_FORM, form, {}))

    def send_event(self, payload: JSON) -> None:
        """Send an event in the background; if the app does not answer with 2xx within 3 s, it is repeated."""

        async def send(attempt: int, reason: str) -> None:
            retry = {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason} if attempt else {}
            await self._acked("application/json", json.dumps(payload), retry)

        self.deliveries.event(payload, send)

    async def verify(self, challenge: str) -> bool:
        """Whether the URL answers Slack's challenge, which it must before Slack accepts it."""
        body = {"type": "url_verification", "token": "", "challenge": challenge}
        try:
            answer = await self._post("application/json", json.dumps(body), {})
        except Unacked:
            return False
        return challenge in answer.text

    async def _acked(self, kind: str, body: str, headers: dict[str, str]) -> JSON:
        answer = await self._post(kind, body, headers)
        if not answer.is_success:
            raise Unacked("http_error", repeat=answer.headers.get("x-slack-no-retry") != "1")
        if "json" not in answer.headers.get("content-type", ""):
            return {"text": answer.text} if answer.text else {}
        decoded = answer.json() if answer.content else {}
        return decoded if isinstance(decoded, dict) else {}

    async def _post(self, kind: str, body: str, headers: dict[str, str]) -> httpx.Response:
        """Send a signed request. Raises NotConnected, Unacked."""
        if self._faults.take("http", Kind.JSON_AS_FORM):
            kind, body = _FORM, body if body.startswith("{") else json.dumps(dict(parse_qsl(body)))
        old = self._faults.take("http", Kind.OLD_REQUEST)
        at = str(int(self._clock() - (old.seconds if old else 0)))
        secret = "forged" if self._faults.take("http", Kind.FORGE_SIGNATURE) else self._secret
        signed = hmac.new(secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
        given = headers | {
            "Content-Type": kind,
            "X-Slack-Request-Timestamp": at,
            "X-Slack-Signature": f"v0={signed}",
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }
        try:
            return await self._http.post(self._url, content=body, headers=given, timeout=self._ack_within)
        except httpx.TimeoutException:
            raise Unacked("http_timeout") from None
        except httpx.TooManyRedirects:
            raise Unacked("too_many_redirects") from None
        except httpx.ConnectError:
            raise NotConnected from None
        except httpx.HTTPError:
            raise Unacked("unknown_error") from None

    async def end(self) -> None:
        await self._http.aclose()
