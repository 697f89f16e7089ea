"""Asks an engine how many requests wait in its queue."""

import logging
import math
import time
from datetime import timedelta

import httpx
from prometheus_client.parser import text_string_to_metric_families

WAITING = ("vllm:num_requests_waiting", "llamacpp:requests_deferred")
"""Gauges, each engine's own; vLLM's has a sample for each of its engine cores."""
TIMEOUT = timedelta(seconds=5)
LONGEST = 4 * 2**20
"""Bytes of an answer that are read: vLLM's are some hundred thousand."""

logger = logging.getLogger(__name__)


def waiting(address: str, *, key: str, timeout: timedelta = TIMEOUT) -> int | None:
    """How many requests wait in the engine at `http://host:port`; None where it does not tell, or not in time.

    llama.cpp's server wants its key; vLLM needs none and takes it. Never raises: the queue is a hint, and who has
    none goes by the rate alone.
    """
    try:
        text = _scraped(f"{address}/metrics", key, timeout)
        return None if text is None else waiting_in(text)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        logger.debug("%s tells no queue: %s", address, error or type(error).__name__)
        return None


def waiting_in(text: str) -> int | None:
    """The requests that wait, from Prometheus' text format; None where no engine's gauge is in it.

    Raises ValueError where a line of those gauges is none of that format.
    """
    # A page of vLLM's has a thousand lines of histograms: parsed whole, three thousand replicas would cost a minute.
    ours = "".join(f"{line}\n" for line in text.splitlines() if line.startswith(WAITING))
    counts = [
        sample.value
        for family in text_string_to_metric_families(ours)
        for sample in family.samples
        if sample.name in WAITING and math.isfinite(sample.value)
    ]
    return max(0, round(sum(counts))) if counts else None


def _scraped(url: str, key: str, timeout: timedelta) -> str | None:
    """The body of a 2xx, or None."""
    within = timeout.total_seconds()
    ends = time.monotonic() + within
    content = b""
    with (
        # Replicas are reached directly: a proxy in the environment is for the outside.
        httpx.Client(timeout=within, trust_env=False) as client,
        client.stream("GET", url, headers={"Authorization": f"Bearer {key}"} if key else {}) as answer,
    ):
        if not answer.is_success:
            return None
        for part in answer.iter_bytes():
            content += part
            # httpx's own timeout starts anew with each byte of who drips.
            if len(content) > LONGEST or time.monotonic() > ends:
                return None
    return content.decode(errors="replace")
