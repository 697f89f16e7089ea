"""The real slack_sdk and slack_bolt against the stand-in: what an app meets at Slack, it meets here."""

import contextlib
import json
import re
import threading
import time
from datetime import timedelta
from http.client import RemoteDisconnected
from typing import Any

import httpx
import pytest
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.blocks import MarkdownBlock, TaskCardBlock
from slack_sdk.models.messages.chunk import MarkdownTextChunk, TaskUpdateChunk
from slack_sdk.web import SlackResponse
from slack_sdk.webhook import WebhookClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bot.sandbox import manifest, seed
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.patience import PATIENCE
from tests.person import ADA, GENERAL, MIXTRAL, RANDOM, ROBIN, Person, Refused, words

ACK_WITHIN = 1.0
"""Seconds, in tests that wait for the end of this time. The others have Slack's 3 s, in which a busy computer acks."""
RETRY_SCALE = 0.05
CHANGES: Any = re.compile("message_(deleted|changed)")


short_acks = pytest.mark.parametrize("times", [{"ack_within": timedelta(seconds=ACK_WITHIN)}], ids=["short"])
short_streams = pytest.mark.parametrize("times", [{"stream_life": timedelta(seconds=1)}], ids=["short"])


@pytest.fixture
def times():
    """The times that a test waits for, and that are therefore shorter than Slack's."""
    return {}


@pytest.fixture
def stand_in(times):
    with start(Settings(retry_scale=RETRY_SCALE, **times)) as running:
        yield running


@pytest.fixture
def client(stand_in):
    return WebClient(seed.BOT_TOKEN, base_url=stand_in.api_url)


@pytest.fixture
def robin(stand_in):
    with Person(stand_in.url) as person:
        yield person


class Connected:
    """A Bolt app with a socket open."""

    def __init__(self, api_url, *, hears_itself=False):
        self.app = App(
            client=WebClient(seed.BOT_TOKEN, base_url=api_url),
            raise_error_for_unhandled_request=False,
            ignoring_self_events_enabled=not hears_itself,
        )
        self.handler = SocketModeHandler(self.app, seed.APP_TOKEN, ping_interval=0.5)
        self.handler.connect()

    def close(self, closing):
        """The client takes 3 s to end its threads: they end while other tests run."""
        self.handler.client.auto_reconnect_enabled = False
        closing.append(threading.Thread(target=self.handler.close))
        closing[-1].start()


@pytest.fixture(scope="module")
def closing():
    threads = []
    yield threads
    for thread in threads:
        thread.join()


@pytest.fixture
def bolt(stand_in, robin, closing):
    connected = Connected(stand_in.api_url)
    robin.wait_connected()
    yield connected.app
    connected.close(closing)


def error_of(call, *args, **kwargs):
    with pytest.raises(SlackApiError) as raised:
        call(*args, **kwargs)
    assert isinstance(raised.value.response, SlackResponse)
    return raised.value.response


# --- tokens and arguments ---------------------------------------------------


def test_auth_test_with_an_empty_json_body_tells_who_the_app_is(client):
    told = client.auth_test()
    assert (told["user_id"], told["bot_id"], told["team_id"]) == (seed.BOT_USER, seed.BOT_ID, seed.TEAM_ID)


@pytest.mark.parametrize(
    ("token", "error"),
    [("xoxb-wrong", "invalid_auth"), ("", "not_authed"), (seed.APP_TOKEN, "not_allowed_token_type")],
)
def test_a_wrong_token_opens_nothing(stand_in, token, error):
    wrong = WebClient(token, base_url=stand_in.api_url)
    assert error_of(wrong.conversations_list)["error"] == error


def test_a_bot_token_opens_no_socket(client):
    assert error_of(client.apps_connections_open, app_token=seed.BOT_TOKEN)["error"] == "not_allowed_token_type"


def test_an_unknown_method_is_named_as_such(client):
    assert error_of(client.api_call, "chat.shout")["error"] == "unknown_method"


def test_a_token_in_the_body_is_as_good_as_one_in_the_header(stand_in):
    answer = httpx.post(f"{stand_in.api_url}auth.test", data={"token": seed.BOT_TOKEN}, trust_env=False)
    assert answer.json()["ok"]


def test_messages_that_slack_refuses_are_refused_with_its_words(client):
    post = client.chat_postMessage
    assert error_of(post, channel="C0NOWHERE", text="x")["error"] == "channel_not_found"
    assert error_of(post, channel=RANDOM, text="x")["error"] == "not_in_channel"
    assert error_of(client.api_call, "chat.postMessage", json={"channel": MIXTRAL})["error"] == "no_text"
    assert error_of(post, channel=MIXTRAL, text="x" * 40_001)["error"] == "msg_too_long"
    assert error_of(post, channel=MIXTRAL, text="x", thread_ts="1.1")["error"] == "cannot_reply_to_message"
    sixty = [{"type": "divider"}] * 60
    refused = error_of(post, channel=MIXTRAL, text="x", blocks=sixty)
    assert refused["error"] == "invalid_blocks"
    assert refused["response_metadata"]["messages"] == ["[ERROR] no more than 50 items allowed [json-pointer:/blocks]"]


# --- messages ---------------------------------------------------------------


def test_a_message_is_posted_updated_and_found_again_by_its_metadata(client, robin):
    metadata = {"event_type": "card", "event_payload": {"deployment": "d-1"}}
    posted = client.chat_postMessage(channel=MIXTRAL, text="starting", metadata=metadata)
    blocks = [MarkdownBlock(text="**ready**"), TaskCardBlock(task_id="1", title="Boot", status="complete")]
    client.chat_update(channel=MIXTRAL, ts=posted["ts"], text="ready", blocks=blocks)
    plain = client.conversations_history(channel=MIXTRAL)["messages"][0]
    assert "metadata" not in plain
    found = client.conversations_history(channel=MIXTRAL, include_all_metadata=True)["messages"][0]
    assert (found["ts"], found["text"], found["metadata"]) == (posted["ts"], "ready", metadata)
    seen = robin.wait_for_message(MIXTRAL, "**ready**")
    assert seen["edited"]


