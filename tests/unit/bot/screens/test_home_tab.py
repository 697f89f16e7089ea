"""When a Home tab is published, and with what."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

from bot.commands.visibility import Viewer
from bot.screens.home_tab import HomeTab
from bot.views import home
from tests.builders.events import BEGIN


class Slack:
    """Asks for a pause, and goes on when it is told to."""

    def __init__(self):
        self.views = []
        self.goes_on = Event()

    def insist(self, call):
        call()
        self.goes_on.wait(5)
        return call()

    def publish_home(self, user, view):
        self.views.append(view)


def tab_of(slack, pool, monkeypatch, states):
    monkeypatch.setattr(home, "home", lambda deployments, now, user: deployments)
    context: Any = SimpleNamespace(
        deployments=SimpleNamespace(all=lambda: next(states)),
        sight=SimpleNamespace(of=lambda viewer, deployments: deployments),
        now=lambda: BEGIN,
    )
    calls: Any = slack
    return HomeTab(context, calls, pool)


def test_a_home_tab_that_is_published_after_a_pause_shows_the_newest_state(monkeypatch):
    slack = Slack()
    slack.goes_on.set()
    with ThreadPoolExecutor(1) as pool:
        tab_of(slack, pool, monkeypatch, iter(["before the pause", "after it"])).opened(Viewer(user="U1"))
    assert slack.views[-1] == "after it"


def test_a_person_who_opens_their_home_again_and_again_while_slack_asks_for_a_pause_waits_once(monkeypatch):
    slack, later = Slack(), []
    pool: Any = SimpleNamespace(submit=lambda *work: later.append(work))
    tab = tab_of(slack, pool, monkeypatch, iter("abcd"))
    for user in ("U1", "U1", "U2"):
        tab.opened(Viewer(user=user))
    assert len(later) == 2
    slack.goes_on.set()
    for work, viewer in later:
        work(viewer)
    tab.opened(Viewer(user="U1"))
    assert len(later) == 3
