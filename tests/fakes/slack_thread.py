"""A thread in Slack that takes what an answer sends, and fails when it is told to."""

import threading

from bot.slack.failures import Away, Busy, Refused

FAILURES = {
    "busy": Busy(1),
    "away": Away("Slack failed."),
    "refused": Refused("message_not_in_streaming_state", known=True),
}


class SlackThread:
    """Messages by ts, oldest first; `failures` are taken one a call (None: it works)."""

    def __init__(self, failures=()):
        self.messages = {}
        self.streaming = set()
        self.footers = {}
        self.calls = []
        self.stopping = threading.Event()
        self.told = set()
        self.failures = list(failures)
        self.now = 1000.0
        self._next = 0

    def clock(self):
        return self.now

    def lost(self):
        """The messages whose ts was never told."""
        return tuple(ts for ts in self.messages if ts not in self.told)

    def has(self, method):
        return True

    def insist(self, call):
        while True:
            try:
                return call()
            except (Busy, Away):
                self.now += 1

    def start_stream(self, channel, thread, team, user, markdown):
        is_lost = self._call("start")
        ts = self._new(markdown)
        self.streaming.add(ts)
        return self._tell(ts, is_lost)

    def append_stream(self, channel, ts, markdown):
        self._call("append")
        self._must_stream(ts)
        self.messages[ts] += markdown

    def stop_stream(self, channel, ts, *, footer="", metadata=None):
        self._call("stop")
        self._must_stream(ts)
        self.streaming.discard(ts)
        self.footers[ts] = footer

    def post(self, channel, message, *, thread=None, metadata=None):
        is_lost = self._call("post")
        return self._tell(self._new(message.text), is_lost)

    def update(self, channel, ts, message, *, leave=0):
        self._call("update")
        if ts not in self.messages:
            raise Refused("message_not_found", known=True)
        if ts in self.streaming:
            raise Refused("streaming_state_conflict", known=True)
        self.messages[ts] = message.text

    def delete(self, channel, ts):
        self.calls.append("delete")
        if self.messages.pop(ts, None) is None:
            raise Refused("message_not_found", known=True)

    def _call(self, name):
        self.calls.append(name)
        failure = self.failures.pop(0) if self.failures else None
        if failure == "lost":
            return name in {"start", "post"}
        if failure and (name, failure) != ("post", "refused"):  # which has its own test: there is nowhere to answer
            raise FAILURES[failure]
        return False

    def _tell(self, ts, is_lost):
        if is_lost:
            raise Away("The reply was lost.")
        self.told.add(ts)
        return ts

    def _must_stream(self, ts):
        if ts not in self.streaming:
            raise Refused("message_not_in_streaming_state", known=True)

    def _new(self, text):
        self._next += 1
        ts = f"{self._next}.0"
        self.messages[ts] = text
        return ts