def test_an_update_of_the_text_alone_removes_the_blocks(client, robin):
    divider, attachment = [{"type": "divider"}], [{"text": "beside"}]
    ts = client.chat_postMessage(channel=MIXTRAL, text="a", blocks=divider, attachments=attachment)["ts"]
    client.api_call("chat.update", json={"channel": MIXTRAL, "ts": ts, "attachments": [{"text": "new"}]})
    shown = robin.messages(MIXTRAL)[-1]
    assert (shown["text"], len(shown["blocks"]), shown["attachments"][0]["text"]) == ("a", 1, "new")
    client.chat_update(channel=MIXTRAL, ts=ts, text="b")
    shown = robin.messages(MIXTRAL)[-1]
    assert (shown["text"], shown["blocks"], shown["attachments"][0]["text"]) == ("b", [], "new")
    client.api_call("chat.update", json={"channel": MIXTRAL, "ts": ts, "blocks": divider})
    assert robin.messages(MIXTRAL)[-1]["text"] == "b"


def test_an_update_takes_more_markdown_than_text(client, robin):
    ts = client.chat_postMessage(channel=MIXTRAL, text="a")["ts"]
    at = {"channel": MIXTRAL, "ts": ts}
    assert error_of(client.chat_update, **at, text="x" * 4_001)["error"] == "msg_too_long"
    assert error_of(client.chat_update, **at, markdown_text="x" * 12_001)["error"] == "msg_too_long"
    assert error_of(client.chat_update, **at, text="x", markdown_text="x")["error"] == "markdown_text_conflict"
    client.chat_update(**at, markdown_text="x" * 12_000)
    assert robin.messages(MIXTRAL)[-1]["blocks"][0]["type"] == "markdown"
    two = [MarkdownBlock(text=text).to_dict() for text in ("x" * 6_000, "y" * 6_001)]
    assert error_of(client.chat_update, **at, text="x", blocks=two)["error"] == "invalid_blocks"
    contained = [{"type": "container", "title": {"type": "plain_text", "text": "t"}, "child_blocks": two}]
    assert error_of(client.chat_update, **at, text="x", blocks=contained)["error"] == "invalid_blocks"
    client.chat_update(**at, text="x", blocks=[MarkdownBlock(text="x" * 6_000), MarkdownBlock(text="y" * 6_000)])


def test_only_the_apps_own_messages_are_its_to_change(client, robin):
    ts = robin.say(MIXTRAL, "mine")
    assert error_of(client.chat_update, channel=MIXTRAL, ts=ts, text="x")["error"] == "cant_update_message"
    assert error_of(client.chat_delete, channel=MIXTRAL, ts=ts)["error"] == "cant_delete_message"
    assert error_of(client.chat_update, channel=MIXTRAL, ts="1.1", text="x")["error"] == "message_not_found"
    own = client.chat_postMessage(channel=MIXTRAL, text="own")["ts"]
    too_long = error_of(client.chat_update, channel=MIXTRAL, ts=own, text="x" * 4_001)
    assert too_long["error"] == "msg_too_long"
    client.chat_delete(channel=MIXTRAL, ts=own)
    assert [m["ts"] for m in robin.messages(MIXTRAL)] == [ts]


def test_a_thread_is_read_from_its_root_to_its_newest_reply(client, robin):
    root = robin.say(MIXTRAL, "who are you?")
    client.chat_postMessage(channel=MIXTRAL, thread_ts=root, text="Mixtral")
    thread = client.conversations_replies(channel=MIXTRAL, ts=root)["messages"]
    assert [m["text"] for m in thread] == ["who are you?", "Mixtral"]
    assert thread[0]["reply_count"] == 1
    assert thread[1]["parent_user_id"] == ROBIN
    assert error_of(client.conversations_replies, channel=MIXTRAL, ts="1.1")["error"] == "thread_not_found"


def test_an_ephemeral_message_is_seen_by_one_person_and_in_no_history(client, stand_in, robin):
    client.chat_postEphemeral(channel=MIXTRAL, user=ROBIN, text="psst")
    robin.wait_for_ephemeral("psst")
    with Person(stand_in.url, ADA) as ada:
        assert ada.ephemerals() == []
    assert client.conversations_history(channel=MIXTRAL)["messages"] == []
    refused = error_of(client.chat_postEphemeral, channel=MIXTRAL, user="U0NOBODY", text="x")
    assert refused["error"] == "user_not_in_channel"


def test_a_direct_message_is_opened_by_the_persons_id(client, robin):
    dm = client.conversations_open(users=[ROBIN])["channel"]["id"]
    client.chat_postMessage(channel=ROBIN, text="hello")
    assert robin.dm() == dm
    robin.wait_for_message(dm, "hello")


def test_blocks_are_validated_without_being_posted(client, robin):
    client.blocks_validate(blocks=[TaskCardBlock(task_id="1", title="Boot", status="complete")])
    refused = error_of(client.blocks_validate, message={"blocks": [{"type": "poem"}]})
    assert refused["error"] == "invalid_message"
    assert refused["errors"][0]["pointer"] == "/blocks/0/type"
    assert robin.messages(MIXTRAL) == []


# --- rates ------------------------------------------------------------------


def test_too_many_messages_in_a_channel_get_429_and_the_retry_handler_gets_through(stand_in, robin):
    impatient = WebClient(seed.BOT_TOKEN, base_url=stand_in.api_url)
    refused = None
    for n in range(20):
        try:
            impatient.chat_postMessage(channel=GENERAL, text=str(n))
        except SlackApiError as error:
            refused = error.response
            break
    assert refused is not None
    assert (refused.status_code, refused["error"], refused.headers["Retry-After"]) == (429, "ratelimited", "1")
    patient = WebClient(
        seed.BOT_TOKEN,
        base_url=stand_in.api_url,
        retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=2)],
    )
    patient.chat_postMessage(channel=GENERAL, text="at last")
    assert [c["status"] for c in robin.calls("chat.postMessage")][-2:] == [429, 200]
    impatient.chat_postMessage(channel=MIXTRAL, text="another channel has a bucket of its own")


# --- streams ----------------------------------------------------------------


def stream_into(client, thread_ts, **more):
    return client.chat_stream(
        channel=MIXTRAL,
        thread_ts=thread_ts,
        recipient_team_id=seed.TEAM_ID,
        recipient_user_id=ROBIN,
        buffer_size=1,
        **more,
    )


