"""Maintains one card per deployment and the alerts in its thread, also across crashes."""

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from redis import Redis

from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackAway, SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from bot.slack.reading import SETTLES, find
from bot.views import alerts
from bot.views.card import CARD, card
from bot.views.endpoint import endpoint
from workers.deployment.condition import awaits_decision, is_ending
from workers.deployment.events import DeploymentId, ScaleRequested
from workers.deployment.state import Deployment

logger = logging.getLogger(__name__)

CARDS = "mixtral:cards"

NO_ROOM = "mixtral_no_room"
KEY = "mixtral_key"

FRESH = timedelta(seconds=10)
"""Age from which a deployment without a record may have a card: Slack is then searched before a card is posted."""

SKEW = timedelta(minutes=2)
"""Maximum difference between Slack's clock and the clock of this host."""

NEWS_FOR = timedelta(minutes=10)
"""Maximum age at which a scaling or an end is still posted: a follower may start long after the event."""

RETRY_CHANNEL = timedelta(minutes=1)
"""Interval between two posts to a channel that refuses the card. The bot may have been invited meanwhile."""

GIVES_UP = timedelta(minutes=10)
"""Time from a deployment's end until its card is no longer posted."""

TICKS_LEAVE = 5
"""Number of updates in the budget that are reserved for changes of state; updates of elapsed times alone wait."""

MESSAGE_GONE = frozenset({"message_not_found", "cant_update_message"})


class Later(Exception):
    """The card is not up to date; try again after `wait`."""

    def __init__(self, wait: timedelta, why: str) -> None:
        super().__init__(why)
        self.wait = wait


class CardRecord(Struct, kw_only=True, omit_defaults=True):
    """State of one card: a field of the hash `mixtral:cards`, in JSON."""

    channel: str = ""
    ts: str | None = None
    digest: str = ""
    posting_since: datetime | None = None
    """When a post started whose outcome is not known."""
    replaces: str | None = None
    """The ts of a card that was deleted in Slack; it is replaced once."""
    over: bool = False
    """The card is final, unless the deployment changes."""
    dropped: bool = False
    """The card was deleted twice in Slack, and is not posted again."""
    said: dict[str, str] = {}
    """The ts of each alert by kind; `…` for an alert whose post was started and is not confirmed."""


BEGUN = "…"


