"""Posts each alert of a deployment once: in its card's thread, or to its launcher if the channel refuses it."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bot.cards.card_record import BEGUN, KEY, CardRecord, CardRecords, worth_keeping
from bot.cards.standing import metadata, standing
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackRefused
from bot.slack.message import Message
from bot.views import alerts, clock_alerts
from bot.views.endpoint import endpoint
from workers.decision.ceiling import costly
from workers.deployment.condition import awaits_decision, is_ending
from workers.deployment.events import DeploymentId, ScaleRequested
from workers.deployment.state import Deployment

logger = logging.getLogger(__name__)

NEWS_FOR = timedelta(minutes=10)
"""Maximum age at which what a person did is still posted: a follower may start long after the event."""

UNDELIVERED = "refused"
"""Recorded in place of the ts of an alert that both the channel and the launcher's direct messages refused."""


class CardAlerts:
    """Methods raise SlackBusy, SlackAway, LockedOut, RedisError."""

    def __init__(
        self,
        calls: SlackCalls,
        records: CardRecords,
        key_of: Callable[[DeploymentId], str | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._calls = calls
        self._records = records
        self._key_of = key_of
        self._now = clock

    def say_what_is_due(self, state: Deployment, record: CardRecord, *, direct: bool) -> None:
        """Post the alerts that are due and not posted yet. `direct`: the channel refuses the card now."""
        if record.ts is None and not direct:
            return
        self._say_all(state, record, direct=direct)
        kept = worth_keeping(record.said)  # not before: each alert that is due is among the last ones now
        if len(kept) < len(record.said):
            record.said = kept
            self._records.save(state, record)

    def _say_all(self, state: Deployment, record: CardRecord, *, direct: bool) -> None:
        if state.endpoint and not is_ending(state):
            if not direct:
                self._whisper_key(state, record)
            if state.test is not None:
                self.say(state, record, alerts.READY, alerts.ready(state), direct=direct)
            self._say_outage(state, record, direct=direct)
        elif state.ended and state.ended.failed:
            self.say(state, record, alerts.FAILED, alerts.failed(state), direct=direct)
        elif state.ended and (state.stopped_by == "" or self._now() - state.ended.at < NEWS_FOR):
            self.say(state, record, alerts.ENDED, alerts.ended(state, self._now()), direct=direct)
        elif awaits_decision(state):
            self.say(state, record, alerts.dry_kind(state), alerts.dry(state), direct=direct)
        if (taken := costly(state)) is not None and not is_ending(state):
            self.say(state, record, alerts.COSTLY, alerts.costly(state, *taken), direct=direct)
        announced = state.end_announced
        if announced is not None and announced.until == state.until and not is_ending(state):
            self.say(state, record, alerts.ends_kind(announced), alerts.ends(state, announced), direct=direct)
        kept = state.kept
        if kept is not None and kept.by and not is_ending(state) and self._now() - kept.at < NEWS_FOR:
            self.say(state, record, alerts.kept_kind(kept), alerts.kept(state, kept), direct=direct)
        if not is_ending(state):
            self._say_clocks(state, record, direct=direct)
        if not state.ended:
            self._say_contact(state, record, direct=direct)
        moved = state.scaled
        if isinstance(moved, ScaleRequested) and state.ended is None and self._now() - moved.at < NEWS_FOR:
            self.say(state, record, alerts.scaled_kind(moved), alerts.scaled(state, moved), direct=direct)

    def _say_outage(self, state: Deployment, record: CardRecord, *, direct: bool) -> None:
        """Post each outage and its end once. An alert notifies people; an update of the card does not."""
        now = self._now()
        if since := alerts.out_since(state, now):
            self.say(state, record, alerts.out_kind(since), alerts.out(state, since, now), direct=direct)
        elif state.ready:
            posted = [kind.removeprefix(alerts.OUT) for kind in record.said if kind.startswith(alerts.OUT)]
            for began in (datetime.fromtimestamp(int(stamp), UTC) for stamp in posted[-1:]):
                self.say(state, record, alerts.back_kind(began), alerts.back(state, began), direct=direct)

    def _say_clocks(self, state: Deployment, record: CardRecord, *, direct: bool) -> None:
        """Post each announcement of a clock, each time that it was kept from it, and each reminder once."""
        now = self._now()
        clocks = (
            (state.idle_end, clock_alerts.idle_ends, state.idle_held, clock_alerts.idle_held),
            (state.pause_announced, clock_alerts.pauses, state.hours_held, clock_alerts.hours_held),
        )
        for announced, announcement, held, holding in clocks:
            if announced is not None:
                kind = clock_alerts.announced_kind(announced)
                self.say(state, record, kind, announcement(state, announced), direct=direct)
            if held is not None and now - held.at < NEWS_FOR:
                self.say(state, record, clock_alerts.held_kind(held), holding(state, held), direct=direct)
        unused = state.idle_noticed
        if unused is not None and now - unused.at < NEWS_FOR and state.wanted:
            self.say(state, record, clock_alerts.unused_kind(unused), clock_alerts.unused(state, unused), direct=direct)

    def _say_contact(self, state: Deployment, record: CardRecord, *, direct: bool) -> None:
        """Post each alert about control once: lost, regained, and a lease that ran out."""
        now = self._now()
        due = alerts.lost(state, now, record.said)
        for kind, message in due.items():
            self.say(state, record, kind, message, direct=direct)
        if not due and not any(a.lost for a in state.attempts):
            for kind in [kind for kind in record.said if kind.startswith(alerts.LOST)][-1:]:
                self.say(state, record, alerts.regained_kind(kind), alerts.regained(state, kind), direct=direct)
        for attempt in state.attempts:
            if attempt.lapsed and attempt.gone_at and now - attempt.gone_at < NEWS_FOR:
                kind = f"{alerts.LAPSED}{attempt.number}"
                self.say(state, record, kind, alerts.lapsed(state, attempt), direct=direct)

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
        self._note(state, record, KEY, "whispered")

    def say(self, state: Deployment, record: CardRecord, kind: str, message: Message, *, direct: bool) -> None:
        """Post an alert, once. After a crash, the thread or the direct messages are searched for it first.

        `direct`: post to the launcher, as is done when the channel or the thread refuses the alert.
        """
        before = record.said.get(kind)
        if before not in (None, BEGUN):
            record.said[kind] = record.said.pop(kind)  # it is due: it is the last one that `worth_keeping` drops
            return
        try:
            channel = self._calls.open_direct(state.place.user) if direct else record.channel
            thread = None if direct else record.ts
            ts = standing(self._calls, state, kind, channel, thread) if before == BEGUN else None
            if ts is None:
                self._note(state, record, kind, BEGUN)
                ts = self._calls.post(channel, message, thread=thread, metadata=metadata(state, kind))
        except SlackRefused as refused:
            to = "the launcher" if direct else "the channel"
            logger.warning("%s of %s cannot be posted to %s: %s", kind, state.id, to, refused)
            if not direct:
                self.say(state, record, kind, message, direct=True)
                return
            ts = UNDELIVERED
        self._note(state, record, kind, ts)

    def _note(self, state: Deployment, record: CardRecord, kind: str, ts: str) -> None:
        record.said = {**record.said, kind: ts}
        self._records.save(state, record)