def test_a_stream_grows_before_the_readers_eyes_and_ends_with_blocks(client, robin):
    root = robin.say(MIXTRAL, "count")
    stream = stream_into(client, root)
    stream.append(markdown_text="one ")
    stream.append(markdown_text="two ")
    open_one = robin.wait_for_message(MIXTRAL, "one two", thread_ts=root)
    assert open_one["streaming"]
    busy = error_of(client.chat_update, channel=MIXTRAL, ts=stream.ts, text="x")
    assert busy["error"] == "streaming_state_conflict"
    stream.append(chunks=[TaskUpdateChunk(id="1", title="Counting", status="in_progress")])
    stream.append(chunks=[TaskUpdateChunk(id="1", title="Counted", status="complete"), MarkdownTextChunk(text="3")])
    stream.stop(blocks=[{"type": "divider"}])
    ended = robin.wait_for_message(MIXTRAL, lambda m: not m.get("streaming"), thread_ts=root)
    assert [b["type"] for b in ended["blocks"]] == ["markdown", "task_card", "markdown", "divider"]
    assert ended["blocks"][1]["title"] == "Counted"
    client.chat_update(channel=MIXTRAL, ts=stream.ts, text="now it may be changed")


def test_in_a_channel_only_the_asker_sees_a_stream_grow(client, stand_in, robin):
    root = robin.say(MIXTRAL, "count")
    stream = stream_into(client, root)
    stream.append(markdown_text="one ")
    stream.append(markdown_text="two ")
    robin.wait_for_message(MIXTRAL, "one two", thread_ts=root)

    def read():
        """What the Web API returns, and what another person sees."""
        told = client.conversations_replies(channel=MIXTRAL, ts=root)["messages"][-1]
        with Person(stand_in.url, ADA) as ada:
            shown = ada.messages(MIXTRAL)[-1]
        return [(m["text"], m["blocks"][0]["text"]) for m in (told, shown)]

    assert read() == [("one ", "one ")] * 2
    robin.post("/page/switch", user=ADA)
    with Person(stand_in.url, "") as page:
        assert page.messages(MIXTRAL)[-1]["text"] == "one ", "the page of whoever is chosen"
    stream.stop(markdown_text="three")
    assert read() == [("one two three", "one two three")] * 2


def test_a_workspace_may_show_streams_to_all():
    with start(Settings(streams_for_all=True)) as running, Person(running.url, ADA) as ada:
        client, root = WebClient(seed.BOT_TOKEN, base_url=running.api_url), ada.say(MIXTRAL, "count")
        stream = stream_into(client, root)
        stream.append(markdown_text="one ")
        stream.append(markdown_text="two ")
        ada.wait_for_message(MIXTRAL, "one two", thread_ts=root)


def test_one_channel_may_refuse_what_another_accepts(client, robin):
    robin.fault("refuse", method="chat.startStream", channel=MIXTRAL, error="channel_type_not_supported", count=9)
    root = robin.say(MIXTRAL, "hm")
    refused = error_of(stream_into(client, root).append, markdown_text="x")
    assert refused["error"] == "channel_type_not_supported"
    dm_root = robin.say(robin.dm(), "hm")
    client.chat_startStream(channel=robin.dm(), thread_ts=dm_root, markdown_text="x")


def test_a_stream_is_measured_in_bytes(client, robin):
    dm = robin.dm()
    started = client.chat_startStream(channel=dm, thread_ts=robin.say(dm, "hm"), markdown_text="字" * 3_500)
    at = {"channel": dm, "ts": started["ts"]}
    assert error_of(client.chat_appendStream, **at, markdown_text="字" * 34)["error"] == "msg_too_long"
    client.chat_appendStream(**at, markdown_text="x" * 100)
    assert error_of(client.chat_stopStream, **at, markdown_text="x")["error"] == "msg_too_long"


def test_a_stream_goes_to_a_person_of_the_named_team():
    with start(Settings(contents=seed.COMPANY)) as running, Person(running.url, seed.EVE) as eve:
        client, root = WebClient(seed.BOT_TOKEN, base_url=running.api_url), eve.say(seed.ACME, "hm")
        at: dict[str, Any] = {"channel": seed.ACME, "thread_ts": root, "recipient_user_id": seed.EVE}
        assert (
            error_of(client.chat_startStream, markdown_text="x", **at, recipient_team_id=seed.TEAM_ID)["error"]
            == "user_not_found"
        )
        assert (
            error_of(client.chat_startStream, markdown_text="x", **at, recipient_team_id="T0NOBODY")["error"]
            == "team_not_found"
        )
        client.chat_startStream(markdown_text="x", **at, recipient_team_id=seed.ACME_TEAM)


@short_streams
def test_a_stream_dies_of_age_however_lively_it_is(client, robin):
    root = robin.say(MIXTRAL, "talk for ever")
    stream = stream_into(client, root)
    until = time.monotonic() + 5 * PATIENCE

    def talk():
        while time.monotonic() < until:
            stream.append(markdown_text="and ")
            time.sleep(0.15)

    assert error_of(talk)["error"] == "message_not_in_streaming_state"
    assert error_of(stream.stop)["error"] == "message_not_in_streaming_state"
    robin.wait_for_message(MIXTRAL, lambda m: "and" in words(m) and not m.get("streaming"), thread_ts=root)


@short_streams
def test_a_stream_that_nobody_ends_is_seen_to_end(client, robin):
    root = robin.say(MIXTRAL, "talk")
    stream_into(client, root).append(markdown_text="well")
    robin.wait_for_message(MIXTRAL, lambda m: "well" in words(m) and not m.get("streaming"), timeout=4)


def test_a_stream_in_a_channel_needs_its_reader_named(client, robin):
    root = robin.say(MIXTRAL, "hm")
    bare = {"channel": MIXTRAL, "thread_ts": root}
    start_stream = client.chat_startStream
    assert error_of(start_stream, **bare)["error"] == "missing_recipient_team_id"
    with_team = {**bare, "recipient_team_id": seed.TEAM_ID}
    assert error_of(start_stream, **with_team)["error"] == "missing_recipient_user_id"
    named = {**with_team, "recipient_user_id": ROBIN}
    too_long = error_of(start_stream, **named, markdown_text="x" * 12_001)
    assert too_long["error"] == "msg_too_long"
    assert len(robin.messages(MIXTRAL)) == 1, "a refused stream leaves nothing behind"


def test_text_and_chunks_do_not_mix(client, robin):
    root = robin.say(MIXTRAL, "hm")
    started = client.chat_startStream(
        channel=MIXTRAL,
        thread_ts=root,
        recipient_team_id=seed.TEAM_ID,
        recipient_user_id=ROBIN,
        markdown_text="text",
    )
    at = {"channel": MIXTRAL, "ts": started["ts"]}
    chunks = [{"type": "markdown_text", "text": "x"}]
    append = client.chat_appendStream
    both = error_of(append, **at, markdown_text="x", chunks=chunks)
    assert both["error"] == "cannot_provide_both_markdown_text_and_chunks"
    assert error_of(append, **at, chunks=chunks)["error"] == "streaming_mode_mismatch"
    assert error_of(append, **at)["error"] == "no_text"
    odd = error_of(append, **at, chunks=[{"type": "song"}])
    assert odd["error"] in {"invalid_chunks", "streaming_mode_mismatch"}


