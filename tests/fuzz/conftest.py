"""A bot in this process, whose listeners work at once, and what it logs."""

import logging

import pytest

from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.slack.budgets import NOW
from tests.fakes.at_once import AtOnce
from tests.fakes.office import Answers
from tests.fuzz.fuzzing import Errors
from tests.person import MIXTRAL, ROBIN
from tests.scenario.test_commands import Bot


class FuzzAnswers(Answers):
    """Stores the newest questions only."""

    def ask(self, question):
        is_new = super().ask(question)
        del self.asked[:-50]
        return is_new

    def deleted(self, channel, ts):
        """Nothing is being answered."""


@pytest.fixture
def errors():
    it = Errors()
    logging.getLogger().addHandler(it)
    yield it
    logging.getLogger().removeHandler(it)


@pytest.fixture
def bot(redis, tmp_path, monkeypatch):
    monkeypatch.setattr("bot.slack.budgets.Budgets.take", lambda *_, **__: NOW)
    with start(Settings(rate_scale=0)) as slack:
        it = Bot(redis, slack, tmp_path, answers=FuzzAnswers(), later=AtOnce())
        for name in ("fast", "slow"):
            it.running.put(name, "http://127.0.0.1:1", MIXTRAL, user=ROBIN)
        yield it
        it.close()
