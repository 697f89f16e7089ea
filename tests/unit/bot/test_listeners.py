"""What listeners do after the ack."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

from slack_bolt import BoltContext

from bot.door import ACK_BY
from bot.listeners import Listeners


def test_an_ack_waits_for_the_work_until_its_time_is_up_and_the_door_has_used_some_of_it():
    going_on, shown = Event(), Event()
    context: Any = SimpleNamespace(deployments=SimpleNamespace(by_id=lambda _: going_on.wait(5)))
    slack: Any = SimpleNamespace(insist=lambda *_, **__: shown.set())
    with ThreadPoolExecutor(2) as later:
        listeners = Listeners(context, None, "UBOT", later, slack, door=None)
        clicked = listeners._click("logs", listeners._logs)
        began = time.monotonic()
        body = {"actions": [{"value": "d-1"}], "channel": {"id": "C1"}}
        clicked(lambda: None, body, BoltContext({ACK_BY: began + 0.1}))
        assert 0.1 <= time.monotonic() - began < 1
        going_on.set()
        assert shown.wait(5)