# --- agent sessions ---------------------------------------------------------


def test_a_session_is_processing_until_the_app_ends_it_also_after_posts(client, robin):
    dm, root = robin.dm(), robin.say(robin.dm(), "hm")
    assert robin.session(dm, root) == ""
    client.assistant_threads_setStatus(channel_id=dm, thread_ts=root, status="is thinking…")
    client.chat_postMessage(channel=dm, thread_ts=root, text="42")
    assert robin.session(dm, root) == "processing", "a reply removes the text, and leaves the session as it is"
    told = client.agents_sessions_setStatus(channel_id=dm, thread_ts=root, status="active")
    assert (told["status"], told["agent_status"], told.get("warning")) == ("active", "active", None)
    assert robin.session(dm, root) == "active"
    client.assistant_threads_setStatus(channel_id=dm, thread_ts=root, status="is thinking…")
    client.assistant_threads_setStatus(channel_id=dm, thread_ts=root, status="")
    assert robin.session(dm, root) == "active"


def test_a_stream_makes_its_thread_process_until_it_is_stopped(client, robin):
    root = robin.say(MIXTRAL, "count")
    stream = stream_into(client, root)
    stream.append(markdown_text="one")
    assert robin.session(MIXTRAL, root) == "processing"
    stream.stop()
    assert robin.session(MIXTRAL, root) == "active"
    second = stream_into(client, root)
    second.append(markdown_text="two")
    client.chat_stopStream(channel=MIXTRAL, ts=second.ts, session_status="suspended")
    assert robin.session(MIXTRAL, root) == "suspended"


@short_streams
def test_a_stream_that_expires_leaves_its_thread_processing(client, robin):
    root = robin.say(MIXTRAL, "talk")
    stream_into(client, root).append(markdown_text="well")
    robin.wait_for_message(MIXTRAL, lambda m: "well" in words(m) and not m.get("streaming"), timeout=4)
    assert robin.session(MIXTRAL, root) == "processing"


def test_a_session_that_the_app_does_not_end_expires():
    with start(Settings(session_life=timedelta(seconds=3))) as running, Person(running.url) as robin:
        client, dm = WebClient(seed.BOT_TOKEN, base_url=running.api_url), robin.dm()
        root = robin.say(dm, "hm")
        client.agents_sessions_setStatus(channel_id=dm, thread_ts=root, status="processing")
        assert robin.session(dm, root) == "processing"
        robin.wait_for(lambda p: p.session(dm, root) == "active")


def test_the_words_of_a_status_are_not_the_words_of_a_session(client, robin):
    dm, root = robin.dm(), robin.say(robin.dm(), "hm")
    at = {"channel_id": dm, "thread_ts": root}
    refused = error_of(client.agents_sessions_setStatus, **at, status="is thinking…")
    assert refused["error"] == "invalid_arguments"
    assert refused["response_metadata"]["messages"] == ["[ERROR] must be a valid enum value [json-pointer:/status]"]
    assert error_of(client.agents_sessions_rename, **at, title="Hm")["error"] == "not_authorized"
    client.agents_sessions_setStatus(**at, status="processing", title="Numbers")
    client.agents_sessions_setStatus(**at, status="active", title="another")
    assert robin.state()["sessions"][f"{dm}:{root}"]["title"] == "Numbers"
    client.agents_sessions_rename(**at, title="Hm")
    assert robin.state()["sessions"][f"{dm}:{root}"]["title"] == "Hm"


def test_stop_ends_the_stream_and_tells_the_app_which_has_to_end_the_session(bolt, client, robin):
    heard = []

    @bolt.event("agent_session_stopped")
    def note(event):
        heard.append(event)

    root = robin.say(MIXTRAL, "count")
    stream = stream_into(client, root)
    stream.append(markdown_text="one")
    robin.press_stop(MIXTRAL, root)
    robin.wait_for(lambda _: heard)
    [event] = heard
    assert event | {"event_ts": ""} == {
        "type": "agent_session_stopped",
        "channel": MIXTRAL,
        "thread_ts": root,
        "user": ROBIN,
        "streaming_message_ts": [stream.ts],
        "event_ts": "",
    }
    assert error_of(stream.append, markdown_text=" two")["error"] == "stopped_by_user"
    assert error_of(client.chat_stopStream, channel=MIXTRAL, ts=stream.ts)["error"] == "message_not_in_streaming_state"
    assert robin.session(MIXTRAL, root) == "processing", "Slack leaves the session to the app"
    client.agents_sessions_setStatus(channel_id=MIXTRAL, thread_ts=root, status="active")
    with pytest.raises(Refused, match="not_processing"):
        robin.press_stop(MIXTRAL, root)
    assert not robin.wait_for_message(MIXTRAL, "one", thread_ts=root).get("streaming")


def test_an_app_that_does_not_subscribe_to_stop_has_no_button_and_is_warned():
    settings = Settings(subscribed=manifest.EVENTS - {"agent_session_stopped"})
    with start(settings) as running, Person(running.url) as robin:
        client, dm = WebClient(seed.BOT_TOKEN, base_url=running.api_url), robin.dm()
        root = robin.say(dm, "hm")
        told = client.agents_sessions_setStatus(channel_id=dm, thread_ts=root, status="processing")
        assert told["warning"] == "missing_agent_session_stopped_event_subscription"
        with pytest.raises(Refused, match="not_processing"):
            robin.press_stop(dm, root)


# --- slash commands ---------------------------------------------------------


def test_the_text_of_an_ack_is_seen_by_the_person_alone(bolt, robin):
    seen = []

    @bolt.command("/mixtral")
    def answer(ack, command):
        seen.append(command)
        ack("Hello *Robin*")

    assert robin.command(MIXTRAL, "/mixtral status  fast ") == {"ok": True, "acked": True}
    assert robin.wait_for_ephemeral("Hello *Robin*")["channel"] == MIXTRAL
    [command] = seen
    assert (command["text"], command["user_id"], command["channel_id"]) == ("status  fast", ROBIN, MIXTRAL)
    assert {"trigger_id", "response_url", "team_id", "channel_name", "user_name", "api_app_id"} <= set(command)


