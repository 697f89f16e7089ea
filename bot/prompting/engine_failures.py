"""PURE: failures of an engine, with the sentences that people read."""

import json
import re
from datetime import timedelta
from typing import Any

from bot.prompting.errors import PromptingError

FIRST_TOKEN_WITHIN = timedelta(seconds=60)
"""Maximum time to the first token, and between two tokens."""
ALL_WITHIN = timedelta(minutes=10)
"""Maximum time from the request to the last token."""

_EXPLAINED = 300
"""Maximum number of characters quoted from an engine's error message."""


class EngineFailed(PromptingError):
    """The engine returned no answer, or an incomplete one."""


class Unreachable(EngineFailed):
    """The endpoint does not answer, or has no replica for the question."""


class TooLong(EngineFailed):
    """The conversation is longer than the model's context."""


class RoleRefused(EngineFailed):
    """The model's chat template does not accept the roles of the conversation, such as a system prompt's."""


class ImagesRefused(EngineFailed):
    """The model does not read images, or not so many at a time, or not one of these."""

    def __init__(self, sentence: str, most: int, *, is_broken: bool = False) -> None:
        super().__init__(sentence)
        self.most = most
        """Maximum number of images that the engine accepts."""
        self.is_broken = is_broken
        """Whether the engine could not decode an image. It may accept others."""


SERVER_ERROR = 500

_REFUSES_IMAGES = frozenset({400, 415, 422, 500, 501})
_IMAGE_LIMIT = re.compile(r"at most (\d+) image", re.IGNORECASE)
# vLLM: "… is not a multimodal model". llama.cpp: "image input is not supported - hint: …", before that "unsupported
# content[].type". Others name the image or the part, and that it is not supported.
_NO_IMAGES = re.compile(
    r"not a multimodal|image(?:s|_url)?\b.{0,60}\bnot (?:\w+ )?(?:support|accept)|content\[\]\.type"
    r"|(?:not|n't) (?:support|accept)\w*.{0,40}\b(?:image|multimodal|vision)"
    r"|unsupported.{0,40}\b(?:image|content part)",
    re.IGNORECASE,
)
# vLLM: "cannot identify image file <…>", "image file is truncated". llama.cpp: "Failed to load image or audio file".
_BROKEN_IMAGE = re.compile(
    r"(?:cannot|can't|could not|unable to|failed to|invalid|incorrect|corrupt\w*|broken|truncated)\b.{0,40}\bimage"
    r"|\bimages?\b.{0,40}\b(?:invalid|corrupt\w*|broken|truncated|decod\w+)",
    re.IGNORECASE,
)


def refusal(name: str, status: int, body: bytes) -> EngineFailed:
    """Return the failure for an engine's response with a status other than 200."""
    said = explanation(body)
    if (most := images_accepted(status, said)) is not None:
        return ImagesRefused(f"{name} refused the images of the question: {said}", most)
    if status in _REFUSES_IMAGES and _BROKEN_IMAGE.search(said):
        return ImagesRefused(f"{name} could not read an image of the question: {said}", 0, is_broken=True)
    match status:
        case 401 | 403:
            return EngineFailed(
                f"The endpoint of {name} rejected the bot's key (status {status}). Its gateway may still be starting: "
                "ask again in a moment. If it is rejected again, the log of the gateway shows why."
            )
        case 404:
            return EngineFailed(
                f"{name} does not serve chat completions under the name that it lists ({said}). "
                f"`/mixtral logs {name}` shows what its engine serves."
            )
        case 400 | 413 | 422 if any(word in said.lower() for word in ("context", "too long", "maximum", "max_tokens")):
            return TooLong(
                f"The question is longer than the context of the model of {name}: {said} Shorten it, or ask in parts."
            )
        case 400 | 422 | 500 if "role" in said.lower():
            return RoleRefused(f"{name} refused the question (status {status}: {said}). Rephrase it.")
        case 429:
            return EngineFailed(f"{name} has too many requests (status {status}). Ask again in a moment.")
        case 502 | 503 | 504:
            return Unreachable(
                f"{name} has no replica that can answer now (status {status}). "
                f"Ask again in a moment; `/mixtral status {name}` shows the state of its replicas."
            )
        case _ if status >= SERVER_ERROR:
            return EngineFailed(
                f"The engine of {name} failed (status {status}: {said}). "
                f"Ask again; if it fails again, `/mixtral logs {name}` shows why."
            )
        case _:
            return EngineFailed(f"{name} refused the question (status {status}: {said}). Rephrase it.")


def images_accepted(status: int, said: str) -> int | None:
    """Return how many images an engine accepts that refused some; None if it refused something else."""
    if status not in _REFUSES_IMAGES:
        return None
    if limit := _IMAGE_LIMIT.search(said):
        return int(limit[1])
    return 0 if _NO_IMAGES.search(said) else None


def explanation(body: bytes) -> str:
    """Return the error message in an engine's response, on one line and shortened."""
    try:
        return _explanation(json.loads(body))
    except (ValueError, RecursionError):
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
        f"The endpoint of {name} does not answer. Ask again in a moment; "
        f"`/mixtral status {name}` shows the state of its replicas."
    )


def stopped(name: str) -> EngineFailed:
    return EngineFailed(
        f"The engine of {name} stopped before its answer was complete. Ask again; "
        f"`/mixtral status {name}` shows the state of its replicas."
    )


def silent(name: str) -> EngineFailed:
    return EngineFailed(
        f"{name} sent no text for {FIRST_TOKEN_WITHIN.total_seconds():.0f} seconds, so the request was cancelled. "
        f"It may have too many questions at the same time: ask again, or add replicas with "
        f"`/mixtral scale {name} N`."
    )


def too_slow(name: str) -> EngineFailed:
    return EngineFailed(
        f"{name} was still writing after {ALL_WITHIN.total_seconds() / 60:.0f} minutes, so the request was cancelled. "
        "Write “continue” to get the rest, or ask for a shorter answer."
    )


def compressed(name: str) -> EngineFailed:
    return EngineFailed(
        f"{name} sent a compressed answer, which the bot does not read. Switch compression off in its engine, or in a "
        "proxy before it."
    )


def broke_off(name: str, said: Any) -> EngineFailed:
    """Return the failure for an error event that an engine sent within its answer."""
    return EngineFailed(f"The engine of {name} ended its answer with an error: {_explanation(said)}")
