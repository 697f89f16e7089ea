"""The Details modal reads logs from clouds, which takes longer than a person waits before the next press."""

import threading
from types import SimpleNamespace
from typing import Any

from bot.commands.context import Caller
from bot.screens.details import DetailsModal
from bot.slack.failures import SlackRefused
from bot.views.logs import MAX_REPLICAS
from tests.builders.story import Story
from tests.gallery import Tail
from tests.patience import PATIENCE
from workers.api import LogsGone

STORY = Story("fast").planned().asked().created()
WHO = Caller(team="T1", channel="", user="U1", once="1.1")


class Clouds:
    """Logs that take as long as the test lets them."""

    def __init__(self):
        self.asked, self.answers = 0, threading.Event()

    def logs(self, *_, newest):
        assert newest == MAX_REPLICAS
        self.asked += 1
        self.answers.wait(60)
        if self.asked > 1:
            raise LogsGone("gone")
        return [Tail(replica=1, place="local here", tail="engine is loading")]


class Presses:
    """The part of `Presses` that the modal uses, and the view as Slack shows it."""

    def __init__(self, clouds):
        said = SimpleNamespace(rated=lambda _: SimpleNamespace(good=0, bad=0))
        sight = SimpleNamespace(forbids=lambda *_: "")
        self.context: Any = SimpleNamespace(deployments=clouds, given=said, sight=sight, now=lambda: STORY.now)
        self.slack, self.work = self, {}
        self.view = {"id": "V1", "hash": "0"}

    def click(self, _, work, *, ack_within):
        assert ack_within == 0
        return work

    def by_id(self, *_):
        return STORY.state

    deployment = by_id

    def shown(self, _, view, __):
        self.view = view | {"id": "V1", "hash": "1"}
        return self.view

    def update_view(self, view_id, view, *, shown):
        if shown != self.view["hash"]:
            raise SlackRefused("hash_conflict")
        self.view = view | {"id": view_id, "hash": f"{shown}1"}


def opened(clouds):
    """What the buttons of the modal do, by their action ids."""
    presses: Any = Presses(clouds)
    app: Any = SimpleNamespace(action=lambda id_: lambda work: presses.work.update({id_: work}))
    DetailsModal(presses).register(app)
    return presses


def begun(work, body):
    thread = threading.Thread(target=work, args=(body, WHO))
    thread.start()
    return thread


def test_a_press_while_the_logs_are_read_reads_them_no_second_time():
    clouds = Clouds()
    presses = opened(clouds)
    opening = begun(presses.work["card_details"], {"actions": [{"value": "d1"}]})
    while not clouds.asked:
        opening.join(0.01)
    body = {"actions": [{"value": "d1"}], "view": dict(presses.view)}
    again = [begun(presses.work["details_refresh"], body) for _ in range(5)]
    for press in again:
        press.join(2 * PATIENCE)
        assert not press.is_alive()
    clouds.answers.set()
    for thread in (opening, *again):
        thread.join(5 * PATIENCE)
    assert clouds.asked == 1
    assert "engine is loading" in str(presses.view)


def test_the_logs_are_read_again_by_a_later_press():
    clouds = Clouds()
    clouds.answers.set()
    presses = opened(clouds)
    presses.work["card_details"]({"actions": [{"value": "d1"}]}, WHO)
    presses.work["details_refresh"]({"actions": [{"value": "d1"}], "view": dict(presses.view)}, WHO)
    assert clouds.asked == 2