def test_an_ack_in_channel_is_seen_by_all(bolt, robin):
    bolt.command("/mixtral")(lambda ack: ack(text="to all", response_type="in_channel"))
    robin.command(MIXTRAL, "/mixtral status")
    robin.wait_for_message(MIXTRAL, "to all")


@short_acks
def test_a_command_that_nobody_acks_is_said_to_have_timed_out(bolt, robin):
    bolt.command("/mixtral")(lambda: None)
    assert robin.command(MIXTRAL, "/mixtral status") == {"ok": True, "acked": False}
    robin.wait_for_ephemeral('/mixtral failed with the error "operation_timeout"')


def test_a_command_while_nobody_is_connected_is_said_to_have_failed(robin):
    robin.command(MIXTRAL, "/mixtral status")
    robin.wait_for_ephemeral("/mixtral failed because the app did not respond")


def test_a_command_inside_a_thread_is_refused_in_slacks_own_words(robin):
    root = robin.say(MIXTRAL, "root")
    answer = robin.post("/page/send", channel=MIXTRAL, text="/mixtral status", thread_ts=root)
    assert answer == {"ok": False, "error": "/mixtral is not supported in threads. Sorry!"}


def test_a_response_url_works_five_times(bolt, robin):
    urls = []

    @bolt.command("/mixtral")
    def remember(ack, command):
        urls.append(command["response_url"])
        ack()

    robin.command(MIXTRAL, "/mixtral status")
    hook = WebhookClient(urls[0])
    assert [hook.send(text=str(n)).status_code for n in range(6)] == [200] * 5 + [404]
    robin.wait_for_ephemeral("4")
    assert len(robin.ephemerals()) == 5


# --- events -----------------------------------------------------------------


def test_a_mention_comes_as_a_message_and_as_a_mention(bolt, robin):
    heard = []
    bolt.event("message")(lambda event, body: heard.append(("message", event, body)))
    bolt.event("app_mention")(lambda event, body: heard.append(("app_mention", event, body)))
    ts = robin.say(MIXTRAL, "@mixtral fast: is 1 < 2 & <!channel>?")
    robin.wait_for(lambda _: len(heard) == 2)
    assert {kind for kind, _, _ in heard} == {"message", "app_mention"}
    for _, event, body in heard:
        assert event["ts"] == ts
        assert event["text"] == f"<@{seed.BOT_USER}> fast: is 1 &lt; 2 &amp; &lt;!channel&gt;?"
        assert body["event_id"].startswith("Ev")
        assert body["authorizations"][0]["user_id"] == seed.BOT_USER


def test_events_come_from_direct_messages_and_the_home_tab(bolt, robin):
    heard = []
    bolt.event("message")(lambda event: heard.append((event["channel_type"], event["text"])))
    bolt.event("app_home_opened")(lambda event: heard.append((event["tab"], event["user"])))
    robin.say(robin.dm(), "hello")
    robin.wait_for(lambda _: len(heard) == 1)
    robin.open_home()
    robin.wait_for(lambda _: len(heard) == 2)
    assert robin.open_dm() == robin.dm()
    robin.wait_for(lambda _: len(heard) == 3)
    assert heard == [("im", "hello"), ("home", ROBIN), ("messages", ROBIN)]


def test_the_event_of_an_edited_message_contains_the_previous_one(bolt, robin):
    heard = []

    @bolt.event({"type": "message", "subtype": "message_changed"})
    def changed(event):
        heard.append(event)

    @bolt.event("app_mention")
    def mentioned(event):
        heard.append(event)

    ts = robin.say(MIXTRAL, "helo")
    robin.edit(MIXTRAL, ts, "@mixtral hello")
    robin.wait_for(lambda _: len(heard) == 2)
    event = next(e for e in heard if e["type"] == "message")
    assert (event["channel"], event["channel_type"], event["hidden"]) == (MIXTRAL, "channel", True)
    assert event["ts"] == event["event_ts"] != ts
    assert (event["message"]["ts"], event["previous_message"]["ts"]) == (ts, ts)
    assert (event["message"]["text"], event["previous_message"]["text"]) == (f"<@{seed.BOT_USER}> hello", "helo")
    assert event["message"]["edited"]["user"] == ROBIN
    mention = next(e for e in heard if e["type"] == "app_mention")
    assert (mention["ts"], mention["edited"]["user"]) == (ts, ROBIN), "Slack repeats the mention of an edited message"


def test_a_deleted_message_is_reported_and_a_deleted_root_stays_as_a_tombstone(bolt, client, robin):
    heard = []

    @bolt.event({"type": "message", "subtype": CHANGES})
    def changed(event):
        heard.append(event)

    ts, root = robin.say(MIXTRAL, "oops"), robin.say(MIXTRAL, "hm")
    client.chat_postMessage(channel=MIXTRAL, thread_ts=root, text="42")
    robin.delete(MIXTRAL, ts)
    robin.wait_for(lambda _: len(heard) == 1)
    robin.delete(MIXTRAL, root)
    robin.wait_for(lambda _: len(heard) == 2)
    deleted, tombstone = heard
    assert (deleted["subtype"], deleted["deleted_ts"], deleted["previous_message"]["text"]) == (
        "message_deleted",
        ts,
        "oops",
    )
    assert (tombstone["subtype"], tombstone["message"]["subtype"]) == ("message_changed", "tombstone")
    assert (tombstone["message"]["ts"], tombstone["previous_message"]["text"]) == (root, "hm")
    thread = client.conversations_replies(channel=MIXTRAL, ts=root)["messages"]
    assert [m["text"] for m in thread] == ["This message was deleted.", "42"]
    with pytest.raises(Refused):
        robin.delete(MIXTRAL, root)


def test_the_app_receives_events_of_its_own_updates_and_deletions(stand_in, client, robin, closing):
    connected = Connected(stand_in.api_url, hears_itself=True)
    heard = []

    @connected.app.event({"type": "message", "subtype": CHANGES})
    def changed(event):
        heard.append(event["subtype"])

    ts = client.chat_postMessage(channel=MIXTRAL, text="a")["ts"]
    client.chat_update(channel=MIXTRAL, ts=ts, text="b")
    client.chat_delete(channel=MIXTRAL, ts=ts)
    robin.wait_for(lambda _: len(heard) == 2)
    connected.close(closing)
    assert heard == ["message_changed", "message_deleted"]


