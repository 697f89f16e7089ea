"""What listeners do after the ack."""

from types import SimpleNamespace
from typing import Any

from bot.commands.visibility import Viewer
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
