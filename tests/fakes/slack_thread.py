"""A thread in Slack that takes what an answer sends, and fails when it is told to."""

from bot.slack_failures import Away, Busy, Refused

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
        self.failures = list(failures)
        self.now = 1000.0
        self._next = 0

    def clock(self):
        return self.now

    def has(self, method):
        return True

    def insist(self, call):
        while True:
            try:
                return call()
            except (Busy, Away):
                self.now += 1

    def start_stream(self, channel, thread, team, user, markdown):
        self._call("start")
        ts = self._new(markdown)
        self.streaming.add(ts)
        return ts

    def append_stream(self, channel, ts, markdown):
        self._call("append")
        self._must_stream(ts)
        self.messages[ts] += markdown

    def stop_stream(self, channel, ts, *, footer="", metadata=None):
        self._call("stop")
        self._must_stream(ts)
        self.streaming.discard(ts)
        self.footers[ts] = footer

    def post(self, channel, text, *, thread=None, metadata=None):
        self._call("post")
        return self._new(text)

    def update(self, channel, ts, text):
        self._call("update")
        if ts not in self.messages:
            raise Refused("message_not_found", known=True)
        self.messages[ts] = text

    def delete(self, channel, ts):
        self.calls.append("delete")
        if self.messages.pop(ts, None) is None:
            raise Refused("message_not_found", known=True)

    def _call(self, name):
        self.calls.append(name)
        failure = self.failures.pop(0) if self.failures else None
        if failure and (name, failure) != ("post", "refused"):  # which has its own test: there is nowhere to answer
            raise FAILURES[failure]

    def _must_stream(self, ts):
        if ts not in self.streaming:
            raise Refused("message_not_in_streaming_state", known=True)

    def _new(self, text):
        self._next += 1
        ts = f"{self._next}.0"
        self.messages[ts] = text
        return ts
