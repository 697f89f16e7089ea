"""Each call sends one request, whatever becomes of its reply."""

from datetime import timedelta

import pytest

from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from bot.slack.failures import SlackAway, SlackBusy, SlackRefused
from bot.slack.message import Message
from bot.slack.reading import find, reading_recent, reading_thread
from bot.slack.slack_steps import insisting
from tests.fakes.outbox import ended
from tests.person import GENERAL, MIXTRAL, ROBIN, Person

HELLO = Message(text="Hello")
MARK = {"event_type": "mixtral_test", "event_payload": {"number": "1"}}


@pytest.fixture(scope="module")
def stand_in():
    with start(Settings(rate_scale=0)) as running:
        yield running


@pytest.fixture
def robin(stand_in):
    with Person(stand_in.url, ROBIN) as person:
        yield person
        person.clear_faults()


@pytest.fixture
def slack(stand_in, redis):
    return SlackCalls(web_client(BOT_TOKEN, stand_in.api_url), Budgets(redis))


CALLS = {
    "chat.postMessage": lambda slack, root: slack.post(MIXTRAL, HELLO, thread=root, metadata=MARK),
    "chat.startStream": lambda slack, root: slack.start_stream(MIXTRAL, root, "T0SANDBOX01", ROBIN, "Hello"),
    "chat.postEphemeral": lambda slack, root: slack.whisper(MIXTRAL, ROBIN, HELLO),
}


@pytest.mark.parametrize("fault", ["drop_answer", "lose_answer"])
@pytest.mark.parametrize("method", CALLS)
def test_a_message_whose_reply_is_lost_is_sent_once(slack, robin, method, fault):
    root = robin.say(MIXTRAL, "@mixtral Hello")
    before = len(robin.calls(method))
    robin.fault(fault, method=method)
    with pytest.raises(SlackAway):
        CALLS[method](slack, root)
    assert len(robin.calls(method)) == before + 1


def test_a_post_whose_reply_is_lost_is_found_by_its_metadata(slack, robin):
    root = robin.say(MIXTRAL, "@mixtral Hello")
    robin.fault("drop_answer", method="chat.postMessage")
    with pytest.raises(SlackAway):
        slack.post(MIXTRAL, HELLO, thread=root, metadata=MARK)
    [_, posted] = robin.messages(MIXTRAL, root)
    assert find(slack, MIXTRAL, MARK, thread=root) == posted["ts"]
    other = {**MARK, "event_payload": {"number": "2"}}
    assert find(slack, MIXTRAL, other, thread=root) is None


def test_a_pause_that_slack_asks_for_is_not_slept_through(slack, robin):
    before = len(robin.calls("chat.postMessage"))
    robin.fault("rate_limited", method="chat.postMessage", seconds=30)
    with pytest.raises(SlackBusy) as busy:
        slack.post(MIXTRAL, HELLO)
    assert busy.value.wait == timedelta(seconds=30)
    assert len(robin.calls("chat.postMessage")) == before + 1


def test_what_must_not_be_said_twice_is_repeated_after_a_pause_only(slack):
    failures = [SlackBusy(0.01), SlackAway("The reply was lost.")]

    def call():
        raise failures.pop(0)

    with pytest.raises(SlackAway):
        ended(insisting(call, after_away=False))
    assert failures == []


def test_a_method_that_is_missing_is_remembered(slack, robin):
    robin.fault("refuse", method="assistant.threads.setStatus", error="unknown_method")
    assert slack.has("assistant.threads.setStatus")
    with pytest.raises(SlackRefused):
        slack.set_status(MIXTRAL, "1.0", "is thinking…")
    assert not slack.has("assistant.threads.setStatus")


def test_a_search_that_one_channel_refuses_leaves_the_others_readable(slack, robin):
    robin.say(MIXTRAL, "Hello")
    robin.fault("refuse", method="conversations.history", error="missing_scope")
    with pytest.raises(SlackRefused):
        find(slack, MIXTRAL, MARK)
    assert ended(reading_recent(slack, MIXTRAL))


def test_a_history_that_a_question_is_refused_is_not_asked_for_again(slack, robin):
    robin.fault("refuse", method="conversations.history", error="missing_scope")
    before = len(robin.calls("conversations.history"))
    assert [ended(reading_recent(slack, MIXTRAL)) for _ in "ab"] == [[], []]
    assert len(robin.calls("conversations.history")) == before + 1


def test_a_thread_that_one_channel_refuses_leaves_the_threads_of_others_readable(slack, robin):
    root, other = robin.say(MIXTRAL, "Hello"), robin.say(GENERAL, "Hello")
    robin.fault("refuse", method="conversations.replies", error="missing_scope")
    before = len(robin.calls("conversations.replies"))
    assert [ended(reading_thread(slack, MIXTRAL, root)) for _ in "ab"] == [None, None]
    assert len(robin.calls("conversations.replies")) == before + 1
    assert ended(reading_thread(slack, GENERAL, other))


def test_a_stream_that_one_channel_refuses_is_tried_in_the_others(slack, robin):
    root = robin.say(MIXTRAL, "@mixtral Hello")
    robin.fault("refuse", method="chat.startStream", error="channel_type_not_supported")
    with pytest.raises(SlackRefused):
        slack.start_stream(MIXTRAL, root, "T0SANDBOX01", ROBIN, "Hello")
    assert not slack.has("chat.startStream", MIXTRAL)
    assert slack.has("chat.startStream", GENERAL)


@pytest.mark.parametrize("code", ["invalid_blocks", "invalid_attachments"])
def test_blocks_and_metadata_that_slack_refuses_are_left_out(slack, robin, code):
    message = Message(text="A sentence", blocks=({"type": "divider"},))
    robin.fault("refuse", method="chat.postMessage", error=code)
    robin.fault("refuse", method="chat.postMessage", error="metadata_too_large")
    ts = slack.post(MIXTRAL, message, metadata=MARK)
    [posted] = [m for m in robin.messages(MIXTRAL) if m["ts"] == ts]
    assert posted["text"] == "A sentence"
    assert not posted.get("metadata")


def test_blocks_that_slack_refuses_at_each_update_of_a_card_make_one_line_in_the_log(slack, robin, caplog):
    message = Message(text="A sentence", blocks=({"type": "divider"},))
    ts = slack.post(MIXTRAL, message)
    for _ in range(3):
        robin.fault("refuse", method="chat.update", error="invalid_blocks")
        slack.update(MIXTRAL, ts, message)
    [line] = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "chat.update: Slack refused the blocks" in line.getMessage()
    assert "invalid_blocks" in line.getMessage()
    assert line.exc_info is None
