"""Changes of the form may be handled in any order: what is shown is the last one."""

from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest

from bot.commands.context import Caller
from bot.screens.launch_window import LaunchForm
from bot.slack.failures import SlackRefused


class Modal:
    """An open modal at Slack: an update with the hash of another view than the one that is shown is refused."""

    def __init__(self):
        self.hash, self.shown = "0", ""

    def update_view(self, view_id, view, *, shown):
        if shown != self.hash:
            raise SlackRefused("hash_conflict")
        self.hash, self.shown = str(int(self.hash) + 1), view
        return self.hash


class Presses:
    """The part of `Presses` that the form uses."""

    context: Any = None

    def __init__(self, slack):
        self.slack, self.work = slack, {}

    def click(self, word, work, *, ack_within):
        assert ack_within == 0  # a price is never waited for
        self.work[word] = work

    def submitted(self, word, work):
        return work


def changed(form, text, at, hash_="0"):
    view = {"id": "V1", "hash": hash_, "state": text}
    form["form"]({"view": view, "actions": [{"action_ts": at}]}, Caller(team="", channel="", user="", once=""))


@pytest.fixture
def modal():
    return Modal()


@pytest.fixture
def form(modal):
    app: Any = SimpleNamespace(action=lambda *_: lambda _: None, view=lambda *_: lambda _: None)
    presses: Any = Presses(modal)
    LaunchForm(presses, lambda shown, _: shown["state"]).register(app)
    return presses.work


@pytest.mark.parametrize("order", list(permutations(("1", "2", "10"))))
def test_the_last_change_is_shown_in_whatever_order_they_are_handled(form, modal, order):
    for at in order:
        changed(form, f"after {at}", at)
    assert modal.shown == "after 10"


def test_what_another_process_has_shown_is_left(form, modal):
    modal.hash = "7"
    changed(form, "mine", "1")
    assert modal.shown == ""
