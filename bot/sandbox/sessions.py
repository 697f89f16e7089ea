"""Agent sessions: whether the app works in a thread."""

import time

import msgspec

from bot.sandbox.feed import Feed
from bot.sandbox.limits import JSON

# https://docs.slack.dev/ai/agent-sessions
STATUSES = frozenset({"active", "processing", "suspended", "closed"})


class Session(msgspec.Struct, kw_only=True):
    """The session of one thread; `since` is the time of its status, in monotonic seconds."""

    status: str
    since: float
    title: str = ""
    initiator: str = ""


class Sessions:
    """The sessions by "channel:thread". A reply does not end "processing"; only the app does, or `life` in seconds."""

    def __init__(self, feed: Feed, life: float) -> None:
        self._feed = feed
        self._life = life
        self._sessions: dict[str, Session] = {}

    def set(self, channel: str, thread_ts: str, status: str, *, title: str = "", initiator: str = "") -> Session:
        """Set the status. The title and the initiator count only for a new session."""
        key = f"{channel}:{thread_ts}"
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = Session(status=status, since=0.0, title=title, initiator=initiator)
        session.status, session.since = status, time.monotonic()
        self._feed.publish(("session", key), lambda: {"key": key, **self._shown(key)})
        return session

    def status(self, channel: str, thread_ts: str) -> str:
        """The thread's status, or "" if it has no session."""
        key = f"{channel}:{thread_ts}"
        return str(self._shown(key)["status"]) if key in self._sessions else ""

    def all(self) -> JSON:
        """All sessions by "channel:thread", for the page."""
        return {key: self._shown(key) for key in self._sessions}

    def _shown(self, key: str) -> JSON:
        session = self._sessions[key]
        if session.status == "processing" and time.monotonic() - session.since > self._life:
            session.status = "active"
        return {"status": session.status, "title": session.title, "initiator": session.initiator}