@short_acks
def test_an_event_that_is_not_acked_comes_again(bolt, robin):
    heard = []

    @bolt.event("message")
    def note(event, body):
        heard.append((body["event_id"], event["text"]))

    robin.fault("lose_ack", count=2)
    robin.say(MIXTRAL, "once")
    robin.wait_for(lambda _: len(heard) >= 3, timeout=5)
    time.sleep(ACK_WITHIN * 2)
    assert len(heard) == 3
    assert len(set(heard)) == 1, "the same event_id, so that an app can tell"
    tried = [d for d in robin.deliveries() if d["event_id"] == heard[0][0]]
    assert [(d["attempt"], d["reason"], d["acked"]) for d in tried] == [
        (0, "", False),
        (1, "timeout", False),
        (2, "timeout", True),
    ]
    at_once, later = (tried[n + 1]["at"] - tried[n]["at"] - ACK_WITHIN for n in (0, 1))
    assert at_once < 2 < 60 * RETRY_SCALE
    assert later > 60 * RETRY_SCALE


def test_a_channel_without_the_app_tells_it_nothing(bolt, robin):
    heard = []
    bolt.event("message")(lambda event: heard.append(event["text"]))
    robin.say(RANDOM, "hey @mixtral")
    robin.wait_for_ephemeral("they're not in this channel")
    robin.say(MIXTRAL, "here")
    robin.wait_for(lambda _: heard)
    assert heard == ["here"]


def test_a_dropped_socket_is_opened_anew_and_no_event_is_lost(bolt, robin):
    heard = []
    bolt.event("message")(lambda event: heard.append(event["text"]))
    robin.fault("drop_socket")
    robin.wait_for(lambda p: not p.state()["socket"]["connected"])
    robin.say(MIXTRAL, "while nobody listens")
    robin.wait_for(lambda _: heard, timeout=8)
    assert heard == ["while nobody listens"]


def test_a_refresh_lets_the_app_change_over(bolt, robin):
    opened = len(robin.calls("apps.connections.open"))
    robin.fault("refresh_socket")
    robin.wait_for(lambda p: len(p.calls("apps.connections.open")) > opened)
    robin.wait_connected()
    bolt.command("/mixtral")(lambda ack: ack("still here"))
    # The client reads from its new connection once it has let go of the old one.
    robin.wait_for(lambda p: p.command(MIXTRAL, "/mixtral status")["acked"])
    robin.wait_for_ephemeral("still here")


def test_the_sdk_opens_one_connection_for_each_whose_end_slack_announces(bolt, robin):
    opened = robin.state()["socket"]["opened"]
    robin.fault("warn_socket", seconds=30)
    robin.wait_for(lambda p: p.state()["socket"] == {"connected": 1, "opened": opened + 1})


def test_a_refreshed_connection_serves_until_its_grace_is_over(stand_in, robin):
    ticket = WebClient(seed.BOT_TOKEN, base_url=stand_in.api_url).apps_connections_open(app_token=seed.APP_TOKEN)
    with connect(ticket["url"], proxy=None) as raw:
        raw.recv(5 * PATIENCE)
        robin.fault("refresh_socket", seconds=3)
        bye = json.loads(raw.recv(5 * PATIENCE))
        assert (bye["type"], bye["reason"]) == ("disconnect", "refresh_requested")
        robin.say(MIXTRAL, "one")
        assert json.loads(raw.recv(5 * PATIENCE))["type"] == "events_api", "it is still served"
        assert all(json.loads(text)["type"] == "events_api" for text in raw), "until the connection ends"


def test_a_disabled_link_ends_at_once(stand_in, robin):
    ticket = WebClient(seed.BOT_TOKEN, base_url=stand_in.api_url).apps_connections_open(app_token=seed.APP_TOKEN)
    with connect(ticket["url"], proxy=None) as raw:
        raw.recv(5 * PATIENCE)
        robin.fault("disable_link", seconds=30)
        assert json.loads(raw.recv(5 * PATIENCE))["reason"] == "link_disabled"
        with pytest.raises(ConnectionClosed):
            raw.recv(5 * PATIENCE)


def test_the_eleventh_connection_is_one_too_many(client, robin):
    with contextlib.ExitStack() as open_ones:
        for _ in range(11):
            raw = open_ones.enter_context(
                connect(client.apps_connections_open(app_token=seed.APP_TOKEN)["url"], proxy=None)
            )
            told = json.loads(raw.recv(5 * PATIENCE))
        assert (told["type"], told["reason"]) == ("disconnect", "too_many_websockets")
        assert robin.state()["socket"]["connected"] == 10


def test_of_two_connections_each_gets_some_of_the_envelopes(stand_in, robin, closing):
    counts = [0, 0]
    apps = [Connected(stand_in.api_url) for _ in counts]

    def counter(n):
        def count(ack):
            counts[n] += 1
            ack()

        return count

    for n, connected in enumerate(apps):
        connected.app.command("/mixtral")(counter(n))
    robin.wait_for(lambda p: p.state()["socket"]["connected"] == 2)
    for _ in range(6):
        robin.command(MIXTRAL, "/mixtral status")
    for connected in apps:
        connected.close(closing)
    assert counts == [3, 3]


# --- buttons and modals -----------------------------------------------------

BUTTONS = [
    {
        "type": "actions",
        "block_id": "row",
        "elements": [
            {
                "type": "button",
                "action_id": "end",
                "text": {"type": "plain_text", "text": "End it"},
                "value": "d-1",
                "style": "danger",
            }
        ],
    }
]
MODAL = {
    "type": "modal",
    "callback_id": "scale",
    "title": {"type": "plain_text", "text": "Scale"},
    "submit": {"type": "plain_text", "text": "Go"},
    "private_metadata": "d-1",
    "blocks": [
        {
            "type": "input",
            "block_id": "count",
            "label": {"type": "plain_text", "text": "Replicas"},
            "element": {"type": "plain_text_input", "action_id": "n"},
        }
    ],
}


def test_a_press_tells_what_was_pressed_and_its_response_url_replaces_the_message(bolt, client, robin):
    pressed = []

    @bolt.action("end")
    def end(ack, body, respond):
        ack()
        pressed.append(body)
        respond(text="ended", blocks=[], replace_original=True)

    client.chat_postMessage(channel=MIXTRAL, text="card", blocks=BUTTONS)
    robin.press(robin.wait_for_message(MIXTRAL, "End it"), "end")
    robin.wait_for_message(MIXTRAL, lambda m: m["text"] == "ended" and not m["blocks"])
    [body] = pressed
    assert body["actions"][0] | {"action_ts": ""} == {
        "type": "button",
        "block_id": "row",
        "action_id": "end",
        "text": {"type": "plain_text", "text": "End it"},
        "value": "d-1",
        "style": "danger",
        "action_ts": "",
    }
    assert body["container"]["channel_id"] == MIXTRAL
    assert body["message"]["text"] == "card"


