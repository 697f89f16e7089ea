"""The stand-in's answers and events have the keys and types of Slack's own, as recorded and documented."""

import ast
import inspect
import json
import re
import threading
from contextlib import ExitStack
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bot.sandbox import seed
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.patience import PATIENCE
from tests.person import MIXTRAL, RANDOM, ROBIN, Person
from tests.slack_shapes import READ, differences, keys_of, rows, shapes

BOT = Path(__file__).parents[2] / "bot"
MANIFEST = BOT / "manifest.json"
WITHOUT_SLACK = ("sandbox", "views", "cli", "settings.py")
"""Folders and modules that read nothing that Slack sends."""
NOT_OF_SLACK = {
    "of an engine": {"aliases", "count", "data", "max_model_len", "meta", "n_ctx", "prompt", "return_value"},
    "of blocks, which are as the app sent them": {"block_id", "code", "elements", "indent", "language", "style", "url"},
    "of files and forwarded messages, whose content is not described": {"author_name", "author_subname", "fallback"}
    | {
        "is_external",
        "is_msg_unfurl",
        "is_share",
        "message_blocks",
        "mimetype",
        "mode",
        "plain_text",
        "size",
        "title",
        "url_private",
    },
    "of the values of a form, which are as its elements are": {
        "selected_date_time",
        "selected_option",
        "selected_options",
    },
    "of a header": {"content-encoding", "content-length", "content-type", "location", "retry-after", "x-oauth-scopes"}
    | {"x-slack-request-timestamp", "x-slack-signature"},
    "of a form": {"payload"},
    "of metadata, which is as the app sent it": {"question", "replaces"},
}
"""Keys that the product reads of other objects than Slack's answers and events."""

BUTTON = {"type": "button", "action_id": "b", "text": {"type": "plain_text", "text": "Press"}, "value": "v"}
INPUT = {
    "type": "input",
    "block_id": "i",
    "label": {"type": "plain_text", "text": "N"},
    "element": {"type": "plain_text_input", "action_id": "n"},
}
MODAL = {
    "type": "modal",
    "callback_id": "c",
    "notify_on_close": True,
    "title": {"type": "plain_text", "text": "T"},
    "submit": {"type": "plain_text", "text": "S"},
    "blocks": [INPUT],
}
HOME = {"type": "home", "blocks": [{"type": "actions", "block_id": "a", "elements": [BUTTON]}]}
METADATA = {"event_type": "e", "event_payload": {"a": "b"}}


class Played:
    """A stand-in with an app that calls every method and receives every event; answers and payloads are recorded."""

    def __init__(self, stand_in):
        self.seen = {}
        self.web = WebClient(seed.BOT_TOKEN, base_url=stand_in.api_url)
        self.robin = Person(stand_in.url)
        opened = WebClient(base_url=stand_in.api_url).apps_connections_open(app_token=seed.APP_TOKEN)
        self.keep("apps.connections.open", opened.data)
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(opened["url"]))
        self._came = threading.Condition()
        threading.Thread(target=self._receive, daemon=True).start()
        self.robin.wait_connected()

    def keep(self, name, said):
        self.seen.setdefault(name, []).append(said)
        return said

    def call(self, method, **arguments):
        return self.keep(method, self.web.api_call(method, json=arguments).data)

    def refused(self, method, **arguments):
        try:
            self.call(method, **arguments)
        except SlackApiError as refused:
            self.keep(method, refused.response.data)

    def last(self, name):
        """The last event or payload of this name; waits for the first one."""
        with self._came:
            assert self._came.wait_for(lambda: name in self.seen, 10 * PATIENCE), f"no {name} among {sorted(self.seen)}"
        return self.seen[name][-1]

    def _receive(self):
        try:
            for text in self._socket:
                said = json.loads(text)
                with self._came:
                    for name, value in named(said):
                        self.keep(name, value)
                    self._came.notify_all()
                if "envelope_id" in said:
                    self._socket.send(json.dumps({"envelope_id": said["envelope_id"]}))
        except ConnectionClosed:
            pass

    def close(self):
        self._open.close()
        self.robin.close()


def named(said):
    """What came on the socket, with its names."""
    if "envelope_id" not in said:
        yield f"socket {said['type']}", said
        return
    payload = said["payload"]
    yield "socket envelope", said | {"payload": {}}
    if said["type"] == "events_api":
        event = payload["event"]
        yield " ".join(filter(None, ("event", event["type"], event.get("subtype")))), payload
    else:
        yield payload.get("type") or said["type"], payload


