"""One person's commands leave threads to the others, whatever a cloud says."""

import threading
import time
from typing import Any

import pytest
from slack_bolt import BoltContext

from bot.admission import ACK_BY
from bot.listeners import A_MOMENT, Listeners
from bot.run import LATER_THREADS
from bot.slack.fair_threads import FairThreads
from tests.fakes.office import Office
from tests.patience import PATIENCE


class SilentCloud:
    """A cloud that gives no log before the test ends."""

    def __init__(self):
        self.asked, self.ends = threading.Semaphore(0), threading.Event()

    def logs(self, *_, **__):
        self.asked.release()
        self.ends.wait(60)
        return []


@pytest.fixture
def office(redis):
    it = Office(redis)
    it.running.put("fast", "http://127.0.0.1:1", "C1", user="UROBIN")
    return it


@pytest.fixture
def listeners(office):
    nothing: Any = None
    later = FairThreads(LATER_THREADS, "later")
    yield Listeners(office.context, nothing, "UBOT", later, nothing, admission=nothing)
    later.close()


def typed(listeners, text, user, channel="C1", *, within):
    """The text of a command's ack; empty if a window was opened instead."""
    acked = []
    body = {"text": text, "team_id": "T1", "channel_id": channel, "user_id": user, "trigger_id": f"1.{time.time_ns()}"}
    listeners.command(
        lambda **how: acked.append(how.get("text", "")), body, BoltContext({ACK_BY: time.monotonic() + within})
    )
    [text] = acked
    return text


def test_a_silent_cloud_and_one_who_asks_it_again_and_again_delay_no_command_of_another(office, listeners, monkeypatch):
    cloud = SilentCloud()
    monkeypatch.setattr(office.requests, "logs", cloud.logs)
    try:
        for _ in range(64):
            assert typed(listeners, "logs fast", "UROBIN", within=0) == A_MOMENT.text
        assert cloud.asked.acquire(timeout=10 * PATIENCE)
        for user, channel in (("UADA", "C1"), ("UADMIN", "C2")):
            assert typed(listeners, "down fast", user, channel, within=10 * PATIENCE) != A_MOMENT.text
    finally:
        cloud.ends.set()
