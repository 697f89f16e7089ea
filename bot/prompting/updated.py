"""An answer where there are no streams: plain messages that are updated as the answer grows."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from bot.prompting.inert import mrkdwn
from bot.prompting.slack import Slack
from bot.prompting.split import split
from bot.prompting.streamed import Place
from bot.slack_failures import Busy, Refused

LIMIT = 3_500
"""Characters of one message; chat.update takes 4,000."""


class Updated:
    """Shows a text that only grows, in as many messages as it needs."""

    def __init__(
        self,
        slack: Slack,
        place: Place,
        *,
        metadata: dict[str, Any],
        starting: Callable[[], None],
        began: Callable[[str], None],
        before: int = 0,
        opening: str = "",
        begun: Sequence[str] = (),
    ) -> None:
        """`before`: characters that are shown elsewhere already; `begun`: messages to be written anew, in order."""
        self._slack, self._place, self._metadata = slack, place, metadata
        self._starting, self._began = starting, began
        self._before, self._opening = before, opening
        self._messages: list[str] = list(begun)
        self._shown: list[str | None] = [None] * len(begun)

    def show(self, text: str) -> None:
        """Bring the messages up to the answer so far, with the fewest calls. Raises SlackFailed."""
        self._bring([mrkdwn(part) for part in self._parts(text)])

    def finish(self, text: str, footer: str) -> None:
        """Bring them to the whole answer, with a line below. Raises SlackFailed."""
        *parts, last = self._parts(text)
        below = f"_{mrkdwn(footer)}_" if footer else ""
        whole = "\n".join(part for part in (mrkdwn(last).rstrip(), below) if part)
        self._bring([*(mrkdwn(part) for part in parts), whole])
        for ts in self._messages[len(parts) + 1 :]:
            self._take_away(ts)
        del self._messages[len(parts) + 1 :]

    def _parts(self, text: str) -> list[str]:
        return split(self._opening + text[self._before :], LIMIT)

    def _bring(self, texts: Sequence[str]) -> None:
        for at, text in enumerate(texts):
            if not text.strip():
                continue
            if at == len(self._messages):
                self._post(text)
            elif self._shown[at] != text:
                self._update(at, text)

    def _post(self, text: str) -> None:
        self._messages.append(self._posted(text))
        self._shown.append(text)

    def _posted(self, text: str) -> str:
        self._starting()
        ts = self._slack.post(self._place.channel, text, thread=self._place.thread, metadata=self._metadata)
        self._began(ts)
        return ts

    def _update(self, at: int, text: str) -> None:
        try:
            self._slack.update(self._place.channel, self._messages[at], text)
        except Refused:
            # Somebody took the message away, or it cannot be edited any more: a new one takes its place.
            with contextlib.suppress(Refused):
                self._slack.insist(lambda: self._slack.delete(self._place.channel, self._messages[at]))
            self._messages[at] = self._posted(text)
        self._shown[at] = text

    def _take_away(self, ts: str) -> None:
        try:
            self._slack.insist(lambda: self._slack.delete(self._place.channel, ts))
        except (Refused, Busy):
            self._slack.update(self._place.channel, ts, "…")
