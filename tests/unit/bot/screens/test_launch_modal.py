"""Changes of the form may be handled in any order: what is shown is the last one."""

import threading
import time
from itertools import pairwise, permutations
from types import SimpleNamespace
from typing import Any

import pytest

from bot.commands.context import Caller
from bot.screens.launch_modal import Changes, LaunchForm
from bot.slack.failures import SlackRefused
from tests.patience import PATIENCE

SOON = 5 * PATIENCE


class Modal:
    """An open modal at Slack: an update with the hash of another view than the one that is shown is refused."""

    def __init__(self):
        self.hash, self.shown = "0", ""
        self.answers, self.asked = threading.Event(), threading.Event()
        self.answers.set()

    def update_view(self, view_id, view, *, shown):
        if shown != self.hash:
            raise SlackRefused("hash_conflict")
        self.hash, self.shown = str(int(self.hash) + 1), view
        new = self.hash
        self.asked.set()
        self.answers.wait(60)
        return new


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
    LaunchForm(presses, lambda shown, *_: shown["state"]).register(app)
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


def test_a_change_that_is_handled_before_slack_has_answered_the_one_before_is_shown(form, modal):
    modal.answers.clear()
    first = threading.Thread(target=changed, args=(form, "after 1", "1"))
    first.start()
    assert modal.asked.wait(SOON)
    second = threading.Thread(target=changed, args=(form, "after 2", "2"))
    second.start()
    second.join(0.2)
    modal.answers.set()
    for thread in (first, second):
        thread.join(SOON)
    assert modal.shown == "after 2"


def test_only_the_last_of_the_changes_that_wait_is_computed_and_sent(form, modal, monkeypatch):
    known, begin = [], Changes.begin

    def begun(changes, view_id, at):
        known.append(begin(changes, view_id, at))
        return at

    monkeypatch.setattr(Changes, "begin", begun)
    modal.answers.clear()
    threads = [threading.Thread(target=changed, args=(form, f"after {at}", str(at))) for at in range(1, 8)]
    threads[0].start()
    assert modal.asked.wait(SOON)
    for thread in threads[1:]:
        thread.start()
    until = time.monotonic() + SOON
    while len(known) < 7:
        assert time.monotonic() < until
        time.sleep(0.01)
    modal.answers.set()
    for thread in threads:
        thread.join(SOON)
    assert (modal.shown, modal.hash) == ("after 7", "2")


@pytest.mark.parametrize("hashes", [("a", "a"), ("", "a", ""), ("a", "b", "c", "a")])
def test_a_hash_that_slack_repeats_or_leaves_out_does_not_stop_the_forms(hashes):
    changes = Changes()
    for old, new in pairwise(hashes):
        changes.shown(old, new)
    asking = threading.Thread(target=changes.newest_of, args=(hashes[0],), daemon=True)
    asking.start()
    asking.join(SOON)
    assert not asking.is_alive()
