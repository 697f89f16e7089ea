"""Counts the tokens of a conversation by the tokenizer of its engine."""

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx

from bot.prompting.cancelling import Cancelling
from bot.prompting.conversation import Turn
from bot.prompting.engine import EngineEndpoint
from bot.prompting.engine_exchange import MOST_BYTES, exchange

_LOG = logging.getLogger(__name__)

COUNT_WITHIN = timedelta(seconds=10)
"""Timeout of one request. Without a count, the question is sent with an estimate."""

_BYTES_PER_TOKEN = 8
"""Maximum size of a token in an answer, which lists them beside their count: `128000, `."""


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
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    size = sum(len(turn.content.encode("utf-8", "surrogatepass")) for turn in turns)  # a token has a byte or more

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = exchange(
            http,
            "POST",
            f"{endpoint.url}{path}",
            json=body,
            headers=endpoint.headers,
            within=COUNT_WITHIN,
            most=MOST_BYTES + _BYTES_PER_TOKEN * size,
            cancelling=cancelling,
        )
        found = json.loads(answer.body) if answer.status == httpx.codes.OK else None
        return found if isinstance(found, dict) else {}

    try:
        counted = post("/tokenize", {"model": model, "messages": messages})
        if "count" in counted:
            return int(counted["count"])
        if "tokens" in counted:
            prompt = post("/apply-template", {"messages": messages})["prompt"]
            return len(post("/tokenize", {"content": prompt, "add_special": True})["tokens"])
    except (httpx.HTTPError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        _LOG.info("%s does not count tokens: %s", endpoint.name, type(error).__name__)
    return None
