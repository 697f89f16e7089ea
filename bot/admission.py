"""Admission: every command, click, modal and event passes it before its listener. Strangers are refused here."""

import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from slack_bolt import Ack, BoltContext, BoltResponse

from bot.commands.delivery import modal_of
from bot.commands.settle import record
from bot.commands.sight import Known
from bot.commands.strangers import Home, Sender, Standing, once_asked, sender_of, standing
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed
from bot.slack.fair_threads import FairThreads
from bot.slack.hosts import response_url
from bot.slack.message import JSON, Message
from bot.slack.responses import respond
from bot.views.escape import unmarked
from bot.views.home import refused as refused_home
from workers.deployment.audit import AuditEntry, AuditOutcome
from workers.deployment.audit_stream import AuditStream

_LOG = logging.getLogger(__name__)

OUTSIDE = "outside"
"""Key of Bolt's context: whether the sender is of another company that is let in."""

ACK_BY = "ack_by"
"""Key of Bolt's context: time of the monotonic clock by which the payload is acked, calls of admission included."""

ACK_WITHIN = 2.3
"""Maximum time before an ack, in seconds; Slack waits 3. The result of longer work follows the ack."""

TOLD_FOR = timedelta(days=1)
"""Interval between two refusals to the same stranger in the same channel."""

HOME_TOLD_FOR = timedelta(minutes=10)
"""Interval between two publications of the refusal on the Home tab of the same stranger."""

REFUSED = Message(
    text="Only people of the company that runs this bot can use it, so nothing was done. Ask one of them; they can let "
    "your workspace in."
)

UNKNOWN = Message(
    text="The bot could not read your company from Slack, so nothing was done. Try again in a minute. If this "
    "continues, the app may lack a scope: the operator of this bot can run `mixtral-bot check`."
)

PRESSED = frozenset({"block_actions", "message_action"})
"""Types of payloads whose ack shows nothing to the person."""

_OF_ANOTHER = "a person of another company"

NOBODY = Message(text="Slack's request does not name its sender, so nothing was done. Send it again.")


