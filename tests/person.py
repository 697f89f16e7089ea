"""A person at the sandbox's page: types commands, presses buttons, submits modals, and waits for messages."""

import base64
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.patience import PATIENCE

JSON = dict[str, Any]
T = TypeVar("T")

ROBIN = "U0ROBIN0001"
ADA = "U0ADA000001"
NOOR = "U0NOOR00001"
GENERAL = "C0GENERAL01"
MIXTRAL = "C0MIXTRAL01"
RANDOM = "C0RANDOM001"

SHOWN_WITHIN = 8.0
"""Seconds after which a person no longer waits for a question: Slack's answers may be late, and a fallback follows."""


class Refused(AssertionError):
    """The page's API refused the call."""


class Person:
    """A user of the sandbox, through the page's API. A context manager."""

    def __init__(self, base_url: str, user_id: str = ROBIN, *, poll: float = 0.05) -> None:
        self.user = user_id
        self.url = base_url
        self._poll = poll
        self._http = httpx.Client(base_url=base_url, timeout=15.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def state(self) -> JSON:
        """The page's snapshot of the workspace."""
        snapshot: JSON = self._http.get("/page/state", params={"user": self.user}).raise_for_status().json()
        return snapshot

    def post(self, path: str, **body: Any) -> JSON:
        """Post to the page's API as this person; returns the answer, ok or not."""
        answer: JSON = self._http.post(path, json={"user": self.user, **body}).json()
        return answer

    def _must(self, path: str, **body: Any) -> JSON:
        answer = self.post(path, **body)
        if not answer["ok"]:
            raise Refused(f"{path} {body} -> {answer}")
        return answer

    # --- actions ------------------------------------------------------------

    def command(self, channel: str, text: str) -> JSON:
        """Type a slash command. Returns {ok, acked} when it is acknowledged, or after 3 s."""
        return self._must("/page/send", channel=channel, text=text)

    def end(self, channel: str, name: str) -> JSON:
        """Type `/mixtral down NAME`, and press the button of the question. Returns {ok, acked, pressed}.

        Not acked: no modal opened and nothing was said, a button asks instead, or the modal shows why the end was not
        stored.
        """
        before = len(self.ephemerals(channel))
        typed = self.command(channel, f"/mixtral down {name}")
        until = time.monotonic() + SHOWN_WITHIN
        while not (self.modals() or self.ephemerals(channel)[before:]):
            if not typed["acked"] or time.monotonic() > until:
                return typed | {"acked": False, "pressed": False}
            time.sleep(0.05)
        for view in self.modals():
            if view["callback_id"] == "end_deployment" and view["title"]["text"].rstrip("…") in f"End {name}?":
                done = self.submit(view, {})
                failed = [shown for shown in self.modals() if shown["id"] == view["id"]]  # it shows the cause instead
                for shown in failed:
                    self.dismiss(shown)
                return typed | {"acked": typed["acked"] and done["ok"] and not failed, "pressed": True}
        unasked = [
            m for m in self.ephemerals(channel)[before:] if any(b["type"] == "actions" for b in m.get("blocks") or ())
        ]
        return typed | {"acked": typed["acked"] and not unasked, "pressed": False}

    def say(self, channel: str, text: str, thread_ts: str | None = None, *, age: float = 0.0) -> str:
        """Post a message (a name such as @mixtral becomes a mention). Returns its ts.

        `age`: seconds before Slack tells the app of it.
        """
        ts: str = self._must("/page/send", channel=channel, text=text, thread_ts=thread_ts, age=age)["ts"]
        return ts

    def upload(self, channel: str, *files: JSON, text: str = "", thread_ts: str | None = None) -> str:
        """Upload files with a message, and return its ts. A file: {name, content (bytes), …}, as for the page's API."""
        sent = [file | {"content": base64.b64encode(file.get("content", b"")).decode()} for file in files]
        ts: str = self._must("/page/files", channel=channel, files=sent, text=text, thread_ts=thread_ts)["ts"]
        return ts

    def forward(self, channel: str, source: str, ts: str, *, text: str = "", thread_ts: str | None = None) -> str:
        """Forward a message of another channel, with a comment. Returns the ts of the new message."""
        shared = {"channel": source, "ts": ts}
        made: str = self._must("/page/forward", channel=channel, shared=shared, text=text, thread_ts=thread_ts)["ts"]
        return made

    def edit(self, channel: str, ts: str, text: str) -> None:
        """Change the text of an own message."""
        self._must("/page/edit", channel=channel, ts=ts, text=text)

    def delete(self, channel: str, ts: str) -> None:
        """Delete an own message."""
        self._must("/page/delete", channel=channel, ts=ts)

    def press(self, message: JSON, action_id: str, block_id: str | None = None, **chosen: Any) -> JSON:
        """Act on an element of a message; `chosen` as selected_option={…} for a select."""
        block = block_id or _block_of(message["blocks"], action_id)
        return self._must(
            "/page/action",
            container="message",
            channel=message["channel"],
            message_ts=message["ts"],
            block_id=block,
            action_id=action_id,
            action=chosen,
        )

    def press_in(
        self, view: JSON, action_id: str, block_id: str | None = None, values: JSON | None = None, **chosen: Any
    ) -> JSON:
        """Act on an element of a modal or of the Home tab. `values`: of all inputs, as `filled` returns them."""
        block = block_id or _block_of(view["blocks"], action_id)
        return self._must(
            "/page/action",
            container="home" if view["type"] == "home" else "view",
            state={"values": values or {}},
            view_id=view["id"],
            block_id=block,
            action_id=action_id,
            action=chosen,
        )

    def shortcut(self, message: JSON, callback_id: str = "ask_about_message") -> JSON:
        """Choose a shortcut of the app in the menu of a message."""
        return self._must(
            "/page/shortcuts", channel=message["channel"], message_ts=message["ts"], callback_id=callback_id
        )

    def submit(self, view: JSON, values: JSON) -> JSON:
        """Submit a modal. The answer may contain {errors: {block_id: sentence}}.

        `values` is {block_id: {action_id: {type, value | selected_option | …}}}, or short
        {block_id: "text"} for a text input.
        """
        return self.post("/page/view", view_id=view["id"], kind="submit", values=_values(view, values))

    def dismiss(self, view: JSON) -> JSON:
        return self._must("/page/view", view_id=view["id"], kind="close")

    def open_home(self) -> None:
        self._must("/page/home")

    def open_dm(self) -> str:
        """Open the bot's Messages tab. Returns the channel's id."""
        channel: str = self._must("/page/dm")["channel"]
        return channel

    def press_stop(self, channel: str, thread_ts: str) -> None:
        """Press the Stop button that a thread has while the app works in it."""
        self._must("/page/stop", channel=channel, thread_ts=thread_ts)

    def request_url(self, url: str, secret: str) -> None:
        """Let Slack deliver over HTTP, signed with the app's secret."""
        answer = self._http.post("/sandbox/request_url", json={"url": url, "secret": secret}).json()
        if not answer["ok"]:
            raise Refused(f"/sandbox/request_url {url} -> {answer}")

    def fault(self, kind: str, **how: Any) -> None:
        """Make the stand-in fail: see `bot.sandbox.faults`."""
        self._fault({"kind": kind, **how})

    def _fault(self, body: JSON) -> None:
        answer = self._http.post("/sandbox/faults", json=body).json()
        if not answer["ok"]:
            raise Refused(f"/sandbox/faults {body} -> {answer}")

    def event(self, kind: str, **fields: Any) -> None:
        """Make the stand-in send an event that no action of a person causes."""
        self._http.post("/sandbox/event", json={"type": kind, **fields}).raise_for_status()

    def clear_faults(self) -> None:
        self._http.delete("/sandbox/faults").raise_for_status()

    def administer(self, what: str, **how: Any) -> JSON:
        """Change the workspace as an administrator does: see `bot.sandbox.administration`."""
        answer: JSON = self._http.post(f"/sandbox/{what}", json=how).json()
        if not answer["ok"]:
            raise Refused(f"/sandbox/{what} {how} -> {answer}")
        return answer

    # --- what is visible ----------------------------------------------------

    def messages(self, channel: str, thread_ts: str | None = None) -> list[JSON]:
        """All messages of a channel, with replies, or of one thread; without ephemeral messages."""
        return [
            m
            for m in self.state()["messages"][channel]
            if not m.get("ephemeral_to") and thread_ts in (None, m.get("thread_ts"), m["ts"])
        ]

    def ephemerals(self, channel: str | None = None) -> list[JSON]:
        """The ephemeral messages to this person, oldest first."""
        listed = self.state()["messages"]
        return [
            m for name in ([channel] if channel else listed) for m in listed[name] if m.get("ephemeral_to") == self.user
        ]

    def modals(self) -> list[JSON]:
        stack: list[JSON] = self.state()["modals"][self.user]
        return stack

    def home(self) -> JSON | None:
        view: JSON | None = self.state()["homes"][self.user]
        return view

    def dm(self) -> str:
        """The channel id of this person's direct message with the bot."""
        return next(str(c["id"]) for c in self.state()["channels"] if c["is_bot_im"] and self.user in c["members"])

    def session(self, channel: str, thread_ts: str) -> str:
        """The status of a thread's agent session: "processing", "active", …; "" if there is none."""
        session: JSON = self.state()["sessions"].get(f"{channel}:{thread_ts}", {})
        return str(session.get("status", ""))

    def deliveries(self) -> list[JSON]:
        """The attempts to deliver events to the app, oldest first: {event_id, ts, attempt, reason, acked, at}."""
        made: list[JSON] = self._http.get("/sandbox/deliveries").raise_for_status().json()
        return made

    def calls(self, method: str | None = None) -> list[JSON]:
        """The app's Web API calls, oldest first."""
        made: list[JSON] = self._http.get("/sandbox/calls").raise_for_status().json()
        return [call for call in made if method in (None, call["method"])]

    # --- waiting ------------------------------------------------------------

    def wait_for(self, predicate: Callable[["Person"], T | None], timeout: float = 10.0) -> T:
        """Poll until `predicate(person)` returns a truthy value, and return that value.

        Raises:
            AssertionError: after `timeout` seconds, with the last messages that were to be seen.
        """
        until = time.monotonic() + timeout * PATIENCE
        while True:
            seen = predicate(self)
            if seen:
                return seen
            if time.monotonic() > until:
                raise AssertionError(f"not seen in {timeout} s; last seen:\n{self._last_seen()}")
            time.sleep(self._poll)

    def wait_connected(self, timeout: float = 15.0) -> None:
        """Wait until the app has an open socket."""
        self.wait_for(lambda p: p.state()["socket"]["connected"] > 0, timeout)

    def wait_disconnected(self, timeout: float = 15.0) -> None:
        """Wait until the app has no socket: that of an app that has just ended would be taken for the next one's."""
        self.wait_for(lambda p: p.state()["socket"]["connected"] == 0, timeout)

    def wait_for_message(
        self,
        channel: str,
        where: Callable[[JSON], bool] | str,
        *,
        thread_ts: str | None = None,
        timeout: float = 10.0,
    ) -> JSON:
        """Wait for a message. `where`: a predicate, or text that the message contains."""
        return self._wait_among(lambda: self.messages(channel, thread_ts), where, timeout)

    def wait_for_ephemeral(
        self, where: Callable[[JSON], bool] | str, *, channel: str | None = None, timeout: float = 10.0
    ) -> JSON:
        return self._wait_among(lambda: self.ephemerals(channel), where, timeout)

    def _wait_among(self, among: Callable[[], list[JSON]], where: Callable[[JSON], bool] | str, timeout: float) -> JSON:
        fits = (lambda m: where in words(m)) if isinstance(where, str) else where
        return self.wait_for(lambda _: next((m for m in reversed(among()) if fits(m)), None), timeout)

    def _last_seen(self) -> str:
        state = self.state()
        everything = [m for listed in state["messages"].values() for m in listed]
        everything.sort(key=lambda m: str(m["ts"]))
        told = [
            f"  {m['channel']} {m['ts']} {'(only for ' + m['ephemeral_to'] + ') ' if m.get('ephemeral_to') else ''}"
            f"{words(m)[:300]!r}"
            for m in everything[-8:]
        ]
        return "\n".join([f"  sockets: {state['socket']['connected']}", *told])


def words(message: JSON) -> str:
    """All visible text of a message, including its blocks."""
    found: list[str] = [message.get("text", "")]

    def gather(value: Any) -> None:
        match value:
            case list():
                for item in value:
                    gather(item)
            case dict():
                for name, item in value.items():
                    if name in {"text", "title"} and isinstance(item, str):
                        found.append(item)
                    elif name not in {"value", "metadata", "action_id", "block_id"}:
                        gather(item)
            case _:
                return

    gather(message.get("blocks", []))
    gather(message.get("attachments", []))
    return "\n".join(found)


def filled(view: JSON, changes: JSON) -> JSON:
    """The values of a form's inputs as Slack sends them: the initial ones, but for `changes` by block id."""
    return {
        block["block_id"]: {block["element"]["action_id"]: _value(block["element"], changes.get(block["block_id"]))}
        for block in view["blocks"]
        if block["type"] == "input"
    }


def _value(element: JSON, given: Any) -> JSON:
    kind: str = element["type"]
    match kind:
        case "static_select":
            chosen = element.get("initial_option") if given is None else {"value": given}
            return {"type": kind, "selected_option": chosen}
        case "multi_static_select" | "checkboxes":
            options = element["options"] if given is True else [{"value": value} for value in given or ()]
            return {"type": kind, "selected_options": element.get("initial_options", []) if given is None else options}
        case "datetimepicker":
            return {"type": kind, "selected_date_time": element.get("initial_date_time") if given is None else given}
        case "conversations_select":
            chosen = element.get("initial_conversation") if given is None else given
            return {"type": kind, "selected_conversation": chosen}
        case _:
            return {"type": kind, "value": element.get("initial_value") if given is None else given}


def details_of(person: Person, card: JSON, *said: str) -> str:
    """Press *Details* on a card; the text of the modal once it contains `said`. The modal is closed."""
    person.press(card, "card_details")

    def read(p: Person) -> JSON | None:
        shown = [v for v in p.modals() if v["callback_id"] == "deployment_details"]
        return next((v for v in shown if all(text in words(v) for text in said)), None)

    view = person.wait_for(read)
    assert view is not None
    person.dismiss(view)
    return words(view)


def _block_of(blocks: list[JSON], action_id: str) -> str:
    for block in blocks:
        inner = [block.get("accessory"), block.get("element"), *block.get("elements", [])]
        if any(isinstance(e, dict) and e.get("action_id") == action_id for e in inner):
            return str(block["block_id"])
        nested = [*block.get("child_blocks", []), *block.get("tasks", [])]
        if nested and any(action_id in str(n) for n in nested):
            return _block_of(nested, action_id)
    raise AssertionError(f"no element {action_id!r} in {blocks}")


def _values(view: JSON, values: JSON) -> JSON:
    """Values in Slack's shape; a text input may be given as a string."""
    elements = {b["block_id"]: b["element"] for b in view["blocks"] if b["type"] == "input"}
    return {
        block: given
        if not isinstance(given, str)
        else {elements[block]["action_id"]: {"type": elements[block]["type"], "value": given}}
        for block, given in values.items()
    }
