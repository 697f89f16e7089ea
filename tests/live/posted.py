"""Calls of a real workspace, which record every message that they post, and delete all of them at the end."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

JSON = dict[str, Any]

RETRIES = 5


class Refused(Exception):
    """Slack refused a call; the text is its code."""


class Posted(Struct, frozen=True):
    channel: str
    ts: str


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the end of the call: between a post and its record, it would leave the message behind."""
    came = list[int]()
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


class Calls:
    """The calls of one run. Not safe to use from several threads."""

    def __init__(self, web: WebClient, pause: Callable[[float], None] = time.sleep) -> None:
        self._web = web
        self._pause = pause
        self._posted: list[Posted] = []
        self._streams: list[Posted] = []
        self._sessions: list[Posted] = []

    def call(self, method: str, **arguments: Any) -> JSON:
        """Call a method, and again after a 429. Raises Refused."""
        for _ in range(RETRIES):
            try:
                answer: Any = self._web.api_call(method, json=arguments).data
                return dict(answer)
            except SlackApiError as error:
                if error.response.status_code != 429:
                    raise Refused(str(error.response.get("error") or error.response.status_code)) from error
                self._pause(float(error.response.headers.get("Retry-After", 1)))
        raise Refused("ratelimited")

    def post(self, channel: str, **message: Any) -> str:
        """Post a message and return its ts. Raises Refused."""
        with uninterrupted():
            posted = Posted(channel, str(self.call("chat.postMessage", channel=channel, **message)["ts"]))
            self._posted.append(posted)
        return posted.ts

    def start(self, channel: str, thread: str, **more: Any) -> str:
        """Start a stream and return its ts. Raises Refused."""
        with uninterrupted():
            started = self.call("chat.startStream", channel=channel, thread_ts=thread, **more)
            stream = Posted(channel, str(started["ts"]))
            self._posted.append(stream)
            self._streams.append(stream)
        return stream.ts

    def stop(self, channel: str, ts: str) -> None:
        """End a stream. Raises Refused."""
        self.call("chat.stopStream", channel=channel, ts=ts)
        self._streams.remove(Posted(channel, ts))

    def session(self, channel: str, thread: str, status: str) -> None:
        """Set the status of a thread's agent session. Raises Refused."""
        self._sessions.append(Posted(channel, thread))
        self.call("agents.sessions.setStatus", channel_id=channel, thread_ts=thread, status=status)

    @property
    def has_posted(self) -> bool:
        return bool(self._posted or self._sessions)

    def take_back(self) -> list[str]:
        """End the streams and sessions, and delete the messages, newest first; a line for each that is left."""
        for stream in reversed(self._streams):
            self._quietly("chat.stopStream", channel=stream.channel, ts=stream.ts)
        for thread in reversed(list(dict.fromkeys(self._sessions))):
            self._quietly("agents.sessions.setStatus", channel_id=thread.channel, thread_ts=thread.ts, status="active")
        left = []
        for one in reversed(self._posted):
            code = self._quietly("chat.delete", channel=one.channel, ts=one.ts)
            if code not in ("", "message_not_found"):
                left.append(f"the message {one.ts} in {one.channel} could not be deleted ({code})")
        return left

    def _quietly(self, method: str, **arguments: Any) -> str:
        """Call a method and return the code of the refusal, or an empty text."""
        try:
            self.call(method, **arguments)
        except (Refused, OSError) as refused:
            return str(refused)
        return ""
