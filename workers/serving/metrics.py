"""Reads from an engine's metrics how many requests wait in its queue, and whether it computes tokens."""

import asyncio
import logging
import math
import re
from datetime import timedelta
from functools import cache

from workers.serving.errors import ServingError
from workers.serving.exchange import exchange

WAITING = ("vllm:num_requests_waiting", "llamacpp:requests_deferred")
"""Names of the engines' gauges. vLLM's has one sample for each engine core."""
TOKENS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "llamacpp:n_decode_total")
"""Names of the engines' counters that grow at each step. llama.cpp counts the tokens of an answer only at its end."""
PROMPT_TOKENS = ("vllm:prompt_tokens_total", "llamacpp:prompt_tokens_total")
GENERATED_TOKENS = ("vllm:generation_tokens_total", "llamacpp:tokens_predicted_total")
"""Names of the engines' counters of tokens since their start."""
TIMEOUT = timedelta(seconds=5)
BETWEEN = timedelta(seconds=2)
"""Time between two readings of the counters of tokens. The slowest engines generate about a token per second."""
MAX_BYTES = 4 * 2**20
"""Maximum size of an answer, in bytes. vLLM's have some hundred thousand."""
MAX_SAMPLES = 1000
"""Maximum number of samples that are added up. There is one for each name and engine core."""
QUOTED = 200
"""Maximum number of characters of a line that are quoted."""
SAMPLE = re.compile(
    r'\s*+(?:\{(?:[^"}]++|"(?:[^"\\]++|\\.)*+")*+\}\s*+)?+'  # labels, whose quoted values may contain anything
    r"([-+.0-9A-Za-z]{1,40})(?:\s.*)?"  # the value, and a time
)
"""What follows the name in a line of Prometheus' text format.

prometheus_client's parser takes minutes for some lines of a megabyte, and reads labels, which are not needed. This
expression does not go back, so its time is proportional to the length of the line: it runs on the loop of all probes.
"""

logger = logging.getLogger(__name__)


async def waiting(address: str, *, key: str, within: timedelta = TIMEOUT) -> int | None:
    """Number of requests that wait in the engine at `http://host:port`; None if it is not available in time.

    llama.cpp's server requires the key; vLLM accepts it. Errors are not raised: the number is optional, and without
    it autoscaling uses the request rate alone.
    """
    try:
        text = await _scraped(f"{address}/metrics", key, within)
        return None if text is None else waiting_in(text)
    except (ServingError, TimeoutError, ValueError) as error:
        logger.debug("%s does not report its queue: %s", address, error or type(error).__name__)
        return None


async def computes(address: str, *, key: str, between: timedelta = BETWEEN) -> bool:
    """Whether the tokens that the engine at `http://host:port` counts grow from one reading to the next.

    False if the engine does not answer, or counts no tokens.
    """
    before = await _tokens(address, key)
    if before is None:
        return False
    await asyncio.sleep(between.total_seconds())
    after = await _tokens(address, key)
    return after is not None and after > before


async def tokens(address: str, *, key: str) -> tuple[int, int] | None:
    """Tokens of prompts and of answers since the engine at `http://host:port` started; None if it reports none."""
    try:
        text = await _scraped(f"{address}/metrics", key, TIMEOUT)
        counts = (None, None) if text is None else (total(text, PROMPT_TOKENS), total(text, GENERATED_TOKENS))
    except (ServingError, TimeoutError, ValueError) as error:
        logger.debug("%s does not report its tokens: %s", address, error or type(error).__name__)
        return None
    prompt, generated = counts
    return None if prompt is None or generated is None else (round(prompt), round(generated))


async def _tokens(address: str, key: str) -> float | None:
    try:
        text = await _scraped(f"{address}/metrics", key, TIMEOUT)
        return None if text is None else total(text, TOKENS)
    except (ServingError, TimeoutError, ValueError) as error:
        logger.debug("%s does not report its tokens: %s", address, error or type(error).__name__)
        return None


def waiting_in(text: str) -> int | None:
    """Number of waiting requests in metrics of Prometheus' text format; None if no engine's gauge is in them.

    Raises ValueError if a line of those gauges cannot be parsed.
    """
    count = total(text, WAITING)
    return None if count is None else max(0, round(count))


def total(text: str, names: tuple[str, ...]) -> float | None:
    """Sum of the finite samples with these names; None if there are none. Raises ValueError if one cannot be parsed."""
    counts: list[float] = []
    for number, line in enumerate(_lines(names).finditer(text)):
        sample = SAMPLE.fullmatch(line[1])
        if number == MAX_SAMPLES:
            raise ValueError(f"the metrics have more than {MAX_SAMPLES} samples of {names[0]}")
        if sample is None:
            raise ValueError(f"a line of the metrics cannot be parsed: {line[0][:QUOTED]!r}")
        counts.append(float(sample[1]))
    finite = [count for count in counts if math.isfinite(count)]
    if not math.isfinite(sum(finite)):
        raise ValueError("the sum of the samples is too large")
    return sum(finite) if finite else None


@cache
def _lines(names: tuple[str, ...]) -> re.Pattern[str]:
    """Matches each line of a sample with one of the names; the first group is what follows the name."""
    return re.compile(rf"^(?:{'|'.join(map(re.escape, names))})(?![\w:])(.*)$", re.MULTILINE)


async def _scraped(url: str, key: str, within: timedelta) -> str | None:
    """The body of a 2xx answer, or None."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with asyncio.timeout(within.total_seconds()):  # that of an exchange restarts with each piece
        answer = await exchange(url, headers=headers, within=within, most=MAX_BYTES)
    return answer.body.decode(errors="replace") if answer.is_success and not answer.cut else None
