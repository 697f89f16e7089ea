"""When a press is acked, and what is shown after it."""

import time
from contextlib import closing
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from slack_bolt import BoltContext

from bot.admission import ACK_BY
from bot.commands.errors import WrongInput
from bot.screens.presses import Presses, caller_of
from bot.slack.fair_threads import FairThreads
from bot.slack.message import Message
from bot.views.escape import unmarked
from tests.patience import PATIENCE


def test_an_ack_waits_for_the_work_until_its_time_is_up_and_admission_has_used_some_of_it():
    going_on, shown = Event(), Event()
    context: Any = SimpleNamespace(audit=None)
    slack: Any = SimpleNamespace(outbox=SimpleNamespace(put=lambda *_: shown.set()))
    with closing(FairThreads(2, "later")) as later:
        presses = Presses(context, slack, later)
        clicked = presses.click("logs", lambda *_: Message("done") if going_on.wait(30) else Message("lost"))
        began = time.monotonic()
        body = {"actions": [{"value": "d-1"}], "channel": {"id": "C1"}}
        clicked(lambda: None, body, BoltContext({ACK_BY: began + 0.1}))
        assert 0.1 <= time.monotonic() - began < 1 * PATIENCE
        going_on.set()
        assert shown.wait(30)


def test_the_errors_of_a_modal_are_plain_text_at_the_input_that_they_name():
    acked = {}
    context: Any = SimpleNamespace(audit=None)
    slack: Any = None

    def refuses(*_):
        raise WrongInput("name", "*fast* is taken: <@U1|robin> launched it. Try `/mixtral status` &amp; wait.")

    with closing(FairThreads(2, "later")) as later:
        submitted = Presses(context, slack, later).submitted("launch", refuses)
        view = {"state": {"values": {"recipe": {}, "name": {}}}}
        submitted(lambda **how: acked.update(how), {}, view, BoltContext({ACK_BY: time.monotonic() + 5}))
    said = "fast is taken: @robin launched it. Try /mixtral status & wait."
    assert acked == {"response_action": "errors", "errors": {"name": said}}


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("*a* and *b c*, `x`", "a and b c, x"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("<!date^1^{date_short_pretty}|2026-11-30 01:00 UTC>", "2026-11-30 01:00 UTC"),
        ("<https://a.b|Its card.> in <#C1|general> &lt;b&gt;", "Its card. in #general <b>"),
    ],
)
def test_marks_are_removed_and_text_stays(marked, plain):
    assert unmarked(marked) == plain


@pytest.mark.parametrize(("thread", "seen"), [(None, None), ("5.0", None), ("4.0", "4.0")])
def test_a_card_whose_thread_has_replies_stands_in_the_channel(thread, seen):
    container = {"type": "message", "message_ts": "5.0", "channel_id": "C1"} | ({"thread_ts": thread} if thread else {})
    assert caller_of({"user": {"id": "U1"}, "container": container}, BoltContext()).thread == seen
