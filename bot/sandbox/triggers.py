"""Trigger ids (valid once, for 3 s) and response URLs (valid five times, for 30 min)."""

import secrets
from collections.abc import Callable

import msgspec

from bot.sandbox import limits
from bot.sandbox.limits import SlackError
from bot.sandbox.seed import ChannelId, UserId


class Trigger(msgspec.Struct, kw_only=True):
    """The permission to open one view for a person after an interaction."""

    user: UserId
    expires_at: float
    view_id: str | None = None
    exchanged: bool = False


class Triggers:
    """The trigger ids that were issued in the last minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._given: dict[str, Trigger] = {}

    def issue(self, user: UserId, view_id: str | None = None) -> str:
        """A new trigger id; with the `view_id` of a modal, it allows an app to push another view."""
        now = self._clock()
        for stale in [t for t, given in self._given.items() if given.expires_at < now - 60]:
            del self._given[stale]
        trigger_id = f"{secrets.randbelow(10**12):012d}.{secrets.randbelow(10**13):013d}.{secrets.token_hex(16)}"
        expires_at = now + limits.TRIGGER_LIFE.total_seconds()
        self._given[trigger_id] = Trigger(user=user, expires_at=expires_at, view_id=view_id)
        return trigger_id

    def exchange(self, trigger_id: str) -> Trigger:
        """Use a trigger id, which is valid only once.

        Raises SlackError: `invalid_trigger_id`, `exchanged_trigger_id`, `expired_trigger_id`.
        """
        given = self._given.get(trigger_id)
        if given is None:
            raise SlackError("invalid_trigger_id")
        if given.exchanged:
            raise SlackError("exchanged_trigger_id")
        if given.expires_at < self._clock():
            raise SlackError("expired_trigger_id")
        given.exchanged = True
        return given


class ResponseUrl(msgspec.Struct, kw_only=True):
    """The place of answers to one interaction: a channel, and a person for ephemeral ones."""

    user: UserId
    channel: ChannelId
    expires_at: float
    message_ts: str | None = None
    thread_ts: str | None = None
    uses: int = 0


class ResponseUrls:
    """Response URLs by their path."""

    KEPT = 5_000

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._given: dict[str, ResponseUrl] = {}

    def issue(
        self,
        user: UserId,
        channel: ChannelId,
        *,
        message_ts: str | None = None,
        thread_ts: str | None = None,
    ) -> str:
        """The path of a new response URL; `message_ts` is the message of the interaction, if any."""
        path = f"{secrets.randbelow(10**12):012d}/{secrets.token_urlsafe(18)}"
        self._given[path] = ResponseUrl(
            user=user,
            channel=channel,
            message_ts=message_ts,
            thread_ts=thread_ts,
            expires_at=self._clock() + limits.RESPONSE_URL_LIFE.total_seconds(),
        )
        if len(self._given) > self.KEPT:
            del self._given[next(iter(self._given))]
        return path

    def use(self, path: str) -> ResponseUrl:
        """Count one use. Raises SlackError: `invalid_url`, `expired_url`, `used_url`; each with status 404."""
        given = self._given.get(path)
        if given is None:
            raise SlackError("invalid_url", status=404)
        if given.expires_at < self._clock():
            raise SlackError("expired_url", status=404)
        if given.uses >= limits.RESPONSE_URL_USES:
            raise SlackError("used_url", status=404)
        given.uses += 1
        return given