class Cards:
    """The cards of all deployments. Only the process that follows the feed may use it. Raises Later, RedisError."""

    def __init__(
        self,
        redis: Redis,
        calls: SlackCalls,
        key_of: Callable[[DeploymentId], str | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._redis: Any = redis
        self._calls = calls
        self._key_of = key_of
        self._now = clock

    def remember(self, deployment: DeploymentId) -> None:
        """Record that a deployment has a card, for the next follower."""
        self._redis.hsetnx(CARDS, deployment, b"{}")

    def all(self) -> list[DeploymentId]:
        """Return every deployment with a record."""
        return [DeploymentId(id_.decode()) for id_ in self._redis.hkeys(CARDS)]

    def unfinished(self) -> list[DeploymentId]:
        """Return the deployments whose cards may not be up to date."""
        records = {id_.decode(): value for id_, value in self._redis.hgetall(CARDS).items()}
        return [DeploymentId(id_) for id_, value in records.items() if _is_unfinished(id_, value)]

    def forget(self, deployment: DeploymentId) -> None:
        """Remove the record of a deployment whose log has expired."""
        self._redis.hdel(CARDS, deployment)

    def show(self, state: Deployment, *, tick: bool = False) -> None:
        """Make Slack show the state. `tick`: only time has passed since the last call."""
        record = self._load(state)
        if record.dropped:
            return
        try:
            self._show_card(state, record, tick=tick)
            self._say_what_is_due(state, record)
        except SlackRefused as refused:
            self._refused(state, record, refused)
        if state.ended and not record.over:
            record.over = True
            self._save(state, record)

    def _show_card(self, state: Deployment, record: CardRecord, *, tick: bool) -> None:
        message = card(state, self._now())
        digest = _digest(message)
        if record.ts is None and self._stands_already(state, record):
            logger.info("card of %s adopted", state.id)
        if record.ts is None:
            self._post(state, record, message)
        elif digest != record.digest:
            try:
                self._calls.update(record.channel, record.ts, message, leave=TICKS_LEAVE if tick else 0)
            except SlackRefused as refused:
                if refused.code not in MESSAGE_GONE:
                    raise
                self._replace(state, record)
                return
        else:
            return
        record.digest = digest
        self._save(state, record)

    def _stands_already(self, state: Deployment, record: CardRecord) -> bool:
        """Look for a card that a process posted and did not record."""
        now = self._now()
        if record.posting_since is None and now - state.requested_at < FRESH:
            return False
        if record.posting_since is not None and (settles := record.posting_since + SETTLES - now) > timedelta():
            raise Later(settles, "a post may be in progress")
        found = self._find(state, CARD, state.place.channel)
        if found is None or found == record.replaces:
            return False
        record.channel, record.ts, record.posting_since = state.place.channel, found, None
        self._save(state, record)
        return True

    def _post(self, state: Deployment, record: CardRecord, message: Message) -> None:
        record.channel, record.posting_since = state.place.channel, self._now()
        self._save(state, record)
        try:
            record.ts = self._calls.post(record.channel, message, metadata=_metadata(state, CARD))
        except SlackAway:
            raise  # `posting_since` stays set, because the card may have been posted
        except SlackFailed:
            record.posting_since = None
            self._save(state, record)
            raise
        record.posting_since = None

    def _replace(self, state: Deployment, record: CardRecord) -> None:
        """Replace a card that was deleted in Slack, once."""
        record.dropped = record.replaces is not None
        record.replaces, record.ts, record.digest = record.ts, None, ""
        self._save(state, record)
        if not record.dropped:
            raise Later(timedelta(), "the card was deleted")

    def _say_what_is_due(self, state: Deployment, record: CardRecord) -> None:
        if record.ts is None:
            return
        if state.endpoint and not is_ending(state):
            self._whisper_key(state, record)
            if state.test is not None:
                self._reply(state, record, alerts.READY, alerts.ready(state))
            self._say_outage(state, record)
        elif state.ended and state.ended.failed:
            self._reply(state, record, alerts.FAILED, alerts.failed(state))
        elif state.ended and self._now() - state.ended.at < NEWS_FOR:
            self._reply(state, record, alerts.ENDED, alerts.ended(state, self._now()))
        elif awaits_decision(state):
            self._reply(state, record, alerts.dry_kind(state), alerts.dry(state))
        if not state.ended:
            self._say_contact(state, record)
        moved = state.scaled
        if isinstance(moved, ScaleRequested) and state.ended is None and self._now() - moved.at < NEWS_FOR:
            self._reply(state, record, alerts.scaled_kind(moved), alerts.scaled(state, moved))

    def _say_outage(self, state: Deployment, record: CardRecord) -> None:
        """Post each outage and its end once. An alert notifies people; an update of the card does not."""
        now = self._now()
        if since := alerts.out_since(state, now):
            self._reply(state, record, alerts.out_kind(since), alerts.out(state, since, now))
        elif state.ready:
            posted = [kind.removeprefix(alerts.OUT) for kind in record.said if kind.startswith(alerts.OUT)]
            for began in (datetime.fromtimestamp(int(stamp), UTC) for stamp in posted[-1:]):
                self._reply(state, record, alerts.back_kind(began), alerts.back(state, began))

    def _say_contact(self, state: Deployment, record: CardRecord) -> None:
        """Post each alert about control once: lost, regained, and a lease that ran out."""
        now = self._now()
        due = alerts.lost(state, now)
        for kind, message in due.items():
            self._reply(state, record, kind, message)
        if not due and not any(a.lost for a in state.attempts):
            for kind in [kind for kind in record.said if kind.startswith(alerts.LOST)][-1:]:
                self._reply(state, record, alerts.regained_kind(kind), alerts.regained(state, kind))
        for attempt in state.attempts:
            if attempt.lapsed and attempt.gone_at and now - attempt.gone_at < NEWS_FOR:
                self._reply(state, record, f"{alerts.LAPSED}{attempt.number}", alerts.lapsed(state, attempt))

    def _whisper_key(self, state: Deployment, record: CardRecord) -> None:
        """Show the launcher the key. An ephemeral message cannot be looked up, so a crash may repeat it."""
        key = self._key_of(state.id)
        if record.said.get(KEY) or key is None:
            return
        try:
            self._calls.whisper(record.channel, state.place.user, endpoint(state, key))
        except SlackRefused as refused:
            # The card shows how to get the key.
            logger.info("key of %s: %s", state.id, refused)
        record.said = {**record.said, KEY: "whispered"}
        self._save(state, record)

    def _reply(self, state: Deployment, record: CardRecord, kind: str, message: Message) -> None:
        """Post in the card's thread, once. After a crash, the thread is searched for the message first."""
        before = record.said.get(kind)
        if before not in (None, BEGUN):
            return
        ts = self._find(state, kind, record.channel, record.ts) if before == BEGUN else None
        if ts is None:
            record.said = {**record.said, kind: BEGUN}
            self._save(state, record)
            ts = self._calls.post(record.channel, message, thread=record.ts, metadata=_metadata(state, kind))
        record.said = {**record.said, kind: ts}
        self._save(state, record)

    def _find(self, state: Deployment, kind: str, channel: str, thread: str | None = None) -> str | None:
        mark, block, since = _metadata(state, kind), f"{kind}_{state.id}", state.requested_at - SKEW
        try:
            # If Slack did not keep the metadata, the block's id identifies the message.
            return find(self._calls, channel, mark, block=block, since=since, thread=thread)
        except SlackRefused as refused:
            # Without access to the history, a second message is better than none.
            logger.info("looking for the %s of %s: %s", kind, state.id, refused)
            return None

    def _refused(self, state: Deployment, record: CardRecord, refused: SlackRefused) -> None:
        if refused.code not in alerts.NO_ROOM:
            raise refused
        if NO_ROOM not in record.said:
            record.said = {**record.said, NO_ROOM: "told"}
            self._save(state, record)
            self._tell_launcher(state, alerts.no_room(state, refused.code))
        if state.ended and self._now() - state.ended.at > GIVES_UP:
            return
        raise Later(RETRY_CHANNEL, str(refused))

    def _tell_launcher(self, state: Deployment, message: Message) -> None:
        try:
            direct = self._calls.open_direct(state.place.user)
            self._calls.post(direct, message, metadata=_metadata(state, NO_ROOM))
        except SlackFailed as error:
            logger.warning(
                "%s could not be notified that the card of %s cannot be posted: %s", state.place.user, state.id, error
            )

    def _load(self, state: Deployment) -> CardRecord:
        value = self._redis.hget(CARDS, state.id)
        if not value:
            return CardRecord()
        try:
            return _decode(value)
        except msgspec.MsgspecError:
            # Any of these may have been posted: Slack is searched before a post.
            return CardRecord(
                posting_since=state.requested_at,
                said={
                    KEY: "whispered",
                    alerts.READY: BEGUN,
                    alerts.FAILED: BEGUN,
                    alerts.ENDED: BEGUN,
                    NO_ROOM: "told",
                },
            )

    def _save(self, state: Deployment, record: CardRecord) -> None:
        self._redis.hset(CARDS, state.id, msgspec.json.encode(record))


def _metadata(state: Deployment, kind: str) -> JSON:
    return {"event_type": kind, "event_payload": {"deployment": state.id}}


def _is_unfinished(deployment: str, value: bytes) -> bool:
    try:
        record = _decode(value)
    except msgspec.MsgspecError as error:
        logger.warning("the record of the card of %s cannot be read, and is recreated: %s", deployment, error)
        return True
    return not (record.over or record.dropped)


def _decode(value: bytes) -> CardRecord:
    return msgspec.json.decode(value, type=CardRecord)


def _digest(message: Message) -> str:
    return hashlib.sha256(msgspec.json.encode(message)).hexdigest()[:16]
