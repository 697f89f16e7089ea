"""What the readings of thousands of engines cost a sweep."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tests.builders.story import Story
from workers.control.token_counting import TokenCounting
from workers.deployment.keys import Secrets

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def hangs(_address, *, key):
    await asyncio.sleep(3600)


def test_engines_that_hang_cost_one_read_of_a_key_however_many_sweeps_wait_for_them(monkeypatch):
    monkeypatch.setattr("workers.control.token_counting.tokens", hangs)
    reads: Counter[str] = Counter()

    def secrets(id_):
        reads[id_] += 1
        return Secrets(replica="mxk_replica")

    log: Any = SimpleNamespace(secrets=secrets)
    ledger: Any = SimpleNamespace(book=lambda: SimpleNamespace(counts={}))
    states = [Story(f"m-{n}", id_=f"d-{n}", at=NOON).answers_at(f"http://127.0.0.1:{n + 1}").state for n in range(300)]
    counting = TokenCounting(ledger, log)
    for sweep in range(100):
        counting.look(states, NOON + sweep * timedelta(seconds=2))
    assert set(reads.values()) == {1}
    assert len(reads) == 300
