"""Counts the tokens of a conversation by the tokenizer of its engine."""

import logging
from collections.abc import Sequence
from typing import Any

import httpx

from bot.prompting.cancelling import Cancelling
from bot.prompting.conversation import Turn
from bot.prompting.engine import EngineEndpoint

_LOG = logging.getLogger(__name__)

_TIMEOUT = 10.0
"""Timeout in seconds. Without a count, the question is sent with an estimate."""


def count_tokens(
    http: httpx.Client,
    endpoint: EngineEndpoint,
    model: str,
    turns: Sequence[Turn],
    cancelling: Cancelling | None = None,
) -> int | None:
    """Return the number of tokens of the prompt for these turns; None if the engine does not tell it.

    vLLM applies the chat template itself and returns `count`. llama.cpp applies it at a path of its own.
    """
    extensions = cancelling.extensions if cancelling else None
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = http.post(
            f"{endpoint.url}{path}", json=body, headers=endpoint.headers, timeout=_TIMEOUT, extensions=extensions
        )
        found = answer.raise_for_status().json()
        return found if isinstance(found, dict) else {}

    try:
        counted = post("/tokenize", {"model": model, "messages": messages})
        if "count" in counted:
            return int(counted["count"])
        if "tokens" in counted:
            prompt = post("/apply-template", {"messages": messages})["prompt"]
            return len(post("/tokenize", {"content": prompt, "add_special": True})["tokens"])
    except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
        _LOG.info("%s does not count tokens: %s", endpoint.name, type(error).__name__)
    return None
