"""Each refusal of a card has a sentence with its cause and its mend."""

import pytest

from bot.slack.lockout import CAUSES as LOCKOUTS
from bot.views.card_refusals import CAUSES, GONE, notice
from tests.builders.story import Story

DOCUMENTED = [
    "channel_not_found",
    "edit_window_closed",
    "is_archived",
    "is_inactive",
    "message_limit_exceeded",
    "messages_tab_disabled",
    "missing_scope",
    "not_in_channel",
    "restricted_action",
    "restricted_action_non_threadable_channel",
    "restricted_action_read_only_channel",
    "restricted_action_thread_locked",
    "restricted_action_thread_only_channel",
]


@pytest.mark.parametrize("code", DOCUMENTED)
def test_a_documented_refusal_has_a_sentence_of_its_own(code):
    said = notice(Story().state, code, stands=True).text
    assert code not in said
    assert "/mixtral status" in said


def test_no_code_has_two_behaviours():
    assert not CAUSES.keys() & GONE
    assert not CAUSES.keys() & LOCKOUTS.keys()


def test_an_unknown_refusal_is_reported_with_its_code():
    assert "`<quantum" not in notice(Story().state, "<quantum>", stands=False).text
    assert "Slack refused it (`quantum_error`)" in notice(Story().state, "quantum_error", stands=False).text