@short_acks
def test_a_press_that_nobody_acks_is_told_to_the_person(bolt, client, robin):
    client.chat_postMessage(channel=MIXTRAL, text="card", blocks=BUTTONS)
    shown = robin.wait_for_message(MIXTRAL, "End it")
    answer = robin.post(
        "/page/action",
        container="message",
        channel=MIXTRAL,
        message_ts=shown["ts"],
        block_id="row",
        action_id="end",
        action={},
    )
    assert answer == {"ok": False, "error": "We had some trouble connecting. Try again?"}


def test_an_ephemeral_button_can_delete_its_own_message(bolt, client, robin):
    @bolt.action("end")
    def end(ack, respond):
        ack()
        respond(delete_original=True)

    client.chat_postEphemeral(channel=MIXTRAL, user=ROBIN, text="card", blocks=BUTTONS)
    robin.press(robin.wait_for_ephemeral("End it"), "end")
    robin.wait_for(lambda p: not p.ephemerals())


def test_a_modal_opens_refuses_a_value_takes_another_and_closes(bolt, robin):
    submitted = []

    @bolt.command("/mixtral")
    def open_it(ack, command, client):
        ack()
        client.views_open(trigger_id=command["trigger_id"], view=MODAL)

    @bolt.view("scale")
    def check(ack, view):
        value = view["state"]["values"]["count"]["n"]["value"]
        submitted.append(value)
        ack() if value.isdigit() else ack(response_action="errors", errors={"count": "A number, please."})

    robin.command(MIXTRAL, "/mixtral scale")
    [view] = robin.wait_for(lambda p: p.modals())
    assert view["private_metadata"] == "d-1"
    assert robin.submit(view, {"count": ""})["errors"] == {"count": "Please complete this required field."}
    assert robin.submit(view, {"count": "many"}) == {"ok": False, "errors": {"count": "A number, please."}}
    assert robin.submit(view, {"count": "2"}) == {"ok": True}
    assert robin.modals() == []
    assert submitted == ["many", "2"]


def test_a_trigger_opens_one_view_only(bolt, client, robin):
    triggers = []

    @bolt.command("/mixtral")
    def remember(ack, command):
        triggers.append(command["trigger_id"])
        ack()

    robin.command(MIXTRAL, "/mixtral scale")
    client.views_open(trigger_id=triggers[0], view=MODAL)
    assert error_of(client.views_open, trigger_id=triggers[0], view=MODAL)["error"] == "exchanged_trigger_id"
    assert error_of(client.views_open, trigger_id="1.2.x", view=MODAL)["error"] == "invalid_trigger_id"
    robin.command(MIXTRAL, "/mixtral scale")
    long_title = MODAL | {"title": {"type": "plain_text", "text": "x" * 25}}
    refused = error_of(client.views_open, trigger_id=triggers[1], view=long_title)
    assert refused["error"] == "invalid_arguments"
    assert "[json-pointer:/view/title/text]" in refused["response_metadata"]["messages"][0]


def test_views_stack_three_high_and_an_old_hash_conflicts(bolt, client, robin):
    pushable = MODAL | {"blocks": [*BUTTONS, *MODAL["blocks"]], "notify_on_close": True}
    errors, closed = [], []

    @bolt.command("/mixtral")
    def open_it(ack, command):
        ack()
        client.views_open(trigger_id=command["trigger_id"], view=pushable)

    @bolt.action("end")
    def push(ack, body):
        ack()
        try:
            client.views_push(trigger_id=body["trigger_id"], view=pushable)
        except SlackApiError as error:
            errors.append(error.response["error"])

    @bolt.view_closed("scale")
    def gone(ack, body):
        ack()
        closed.append(body["is_cleared"])

    robin.command(MIXTRAL, "/mixtral scale")
    for height in (1, 2, 3):
        robin.wait_for(lambda p, height=height: len(p.modals()) == height)
        robin.press_in(robin.modals()[-1], "end")
    robin.wait_for(lambda _: errors)
    assert errors == ["push_limit_reached"]
    top = robin.modals()[-1]
    assert top["previous_view_id"] == robin.modals()[1]["id"]
    updated = client.views_update(view_id=top["id"], hash=top["hash"], view=MODAL)["view"]
    old = error_of(client.views_update, view_id=top["id"], hash=top["hash"], view=MODAL)
    assert (updated["id"], old["error"]) == (top["id"], "hash_conflict")
    robin.dismiss(robin.modals()[1])
    robin.wait_for(lambda _: closed)
    assert len(robin.modals()) == 1
    robin.press_in(robin.modals()[0], "end")
    robin.wait_for(lambda p: len(p.modals()) == 2)
    robin.post("/page/view", view_id=robin.modals()[-1]["id"], kind="clear")
    robin.wait_for(lambda p: not p.modals())
    assert closed == [False, True]


def test_the_home_tab_is_published_and_its_buttons_act(bolt, client, robin):
    acted = threading.Event()

    @bolt.action("end")
    def end(ack, body):
        ack()
        assert body["view"]["type"] == "home"
        acted.set()

    client.views_publish(user_id=ROBIN, view={"type": "home", "blocks": BUTTONS})
    home = robin.wait_for(lambda p: p.home())
    robin.press_in(home, "end")
    assert acted.wait(3 * PATIENCE)


# --- status, prompts, faults ------------------------------------------------


def test_a_status_stands_until_the_answer_comes(client, robin):
    root = robin.say(robin.dm(), "hm")
    dm = robin.dm()
    client.assistant_threads_setStatus(channel_id=dm, thread_ts=root, status="is thinking…")
    assert robin.state()["statuses"] == {f"{dm}:{root}": "is thinking…"}
    client.assistant_threads_setSuggestedPrompts(
        channel_id=dm, thread_ts=root, prompts=[{"title": "Condiments", "message": "Name three."}]
    )
    assert robin.state()["suggested_prompts"][f"{dm}:{root}"][0]["title"] == "Condiments"
    client.chat_postMessage(channel=dm, thread_ts=root, text="42")
    assert robin.state()["statuses"] == {}


