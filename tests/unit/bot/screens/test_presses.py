"""When a press is acked, and what is shown after it."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

from slack_bolt import BoltContext

from bot.admission import ACK_BY
from bot.screens.presses import Presses
from bot.slack.message import Message


def test_an_ack_waits_for_the_work_until_its_time_is_up_and_admission_has_used_some_of_it():
    going_on, shown = Event(), Event()
    context: Any = None
    slack: Any = SimpleNamespace(insist=lambda *_, **__: shown.set())
    with ThreadPoolExecutor(2) as later:
        presses = Presses(context, slack, later)
        clicked = presses.click("logs", lambda *_: Message("done") if going_on.wait(5) else Message("lost"))
        began = time.monotonic()
        body = {"actions": [{"value": "d-1"}], "channel": {"id": "C1"}}
        clicked(lambda: None, body, BoltContext({ACK_BY: began + 0.1}))
        assert 0.1 <= time.monotonic() - began < 1
        going_on.set()
        assert shown.wait(5)
