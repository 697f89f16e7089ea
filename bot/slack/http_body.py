"""Verifies the signature of a request's body, and parses it: JSON, or a form that may contain JSON."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from slack_sdk.signature import SignatureVerifier

from bot.slack.message import JSON
from bot.slack.payload import Malformed, checked

FORM = "application/x-www-form-urlencoded"

_KNOWN = frozenset({"type", "command", "ssl_check"})
"""Each request of Slack has one of these fields: events and interactions, commands, checks of the certificate."""


VALID_FOR = 300.0
"""Time for which Slack's signature is valid before and after its timestamp, in seconds: that of the SDK's verifier."""


class Signatures:
    """The signatures of the requests of the last 2 * VALID_FOR. A request that is sent again acts only once.

    Slack signs a retry anew. Only valid signatures are added, so that their number is bounded by Slack's requests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, signature: str) -> bool:
        """Whether the signature is new."""
        now = self._clock()
        with self._lock:
            while self._seen and now - self._seen[oldest := next(iter(self._seen))] > 2 * VALID_FOR:
                del self._seen[oldest]
            if signature in self._seen:
                return False
            self._seen[signature] = now
            return True


class Rejected(Exception):
    """The request is rejected with `status`."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def verified(body: bytes, headers: Mapping[str, str], verifier: SignatureVerifier) -> JSON:
    """Return the payload of a request that Slack signed within the last five minutes. Raises Rejected.

    Bolt's own parser loses a form in whose text the word "payload" occurs, and parses before it verifies.
    """
    if not _is_signed(body, headers, verifier):
        raise Rejected(HTTPStatus.UNAUTHORIZED, "the signature or its timestamp is not valid")
    try:
        payload = _parsed(body.decode(), headers.get("content-type", ""))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Rejected(HTTPStatus.BAD_REQUEST, type(error).__name__) from error
    if not isinstance(payload, dict) or _KNOWN.isdisjoint(payload):
        raise Rejected(HTTPStatus.BAD_REQUEST, "the body has none of the fields that Slack sends")
    try:
        return checked(payload)
    except Malformed as malformed:
        raise Rejected(HTTPStatus.BAD_REQUEST, f"the payload cannot be read: {malformed}") from malformed


def _is_signed(body: bytes, headers: Mapping[str, str], verifier: SignatureVerifier) -> bool:
    stamp, signature = headers.get("x-slack-request-timestamp"), headers.get("x-slack-signature")
    try:
        return verifier.is_valid(body=body, timestamp=stamp, signature=signature)
    except (
        ValueError,
        OverflowError,
        TypeError,
    ):  # the timestamp is not a number, or the signature or the body is not UTF-8
        return False


def _parsed(body: str, content_type: str) -> object:
    if content_type.partition(";")[0].strip().lower() != FORM:
        return json.loads(body)
    fields = dict(parse_qsl(body, keep_blank_values=True))
    return json.loads(fields["payload"]) if "payload" in fields else fields