def play(played):
    """Every method that the product calls, and every event and payload that it listens to, at least once."""
    call, robin = played.call, played.robin
    call("auth.test")
    call("conversations.info", channel=MIXTRAL)
    call("conversations.members", channel=seed.OPS)
    call("team.info", team=seed.TEAM_ID)
    call("usergroups.users.list", usergroup=next(iter(seed.USER_GROUPS)))
    call("conversations.open", users=ROBIN)
    posted = call("chat.postMessage", channel=MIXTRAL, text="x", blocks=HOME["blocks"], metadata=METADATA)["ts"]
    call("chat.postMessage", channel=MIXTRAL, markdown_text="**x**", thread_ts=posted)
    call("chat.update", channel=MIXTRAL, ts=posted, text="y", blocks=HOME["blocks"])
    call("chat.getPermalink", channel=MIXTRAL, message_ts=posted)
    call("chat.postEphemeral", channel=MIXTRAL, user=ROBIN, text="x")
    asked = robin.say(seed.DM_ROBIN, "What is a payload?")
    call("assistant.threads.setStatus", channel_id=seed.DM_ROBIN, thread_ts=asked, status="is thinking…")
    to = {"recipient_team_id": seed.TEAM_ID, "recipient_user_id": ROBIN}
    streamed = call("chat.startStream", channel=seed.DM_ROBIN, thread_ts=asked, markdown_text="a", **to)["ts"]
    call("chat.appendStream", channel=seed.DM_ROBIN, ts=streamed, markdown_text="b")
    call("chat.stopStream", channel=seed.DM_ROBIN, ts=streamed, metadata=METADATA)
    call("views.publish", user_id=ROBIN, view=HOME)
    call("blocks.validate", view=HOME)
    played.refused("blocks.validate", message={"blocks": [{"type": "section"}]})
    call("agents.sessions.setStatus", channel_id=seed.DM_ROBIN, thread_ts=asked, status="processing")
    robin.press_stop(seed.DM_ROBIN, asked)
    robin.event("app_uninstalled")
    robin.event("channel_id_changed", old_channel_id=RANDOM, new_channel_id="C0NEW000001")
    robin.event("tokens_revoked", tokens={"oauth": [], "bot": [seed.BOT_USER]})
    happen(played, posted)
    visit(played)
    call("conversations.history", channel=MIXTRAL, include_all_metadata=True)
    call("conversations.replies", channel=MIXTRAL, ts=posted, include_all_metadata=True)
    call("chat.delete", channel=MIXTRAL, ts=posted)
    for method in sorted(called()):
        if method != "apps.connections.open":
            played.refused(method)
    robin.fault("refresh_socket")
    played.last("socket disconnect")


def happen(played, posted):
    """What people do."""
    robin = played.robin
    robin.say(MIXTRAL, "@mixtral hello")
    robin.say(MIXTRAL, "@mixtral and now?", thread_ts=posted)
    said = robin.say(MIXTRAL, "one")
    robin.edit(MIXTRAL, said, "@mixtral two")
    robin.delete(MIXTRAL, said)
    log = {"name": "a.log", "content": b"x"}
    uploaded = robin.upload(MIXTRAL, log, text="@mixtral why?")
    robin.forward(MIXTRAL, MIXTRAL, uploaded, text="@mixtral and this?", thread_ts=posted)
    robin.upload(MIXTRAL, log, thread_ts=posted)
    robin.open_home()
    robin.command(MIXTRAL, "/mixtral status")
    robin.press(next(m for m in robin.messages(MIXTRAL) if m["ts"] == posted), "b")
    for message in robin.messages(MIXTRAL):
        robin.shortcut(message) if message["user"] == ROBIN else None
    for end in ("dismiss", "submit"):
        played.call("views.open", trigger_id=played.last("block_actions")["trigger_id"], view=MODAL)
        [view] = robin.modals()
        played.call("views.update", view_id=view["id"], view=MODAL, hash=view["hash"])
        [view] = robin.modals()
        robin.dismiss(view) if end == "dismiss" else robin.submit(view, {"i": "2"})
        robin.press_in(robin.home(), "b")
    for name in listened():
        played.last(name) if not left_out(name) else None


def visit(played):
    """The other kinds of channels, and people of other teams."""
    for channel in seed.COMPANY.channels:
        if channel.id != seed.PAIR:
            played.call("conversations.info", channel=channel.id)
    played.call("conversations.list", types="public_channel,private_channel,mpim,im")
    for user in seed.COMPANY.people:
        played.call("users.info", user=user.id)
    with Person(played.robin.url, seed.EVE) as eve, Person(played.robin.url, seed.GRID) as grid:
        for person, place in ((eve, seed.ACME), (grid, seed.MIXTRAL)):
            played.call("chat.postMessage", channel=place, text="x", blocks=HOME["blocks"])
            person.say(place, "@mixtral hello")
            person.command(place, "/mixtral status")
            person.press(next(m for m in person.messages(place) if m["blocks"] and m.get("bot_id")), "b")
            played.call("views.open", trigger_id=played.last("block_actions")["trigger_id"], view=MODAL)
            [view] = person.modals()
            person.submit(view, {"i": "2"})


@pytest.fixture(scope="module")
def seen():
    with start(Settings(rate_scale=1000, contents=seed.COMPANY)) as stand_in:
        played = Played(stand_in)
        try:
            play(played)
        finally:
            played.close()
    return {name: {key for said in all_said for key in keys_of(name, said)} for name, all_said in played.seen.items()}