class Admission:
    """Bolt's middleware. It decides by the payload, and calls Slack only if the payload is not sufficient."""

    def __init__(
        self, home: Home, *, directory: Known, slack: SlackCalls, redis: Redis, later: FairThreads, bot_user: str
    ) -> None:
        self._home = home
        self._directory = directory
        self._slack = slack
        self._redis: Any = redis
        self._audit = AuditStream(redis)
        self._later = later
        self._mention = f"<@{bot_user}"

    def admit(self, ack: Ack, body: JSON, context: BoltContext, next_: Callable[[], None]) -> BoltResponse | None:
        """Pass the payload on, or refuse it."""
        context[ACK_BY] = time.monotonic() + ACK_WITHIN
        if "response_url" in body:  # answers go to Slack's addresses only, whatever a payload names
            body["response_url"] = response_url(body["response_url"], context.client.base_url)
        sender = sender_of(body)
        if not sender.user and "event" not in body:
            self._audited(body, sender, AuditOutcome.REFUSED, "the payload names no person")
            return _in_ack(ack, body, NOBODY)
        found = self._standing(sender)
        if found is Standing.STRANGER:
            self._tell_the_stranger(body, sender)
            return _in_ack(ack, body, REFUSED)
        if found is Standing.UNCLEAR:
            return self._not_known(ack, body, sender)
        context[OUTSIDE] = found is Standing.INVITED
        next_()
        return None

    def _not_known(self, ack: Ack, body: JSON, sender: Sender) -> BoltResponse:
        """Refuse a payload whose sender's company is not known. Slack repeats an event that is not acked."""
        event = body.get("event")
        if isinstance(event, dict):
            waits = self._is_addressed(event) or event.get("type") in ("app_home_opened", "agent_session_stopped")
            return BoltResponse(status=503, body="") if waits else ack()
        _LOG.info("refused: %s in %s, because their company is not known", sender.user, sender.channel or "-")
        self._audited(body, sender, AuditOutcome.DENIED, "their company is not known")
        if body.get("type") in PRESSED:
            self._later.submit(sender.user, self._tell_who_clicked, sender, body.get("response_url"), UNKNOWN)
        return _in_ack(ack, body, UNKNOWN)

    def _standing(self, sender: Sender) -> Standing:
        found = standing(sender, self._home)
        if found is not Standing.UNCLEAR:
            return found
        if (person := self._directory.person(sender.user)) is not None:
            return once_asked(sender, person, sender.shared, self._home)
        channel = self._directory.channel(sender.channel) if sender.channel else None
        shared = channel.is_shared if channel is not None and channel.is_joined else sender.shared
        return once_asked(sender, None, shared, self._home)

    def _tell_the_stranger(self, body: JSON, sender: Sender) -> None:
        """Notify the stranger if an ack cannot show the refusal: after a click, and once per channel and day."""
        event = body.get("event")
        if isinstance(event, dict) and event.get("type") == "app_home_opened":
            self._audited(body, sender, AuditOutcome.DENIED, _OF_ANOTHER)
            self._later.submit(sender.user, self._empty_home, sender.user)
            return
        if isinstance(event, dict) and not self._is_addressed(event):
            return  # as most messages in a shared channel
        _LOG.info("refused: %s of %s in %s", sender.user, sender.team or "an unknown team", sender.channel or "-")
        self._audited(body, sender, AuditOutcome.DENIED, _OF_ANOTHER)
        if body.get("type") in PRESSED:
            self._later.submit(sender.user, self._tell_who_clicked, sender, body.get("response_url"), REFUSED)
        elif isinstance(event, dict):
            self._later.submit(sender.user, self._tell_once, sender, event.get("thread_ts"))

    def _audited(self, body: JSON, sender: Sender, outcome: AuditOutcome, why: str) -> None:
        event = body.get("event") or {}
        what = "command" if "command" in body else event.get("type") or body.get("type") or "request"
        mention = f"{sender.channel}:{event['ts']}" if "ts" in event else None  # which Slack reports by two events
        once = body.get("trigger_id") or mention or body.get("event_id") or f"untold.{secrets.token_hex(8)}"
        team = f"{why} ({sender.team})" if sender.team else why
        entry = AuditEntry(
            at=datetime.now(UTC), who=sender.user, what=what, where=sender.channel, outcome=outcome, why=team
        )
        record(self._audit, entry, once=once)

    def _is_addressed(self, event: JSON) -> bool:
        """Whether the sender expects an answer: a mention or a direct message."""
        if event.get("type") == "app_mention":
            return True
        if event.get("type") != "message" or event.get("subtype"):
            return False
        return event.get("channel_type") == "im" or self._mention in (event.get("text") or "")

    def _tell_who_clicked(self, sender: Sender, response_url: str | None, why: Message) -> None:
        if not respond(response_url, why):
            self._tell(sender, why)

    def _tell_once(self, sender: Sender, thread: str | None) -> None:
        key = f"mixtral:told:{sender.channel}:{sender.user}"
        try:
            if self._redis.set(key, 1, nx=True, ex=int(TOLD_FOR.total_seconds())):
                self._tell(sender, REFUSED, thread)
        except RedisError as error:
            _LOG.info("%s could not be notified of the refusal: %s", sender.user, error)

    def _empty_home(self, user: str) -> None:
        """Show the refusal on the Home tab: it may show what the person saw while their company was let in."""
        try:
            if self._redis.set(f"mixtral:told:home:{user}", 1, nx=True, ex=int(HOME_TOLD_FOR.total_seconds())):
                self._slack.publish_home(user, refused_home(REFUSED.text))
        except (SlackFailed, RedisError) as error:
            _LOG.info("the Home tab of %s could not be emptied: %s", user, error)

    def _tell(self, sender: Sender, why: Message, thread: str | None = None) -> None:
        try:
            self._slack.whisper(sender.channel, sender.user, why, thread=thread)
        except (SlackFailed, RedisError) as error:
            _LOG.info("%s could not be notified of the refusal: %s", sender.user, error)


def _in_ack(ack: Ack, body: JSON, message: Message) -> BoltResponse:
    """Ack with a sentence, where an ack shows one: to a command and to a modal."""
    if "command" in body:
        return ack(text=message.text, response_type="ephemeral")
    values = ((body.get("view") or {}).get("state") or {}).get("values") or {}
    if body.get("type") != "view_submission":
        return ack()
    if block := next(iter(values), None):
        return ack(response_action="errors", errors={block: unmarked(message.text)})
    return ack(response_action="update", view=modal_of(message))
