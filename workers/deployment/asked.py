"""The request that this thread carries out, for the audit of the events that are appended meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from workers.deployment.audit import Source


class CurrentRequest:
    """A request, and what is learned about it while it is carried out."""

    def __init__(self, source: Source, once: str) -> None:
        """`once`: the same for every delivery of the request."""
        self.source = source
        self.once = once
        self.deployment = ""
        self.detail = ""
        self.why = ""
        self.is_denied = False


_CURRENT: ContextVar[CurrentRequest | None] = ContextVar("asked", default=None)


@contextmanager
def asked(source: Source, once: str) -> Iterator[CurrentRequest]:
    """Attribute what this thread does inside to a request."""
    request = CurrentRequest(source, once)
    token = _CURRENT.set(request)
    try:
        yield request
    finally:
        _CURRENT.reset(token)


def current() -> CurrentRequest | None:
    return _CURRENT.get()


def about(deployment: str, *, may: bool = True) -> None:
    """Note which deployment the request is about. `may`: whether the person may know of it."""
    if (request := current()) is not None:
        request.deployment = deployment
        if not may:
            denied("they may not see it")


def denied(why: str) -> None:
    """Note that the person may not do it. `why`: without anything that they typed."""
    if (request := current()) is not None:
        request.is_denied, request.why = True, request.why or why


def because(why: str) -> None:
    """Note the reason that a person gave for a decision."""
    if (request := current()) is not None:
        request.why = why


def note(detail: str) -> None:
    """Note what was done, as `the launcher's key was shown`. Never a secret, never a text of a person."""
    if (request := current()) is not None:
        request.detail = detail