def test_the_stand_in_fails_on_request(client, robin):
    robin.fault("refuse", method="chat.*", error="fatal_error")
    assert error_of(client.chat_postMessage, channel=MIXTRAL, text="x")["error"] == "fatal_error"
    robin.fault("http_500", method="chat.postMessage")
    assert error_of(client.chat_postMessage, channel=MIXTRAL, text="x").status_code == 500
    robin.fault("rate_limited", method="chat.postMessage", seconds=7)
    limited = error_of(client.chat_postMessage, channel=MIXTRAL, text="x")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    robin.fault("lose_answer", method="chat.postMessage")
    assert error_of(client.chat_postMessage, channel=MIXTRAL, text="done").status_code == 500
    robin.wait_for_message(MIXTRAL, "done")
    robin.fault("drop_answer", method="chat.postMessage")
    once = WebClient(seed.BOT_TOKEN, base_url=client.base_url, retry_handlers=[])
    with pytest.raises(RemoteDisconnected):
        once.chat_postMessage(channel=MIXTRAL, text="done, and the connection ended")
    robin.wait_for_message(MIXTRAL, "done, and the connection ended")
    robin.fault("delay", method="auth.test", seconds=0.3)
    before = time.monotonic()
    client.auth_test()
    assert time.monotonic() - before >= 0.3
    robin.fault("refuse", method="auth.test", count=5)
    robin.clear_faults()
    client.auth_test()


def test_a_stream_can_be_made_to_die(client, robin):
    root = robin.say(MIXTRAL, "talk")
    stream = stream_into(client, root)
    stream.append(markdown_text="well")
    robin.fault("stream_dies")
    with pytest.raises(SlackApiError, match="message_not_in_streaming_state"):
        stream.append(markdown_text="er")


# --- a company's workspace ----------------------------------------------------


@pytest.fixture
def company(closing):
    """A stand-in of a company, and an app that is connected to it."""
    settings = Settings(contents=seed.COMPANY, rate_scale=0)
    with start(settings) as running, Person(running.url) as robin:
        connected = Connected(running.api_url)
        robin.wait_connected()
        yield robin, connected.app
        connected.close(closing)


def test_an_answer_reaches_a_direct_message_of_two_people_by_its_response_url_alone(company):
    robin, bolt = company
    heard = []

    @bolt.command("/mixtral")
    def answer(ack, command, client, respond):
        ack()
        heard.append(error_of(client.chat_postMessage, channel=command["channel_id"], text="x")["error"])
        respond("to you", response_type="in_channel")

    bolt.event("message")(lambda event: heard.append(event["text"]))
    robin.command(seed.PAIR, "/mixtral status")
    robin.wait_for_message(seed.PAIR, "to you")
    assert heard == ["channel_not_found"], "and no event of the app's own answer"


def test_bolt_distinguishes_a_person_of_another_company(company):
    robin, bolt = company
    actors = {}

    @bolt.event("message")
    def of_message(context):
        actors["message"] = (context.actor_team_id, context.team_id)

    @bolt.event("app_mention")
    def of_mention(context):
        actors["app_mention"] = (context.actor_team_id, context.team_id)

    with Person(robin.url, seed.EVE) as eve:
        eve.say(seed.ACME, "@mixtral hello")
    robin.wait_for(lambda _: len(actors) == 2)
    assert set(actors.values()) == {(seed.ACME_TEAM, seed.TEAM_ID)}


def test_a_message_shortcut_opens_a_modal_also_where_the_app_is_not(company):
    robin, bolt = company
    seen = []

    @bolt.shortcut("ask_about_message")
    def shown(ack, shortcut, client):
        ack()
        client.views_open(trigger_id=shortcut["trigger_id"], view=MODAL)
        seen.append(shortcut)

    ts = robin.say(seed.RANDOM, "Mayonnaise is a dressing.")
    robin.shortcut({"channel": seed.RANDOM, "ts": ts})
    robin.wait_for(lambda p: p.modals() and seen)
    [body] = seen
    assert (body["type"], body["message_ts"], body["channel"]["id"]) == ("message_action", ts, seed.RANDOM)
    assert body["message"]["text"] == "Mayonnaise is a dressing."
    assert WebhookClient(body["response_url"]).send(text="for you", response_type="ephemeral").status_code == 200
    robin.wait_for_ephemeral("for you", channel=seed.RANDOM)
    about = {"channel": seed.RANDOM, "message_ts": ts}
    assert robin.post("/page/shortcuts", **about, callback_id="other")["error"] == "shortcut_not_found"
    assert robin.state()["shortcuts"][0]["callback_id"] == "ask_about_message"


def test_a_channel_with_a_new_id_is_announced(company):
    robin, bolt = company
    ids, urls = [], []
    bolt.event("channel_id_changed")(lambda event: ids.append((event["old_channel_id"], event["new_channel_id"])))

    @bolt.command("/mixtral")
    def remember(ack, command):
        urls.append(command["response_url"])
        ack()

    robin.command(MIXTRAL, "/mixtral status")
    robin.administer("move", channel=MIXTRAL, to="C0MOVED0001")
    robin.wait_for(lambda _: ids)
    assert ids == [(MIXTRAL, "C0MOVED0001")]
    assert WebhookClient(urls[0]).send(text="still here").status_code == 200
    robin.wait_for_ephemeral("still here", channel="C0MOVED0001")


@pytest.mark.parametrize("error", ["account_inactive", "token_revoked"])
def test_an_app_that_is_uninstalled_is_notified_and_every_call_is_refused(company, error):
    robin, bolt = company
    told = []
    bolt.event("app_uninstalled")(lambda: told.append("app_uninstalled"))
    bolt.event("tokens_revoked")(lambda event: told.append(event["tokens"]["bot"]))
    robin.administer("uninstall", error=error)
    robin.wait_for(lambda _: len(told) == 2)
    assert "app_uninstalled" in told
    assert [seed.BOT_USER] in told
    assert robin.state()["socket"]["connected"] == 0
    client = WebClient(seed.BOT_TOKEN, base_url=bolt.client.base_url)
    assert error_of(client.auth_test)["error"] == error
    assert error_of(client.chat_postMessage, channel=MIXTRAL, text="x")["error"] == error
    assert error_of(client.apps_connections_open, app_token=seed.APP_TOKEN)["error"] == error
    assert not robin.post("/page/send", channel=MIXTRAL, text="/mixtral status")["ok"]
    robin.administer("install")
    client.auth_test()
