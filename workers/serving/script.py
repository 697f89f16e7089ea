"""PURE: the answers of the scripted engine, in the format of the OpenAI API."""

import itertools
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

Way = Literal["completions", "chat/completions"]


class Script(Struct, frozen=True, kw_only=True):
    """Settings of the answers. Each word is one token."""

    names: tuple[str, ...]
    text: str = "This answer comes from a script and not from a model."
    """Repeated up to the length of the answer."""
    length: int = 32
    """Maximum number of tokens of an answer."""
    latency: float = 0.0
    """Seconds before the first token."""
    tokens_per_s: float = 0.0
    """Tokens per second; 0 for no delay."""
    fail_every: int = 0
    """Every n-th completion fails with status 500; 0 for none."""
    silent: bool = False
    """Answers contain no text."""
    slots: int = 0
    """Number of completions at a time; further ones wait. 0 for no limit."""
    thoughts: int = 0
    """Number of tokens of thoughts before each streamed answer. They count towards `max_tokens`."""
    context: int = 0
    """Context length in tokens, as reported, counted and enforced; 0 for none."""
    blocks: float = 0.0
    """Seconds for which each completion keeps the engine from answering anything else, even /health."""


class BadRequest(ValueError):
    """An invalid request, with the HTTP status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def words(script: Script, way: Way, body: Any) -> list[str]:
    """Tokens of the answer to a request with this body. Raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest(400, "The body is not a JSON object.")
    if body.get("model", script.names[0]) not in script.names:
        raise BadRequest(404, f"The model `{body['model']}` does not exist.")
    field, kind = ("messages", list) if way == "chat/completions" else ("prompt", str)
    if not isinstance(body.get(field), kind) or not body[field]:
        raise BadRequest(400, f"`{field}` is missing, empty or of the wrong type.")
    if way == "chat/completions" and any(_images(message) for message in body["messages"]):
        raise BadRequest(400, f"{script.names[0]} is not a multimodal model")
    limit = _limit(script, body)
    if not isinstance(limit, int) or limit < 1:
        raise BadRequest(400, "`max_tokens` must be a whole number above 0.")
    if script.context and (prompt := count(body)) + limit > script.context:
        raise BadRequest(
            400,
            f"This model's maximum context length is {script.context} tokens. However, you requested {limit} output "
            f"tokens and your prompt contains {prompt} input tokens.",
        )
    if script.silent:
        return []
    tokens = itertools.islice(itertools.cycle(script.text.split() or ["…"]), min(limit, script.length))
    return [f" {word}" if n or way == "completions" else word for n, word in enumerate(tokens)]


def whole(script: Script, way: Way, body: dict[str, Any], tokens: list[str]) -> dict[str, Any]:
    """The whole answer as one JSON object."""
    text = "".join(tokens)
    part = {"message": {"role": "assistant", "content": text}} if way == "chat/completions" else {"text": text}
    choice = {"index": 0, "finish_reason": _reason(script, tokens), "logprobs": None} | part
    return _head(script, way, body) | {"choices": [choice], "usage": _usage(body, tokens)}


def chunks(script: Script, way: Way, body: dict[str, Any], tokens: list[str]) -> Iterator[dict[str, Any]]:
    """The answer as server-sent events: one for each token, a final one, and the usage if the request includes it."""
    head = _head(script, way, body)
    chat = way == "chat/completions"
    thoughts = []
    if chat:
        head["object"] = "chat.completion.chunk"
        yield head | {"choices": [_piece({"delta": {"role": "assistant", "content": ""}})]}
        thoughts = ["Hm. "] * min(script.thoughts, _limit(script, body))
        tokens = tokens[: _limit(script, body) - len(thoughts)]
    for thought in thoughts:
        yield head | {"choices": [_piece({"delta": {"reasoning": thought}})]}
    for word in tokens:
        yield head | {"choices": [_piece({"delta": {"content": word}} if chat else {"text": word})]}
    reason = "length" if thoughts and not tokens else _reason(script, tokens)
    yield head | {"choices": [_piece({"delta": {}} if chat else {"text": ""}, reason)]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield head | {"choices": [], "usage": _usage(body, [*thoughts, *tokens])}


def models(script: Script) -> dict[str, Any]:
    """The body of `/v1/models`."""
    listed: list[dict[str, Any]] = [
        {"id": name, "object": "model", "created": 0, "owned_by": "scripted"} for name in script.names
    ]
    if script.context:
        listed = [entry | {"max_model_len": script.context} for entry in listed]
    return {"object": "list", "data": listed}


def tokenized(script: Script, body: dict[str, Any]) -> dict[str, Any]:
    """The body of vLLM's `/tokenize`, without the tokens."""
    return {"count": count(body), "max_model_len": script.context, "tokens": []}


def _images(message: Any) -> bool:
    parts = message.get("content") if isinstance(message, dict) else None
    return isinstance(parts, list) and any(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def count(body: dict[str, Any]) -> int:
    """Number of tokens of the prompt: a word is one, and so is each character outside ASCII."""
    said = body.get("messages") or [{"content": body.get("prompt") or ""}]
    texts = [str(message.get("content") or "") for message in said]
    return sum(len(text.split()) + sum(not letter.isascii() for letter in text) for text in texts)


def error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": status}}


def _head(script: Script, way: Way, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "scripted",
        "object": "chat.completion" if way == "chat/completions" else "text_completion",
        "created": 0,
        "model": f"scripted:{body.get('model', script.names[0])}",  # marks the answer as not from a model
    }


def _piece(part: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "finish_reason": reason} | part


def _limit(script: Script, body: dict[str, Any]) -> Any:
    return body.get("max_completion_tokens") or body.get("max_tokens") or script.length


def _reason(script: Script, tokens: list[str]) -> str:
    return "length" if 0 < len(tokens) < script.length else "stop"


def _usage(body: dict[str, Any], tokens: list[str]) -> dict[str, int]:
    prompt, answer = count(body), len(tokens)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
