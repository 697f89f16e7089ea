"""PURE: what can go wrong with an engine, in sentences that people read."""

import json
from datetime import timedelta
from typing import Any

from bot.prompting.errors import PromptingError

FIRST_TOKEN_WITHIN = timedelta(seconds=60)
"""Also between two tokens."""
ALL_WITHIN = timedelta(minutes=10)

_EXPLAINED = 300
"""Characters of an engine's own explanation that are worth a reader's time."""


class EngineFailed(PromptingError):
    """The engine gave no answer, or not the whole of it."""


class Unreachable(EngineFailed):
    """Nothing answers at the endpoint, or it has no replica to give the question to."""


class TooLong(EngineFailed):
    """The conversation is longer than the model's context."""


SERVER_ERROR = 500


def refusal(name: str, status: int, body: bytes) -> EngineFailed:
    """What an engine's answer other than 200 means for who asked."""
    said = explanation(body)
    match status:
        case 401 | 403:
            return EngineFailed(
                f"The endpoint of {name} does not take my key (status {status}). Its gateway may just be starting: ask "
                "again in a moment. If it stays so, the log of the gateway tells why."
            )
        case 404:
            return EngineFailed(
                f"{name} does not serve chat completions under the name that it lists ({said}). "
                f"`/mixtral logs {name}` shows what its engine serves."
            )
        case 400 | 413 | 422 if any(word in said.lower() for word in ("context", "too long", "maximum", "max_tokens")):
            return TooLong(
                f"The question is longer than the model of {name} can take in: {said} Shorten it, or ask in parts."
            )
        case 429:
            return EngineFailed(f"{name} has more to do than it can take. Ask again in a moment.")
        case 502 | 503 | 504:
            return Unreachable(
                f"{name} has no replica that answers just now (status {status}). "
                f"Ask again in a moment; `/mixtral status {name}` shows how its replicas are."
            )
        case _ if status >= SERVER_ERROR:
            return EngineFailed(
                f"The engine of {name} failed (status {status}: {said}). "
                f"Ask again; if it stays so, `/mixtral logs {name}` shows why."
            )
        case _:
            return EngineFailed(f"{name} refused the question (status {status}: {said}). Put it in another way.")


def explanation(body: bytes) -> str:
    """An engine's own words for a refusal, on one line and not too long."""
    try:
        return _explanation(json.loads(body))
    except ValueError:
        return _short(body.decode(errors="replace")) or "no explanation."


def _explanation(said: Any) -> str:
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    return _short(said if isinstance(said, str) else json.dumps(said)) or "no explanation."


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _EXPLAINED else f"{text[:_EXPLAINED]}…"


def unreachable(name: str) -> Unreachable:
    return Unreachable(
        f"Nothing answers at the endpoint of {name}. Ask again in a moment; "
        f"`/mixtral status {name}` shows whether its replicas are well."
    )


def stopped(name: str) -> EngineFailed:
    return EngineFailed(
        f"The engine of {name} stopped in the midst of its answer. Ask again; "
        f"`/mixtral status {name}` shows whether its replicas are well."
    )


def silent(name: str) -> EngineFailed:
    return EngineFailed(
        f"{name} said nothing for {FIRST_TOKEN_WITHIN.total_seconds():.0f} seconds, so the wait was ended. "
        f"It may have too many questions at once: ask again, or give it more replicas with "
        f"`/mixtral scale {name} N`."
    )


def too_slow(name: str) -> EngineFailed:
    return EngineFailed(
        f"{name} was still writing after {ALL_WITHIN.total_seconds() / 60:.0f} minutes, and was stopped. "
        "Ask it to go on, or for something shorter."
    )


def broke_off(name: str, said: Any) -> EngineFailed:
    """An engine's event of an error in the midst of an answer."""
    return EngineFailed(f"{name} broke off: {_explanation(said)}")
