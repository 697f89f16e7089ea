"""Fifty questions at once in one channel, at five times Slack's rates and the bot's budgets."""

import statistics
from datetime import timedelta

import pytest

from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.slack.budgets import LIMITS, MethodBudget
from tests.answering import engine, line, place
from tests.person import MIXTRAL
from tests.rush import WORDS, beside_a_crowd, rush

__all__ = ["engine", "line", "place"]

FASTER = 5
BUDGETS = {method: MethodBudget(budget.per_minute * FASTER, budget.burst * FASTER) for method, budget in LIMITS.items()}

NEARLY = 4.0
"""Maximum of `displaced`; in a random order it is 17.

Each question has a thread of its own. Where a loaded machine holds one up, all others pass it, which moves each by one
place."""


def displaced(asked, seen):
    """The average number of places between a question and what is seen of it."""
    assert sorted(seen) == sorted(asked)
    return statistics.mean(abs(seen.index(ts) - at) for at, ts in enumerate(asked))


@pytest.fixture(scope="module")
def slack():
    with start(Settings(rate_scale=FASTER, stream_life=timedelta(seconds=60))) as running:
        yield running


def test_fifty_questions_at_once_are_shown_in_order_and_answered_completely_and_once(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot(budgets=BUDGETS)
    seen = rush(place, engine, timeout=60)
    assert seen.refused == 0
    assert [answer.split() for answer in seen.answers] == [[f"number{n}"] * WORDS for n in range(len(seen.threads))]
    assert seen.messages == [1] * len(seen.threads)
    assert displaced(seen.threads, seen.sessions) <= NEARLY
    assert displaced(seen.threads, seen.posted) <= NEARLY
    assert seen.calls["chat.update"] < 3 * len(seen.threads)
    assert {place.robin.session(MIXTRAL, ts) for ts in seen.threads} == {"active"}


def test_a_question_is_answered_though_another_channel_has_asked_more_than_there_are_threads(place, engine):
    place.shelf.put("fast", engine.url, MIXTRAL)
    place.bot(budgets=BUDGETS, at_once=8)
    seen = beside_a_crowd(place, engine, crowd=40, timeout=60)
    assert seen.passed <= 12  # what the budget of the channel allows meanwhile
