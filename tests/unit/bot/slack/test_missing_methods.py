"""A refusal counts for one channel or for the workspace, and for an hour."""

import pytest

from bot.slack.failures import SlackRefused
from bot.slack.missing_methods import KEPT, REMEMBERED, MissingMethods

REPLIES = "conversations.replies"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def refusals(clock):
    return MissingMethods(clock)


@pytest.mark.parametrize("code", ["missing_scope", "channel_type_not_supported", "no_permission"])
def test_a_refusal_in_one_channel_leaves_the_method_to_the_others(refusals, code):
    refusals.note(REPLIES, "G1", SlackRefused(code, known=False))
    assert not refusals.has(REPLIES, "G1")
    assert refusals.has(REPLIES, "C1")
    assert refusals.has(REPLIES)
    assert refusals.has("conversations.history", "G1")


@pytest.mark.parametrize("code", ["unknown_method", "status 404", "feature_not_enabled", "not_allowed_token_type"])
def test_a_method_that_the_workspace_lacks_is_missing_in_every_channel(refusals, code):
    refusals.note(REPLIES, "C1", SlackRefused(code, known=False))
    assert not refusals.has(REPLIES, "C1")
    assert not refusals.has(REPLIES, "C2")
    assert not refusals.has(REPLIES)


def test_a_scope_that_a_call_without_a_channel_lacks_is_missing_everywhere(refusals):
    refusals.note("conversations.open", "", SlackRefused("missing_scope", known=False))
    assert not refusals.has("conversations.open")


def test_a_refusal_that_says_nothing_about_the_method_is_not_remembered(refusals):
    refusals.note(REPLIES, "C1", SlackRefused("thread_not_found"))
    assert refusals.has(REPLIES, "C1")
    assert len(refusals) == 0


def test_after_an_hour_the_method_is_tried_again(refusals, clock):
    refusals.note(REPLIES, "C1", SlackRefused("unknown_method", known=False))
    clock.now += REMEMBERED.total_seconds() - 1
    assert not refusals.has(REPLIES, "C1")
    clock.now += 1
    assert refusals.has(REPLIES, "C1")


def test_many_channels_that_refuse_do_not_fill_the_memory(refusals):
    for number in range(KEPT + 50):
        refusals.note(REPLIES, f"G{number}", SlackRefused("missing_scope", known=False))
        refusals.note(REPLIES, "G0", SlackRefused("missing_scope", known=False))
    assert len(refusals) == KEPT
    assert not refusals.has(REPLIES, f"G{KEPT + 49}")
    assert not refusals.has(REPLIES, "G0")
    assert refusals.has(REPLIES, "G1")
