"""PURE: what the scripted engine says, in the shapes of the OpenAI API."""

import itertools
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

Way = Literal["completions", "chat/completions"]


class Script(Struct, frozen=True, kw_only=True):
    """How to answer. A token is a word here."""

    names: tuple[str, ...]
    text: str = "This answer comes from a script and not from a model."
    """Said over and over."""
    length: int = 32
    """Tokens of an answer to a request that sets no `max_tokens`."""
    latency: float = 0.0
    """Seconds before the first token."""
    tokens_per_s: float = 0.0
    """0 is as fast as can be."""
    fail_every: int = 0
    """Of so many completions one fails with a 500; 0: none."""
    silent: bool = False
    """Answers hold no text."""


class BadRequest(ValueError):
    """The request cannot be answered; carries the status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def words(script: Script, way: Way, body: Any) -> list[str]:
    """The tokens of the answer to a request's body. Raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest(400, "The body is no JSON object.")
    if body.get("model", script.names[0]) not in script.names:
        raise BadRequest(404, f"The model `{body['model']}` does not exist.")
    field, kind = ("messages", list) if way == "chat/completions" else ("prompt", str)
    if not isinstance(body.get(field), kind) or not body[field]:
        raise BadRequest(400, f"`{field}` is missing, empty or of the wrong type.")
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or script.length
    if not isinstance(limit, int) or limit < 1:
        raise BadRequest(400, "`max_tokens` must be a whole number above 0.")
    if script.silent:
        return []
    said = itertools.islice(itertools.cycle(script.text.split() or ["…"]), min(limit, script.length))
    return [f" {word}" if n or way == "completions" else word for n, word in enumerate(said)]


def whole(script: Script, way: Way, body: dict[str, Any], said: list[str]) -> dict[str, Any]:
    """The answer at once."""
    text = "".join(said)
    part = {"message": {"role": "assistant", "content": text}} if way == "chat/completions" else {"text": text}
    choice = {"index": 0, "finish_reason": _reason(script, said), "logprobs": None} | part
    return _head(script, way, body) | {"choices": [choice], "usage": _usage(body, said)}


def chunks(script: Script, way: Way, body: dict[str, Any], said: list[str]) -> Iterator[dict[str, Any]]:
    """The answer as server-sent events: one a token, one that ends it, and the usage where it is asked for."""
    head = _head(script, way, body)
    chat = way == "chat/completions"
    if chat:
        head["object"] = "chat.completion.chunk"
        yield head | {"choices": [_piece({"delta": {"role": "assistant", "content": ""}})]}
    for word in said:
        yield head | {"choices": [_piece({"delta": {"content": word}} if chat else {"text": word})]}
    yield head | {"choices": [_piece({"delta": {}} if chat else {"text": ""}, _reason(script, said))]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield head | {"choices": [], "usage": _usage(body, said)}


def models(script: Script) -> dict[str, Any]:
    """What /v1/models lists."""
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "scripted"} for name in script.names]
    return {"object": "list", "data": listed}


def error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": status}}


def _head(script: Script, way: Way, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "scripted",
        "object": "chat.completion" if way == "chat/completions" else "text_completion",
        "created": 0,
        "model": f"scripted:{body.get('model', script.names[0])}",  # nobody shall take this for a model's words
    }


def _piece(part: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "finish_reason": reason} | part


def _reason(script: Script, said: list[str]) -> str:
    return "length" if 0 < len(said) < script.length else "stop"


def _usage(body: dict[str, Any], said: list[str]) -> dict[str, int]:
    asked = len(str(body.get("prompt") or body.get("messages")).split())
    return {"prompt_tokens": asked, "completion_tokens": len(said), "total_tokens": asked + len(said)}