# --- what the product uses ----------------------------------------------------


@cache
def modules():
    return {
        str(file.relative_to(BOT.parent)): ast.parse(file.read_text(encoding="utf-8"))
        for file in sorted(BOT.rglob("*.py"))
        if not set(file.relative_to(BOT).parts) & set(WITHOUT_SLACK)
    }


@cache
def methods_of_sdk():
    """Methods of the Web API by the name of the SDK's function."""
    found = {}
    for name, function in inspect.getmembers(WebClient, inspect.isfunction):
        if not name.startswith("_") and (named := re.findall(r'api_call\(\s*"([\w.]+)"', inspect.getsource(function))):
            found[name] = named[-1]
    return found


def called():
    """The methods of the Web API that the product names or calls by the SDK."""
    known = methods_of_sdk()
    found = set()
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in known:
                found.add(known[node.attr])
            if isinstance(node, ast.Constant) and node.value in known.values():
                found.add(node.value)
    return found


def listened():
    """The events, payloads and message subtypes that the product listens to, and those that its manifest orders."""
    found = {"slash_commands", "block_actions", "message_action", "view_submission"}
    subtypes = {name.split()[2] for name in {key.name for key in shapes()} if name.startswith("event message ")}
    ordered = json.loads(MANIFEST.read_text(encoding="utf-8"))["settings"]["event_subscriptions"]["bot_events"]
    found |= {f"event {event.partition('.')[0]}" for event in ordered}
    for node in ast.walk(modules()["bot/listeners.py"]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in subtypes:
            found.add(f"event message {node.value}")
    for node in chain.from_iterable(ast.walk(tree) for tree in modules().values()):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "event":
            found |= {f"event {given.value!s}" for given in node.args if isinstance(given, ast.Constant)}
    return found


def read():
    """The keys that the product reads by a constant."""
    found = set()
    for node in chain.from_iterable(ast.walk(tree) for tree in modules().values()):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=ast.Load()):
                found.add(key)
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(key)), *_]):
                found.add(key)
            case ast.MatchMapping(keys=keys):
                found |= {str(key.value) for key in keys if isinstance(key, ast.Constant)}
            case _:
                pass
    return found


def left_out(name, path=""):
    return any(difference.covers("not sent", name, path) for difference in differences())


# --- the contract -------------------------------------------------------------


def test_each_method_event_and_payload_of_the_product_is_held_against_its_shape(seen):
    known = {key.name for key in shapes()}
    assert {"event app_mention", "event message", "event app_home_opened"} <= listened()
    assert "chat.postMessage" in called()
    assert (called() | listened()) - known == set(), "neither recorded nor documented"
    assert {name for name in called() | listened() if name not in seen and not left_out(name)} == set(), "not played"


def test_the_stand_in_sends_no_key_and_no_type_that_slack_does_not(seen):
    known = shapes()
    invented = {key for keys in seen.values() for key in keys} - known
    unexplained = [
        key for key in sorted(invented) if not any(d.covers("sent", key.name, key.path) for d in differences())
    ]
    assert unexplained == []


def test_each_key_that_the_product_reads_is_slacks_and_is_sent_by_the_stand_in(seen):
    known = {(key.name, key.path) for key in shapes()}
    missing = []
    for row in rows(READ):
        name, path = row["name"], row["path"]
        if (name, path) not in known and not any(d.covers("read", name, path) for d in differences()):
            missing.append(f"{name} {path}: neither recorded nor documented")
        if path not in {key.path for key in seen.get(name, ())} and not left_out(name, path) and not left_out(name):
            missing.append(f"{name} {path}: not sent by the stand-in")
    assert missing == []


def test_each_key_that_the_product_reads_is_listed():
    listed = {row["path"].rpartition(".")[2].removesuffix("[]") for row in rows(READ)}
    others = set().union(*NOT_OF_SLACK.values())
    assert read() - listed - others == set(), "read, and not listed in read.csv"
    by_loop = {"user_id", "bot_id"}  # of auth.test
    assert (listed | others) - read() - by_loop == set(), "listed, and not read any more"


def test_each_difference_exists_and_has_a_reason(seen):
    sent = [key for keys in seen.values() for key in keys if key not in shapes()]
    known = {(key.name, key.path) for key in shapes()}
    asked = [(row["name"], row["path"]) for row in rows(READ)]
    paths = {name: {key.path for key in keys} for name, keys in seen.items()}
    unsent = [(n, p) for n, p in asked if p not in paths.get(n, ())] + [(n, "") for n in listened() if n not in seen]
    unused = [
        d
        for d in differences()
        if not (
            any(d.covers("sent", key.name, key.path) for key in sent)
            or any(d.covers("read", *one) for one in asked if one not in known)
            or any(d.covers("not sent", *one) for one in unsent)
        )
    ]
    assert unused == []
    assert [d for d in differences() if len(d.reason.split()) < 4] == []
