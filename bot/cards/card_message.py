"""Maintains one card per deployment, also across crashes and refusals."""

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
from redis import Redis

from bot.cards.card_alerts import CardAlerts
from bot.cards.card_record import CardRecord, CardRecords
from bot.cards.launch_record import LaunchRecord
from bot.cards.standing import metadata, standing
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackAway, SlackFailed, SlackRefused
from bot.slack.message import Message
from bot.slack.reading import SETTLES
from bot.views import card_refusals
from bot.views.card import CARD, card
from workers.decision.worker_absence import WorkersAway
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=10)
"""Age from which a deployment without a record may have a card: Slack is then searched before a card is posted."""

RETRY, RETRY_LIMIT = timedelta(minutes=1), timedelta(minutes=15)
"""Time from a refusal of the card to the next attempt; each consecutive refusal doubles it, up to the limit. The bot
may be invited, or the channel unarchived, in between."""

GIVES_UP = timedelta(minutes=10)
"""Time after a deployment's end during which a card that Slack refuses is still retried."""

TICKS_LEAVE = 5
"""Number of updates in the budget that are reserved for changes of state; updates of elapsed times alone wait."""


class Later(Exception):
    """The card is not up to date; try again after `wait`."""

    def __init__(self, wait: timedelta, why: str) -> None:
        super().__init__(why)
        self.wait = wait


class Cards:
    """The cards of all deployments. Only the process that follows the feed may use it.

    Raises Later, SlackBusy, SlackAway, LockedOut, RedisError.
    """

    def __init__(
        self,
        redis: Redis,
        calls: SlackCalls,
        key_of: Callable[[DeploymentId], str | None],
        clock: Callable[[], datetime],
        away: Callable[[], WorkersAway | None] = lambda: None,
    ) -> None:
        """`away`: which workers do not answer."""
        self._away = away
        self.records = CardRecords(redis)
        self._alerts = CardAlerts(calls, self.records, key_of, clock)
        self._launches = LaunchRecord(redis)
        self._calls = calls
        self._now = clock

    def forget(self, deployment: DeploymentId) -> None:
        """Remove what is known of a deployment whose log has expired."""
        self.records.forget(deployment)
        self._launches.forget(deployment)

    def show(self, state: Deployment, *, refresh: bool = True) -> None:
        """Make Slack show the state. `refresh`: also if the card shows it already, and only time has passed since."""
        record = self.records.load(state)
        if record.dropped:
            return
        # A pause that is longer than the longest one was set before the clock went back.
        refused = record.not_before is not None and timedelta() < record.not_before - self._now() <= RETRY_LIMIT
        if not refused:
            try:
                self._show_card(state, record, refresh=refresh)
            except SlackRefused as refusal:
                self._refused(state, record, refusal)
                refused = True
        self._alerts.say_what_is_due(state, record, direct=refused)
        if refused and record.not_before and not (state.ended and self._now() - state.ended.at > GIVES_UP):
            raise Later(record.not_before - self._now(), "Slack refuses the card")
        if state.ended and not record.over:
            record.over = True
            self.records.save(state, record)

    def _show_card(self, state: Deployment, record: CardRecord, *, refresh: bool) -> None:
        self._launches.note(state)
        message = card(state, self._now(), self._launches.usual(state), self._away())
        digest = _digest(message)
        if record.ts is None and self._stands_already(state, record):
            logger.info("card of %s adopted", state.id)
        if record.ts is None:
            self._post(state, record, message)
        elif digest != record.digest:
            is_tick = record.version == state.version
            if is_tick and not refresh:
                return
            try:
                self._calls.update(record.channel, record.ts, message, leave=TICKS_LEAVE if is_tick else 0)
            except SlackRefused as refused:
                if not self._replaces(state, record, refused):
                    raise
                return
        elif record.version == state.version:
            return
        record.digest, record.version, record.refusals, record.not_before = digest, state.version, 0, None
        self.records.save(state, record)

    def _stands_already(self, state: Deployment, record: CardRecord) -> bool:
        """Look for a card that a process posted and did not record."""
        now = self._now()
        if record.posting_since is None and now - state.requested_at < FRESH:
            return False
        if record.posting_since is not None and record.posting_since > now:  # the clock went back
            record.posting_since = now
            self.records.save(state, record)
        if record.posting_since is not None and (settles := record.posting_since + SETTLES - now) > timedelta():
            raise Later(settles, "a post may be in progress")
        found = standing(self._calls, state, CARD, state.place.channel)
        if found is None or found == record.replaces:
            return False
        record.channel, record.ts, record.posting_since = state.place.channel, found, None
        self.records.save(state, record)
        return True

    def _post(self, state: Deployment, record: CardRecord, message: Message) -> None:
        record.channel, record.posting_since = state.place.channel, self._now()
        self.records.save(state, record)
        try:
            record.ts = self._calls.post(record.channel, message, metadata=metadata(state, CARD))
        except SlackAway:
            raise  # `posting_since` stays set, because the card may have been posted
        except SlackFailed:
            record.posting_since = None
            self.records.save(state, record)
            raise
        record.posting_since = None

    def _replaces(self, state: Deployment, record: CardRecord, refused: SlackRefused) -> bool:
        """Replace a card that was deleted in Slack or can no longer be edited, once. False if it is not replaced."""
        is_second = record.replaces is not None
        if refused.code in card_refusals.GONE:
            record.dropped = is_second
        elif refused.code in card_refusals.NOT_EDITABLE and not is_second:
            with suppress(SlackRefused):  # otherwise it shows an outdated state permanently
                self._calls.delete(record.channel, record.ts or "")
        else:
            return False
        record.replaces, record.ts, record.digest = record.ts, None, ""
        self.records.save(state, record)
        if not record.dropped:
            raise Later(timedelta(), "the card is replaced")
        return True

    def _refused(self, state: Deployment, record: CardRecord, refused: SlackRefused) -> None:
        """Notify the launcher once for each cause, and schedule the next attempt."""
        record.not_before = self._now() + min(RETRY * 2 ** min(record.refusals, 10), RETRY_LIMIT)
        record.refusals += 1
        self.records.save(state, record)
        kind = card_refusals.kind(refused.code)
        if kind not in record.said:
            log = logger.info if refused.code in card_refusals.CAUSES else logger.error
            log("card of %s: %s", state.id, refused)
        message = card_refusals.notice(state, refused.code, stands=record.ts is not None)
        self._alerts.say(state, record, kind, message, direct=True)


def _digest(message: Message) -> str:
    return hashlib.sha256(msgspec.json.encode(message)).hexdigest()[:16]
