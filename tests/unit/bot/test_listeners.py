"""What listeners do after the ack."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

from slack_bolt import BoltContext

from bot.commands.visibility import Viewer
from bot.door import ACK_BY
from bot.listeners import Listeners
from bot.views import home
from tests.builders.events import BEGIN


class Slack:
    """Asks for a pause once."""

    def __init__(self):
        self.views = []

    def insist(self, call):
        call()
        return call()

    def publish_home(self, user, view):
        self.views.append(view)


def test_a_home_tab_that_is_published_after_a_pause_shows_the_newest_state(monkeypatch):
    monkeypatch.setattr(home, "home", lambda deployments, now, user: deployments)
    states = iter(["before the pause", "after it"])
    context: Any = SimpleNamespace(
        deployments=SimpleNamespace(all=lambda: next(states)),
        sight=SimpleNamespace(of=lambda viewer, deployments: deployments),
        now=lambda: BEGIN,
    )
    slack: Any = Slack()
    Listeners(context, None, "UBOT", None, slack, door=None)._publish_home(Viewer(user="U1"))
    assert slack.views[-1] == "after it"


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
