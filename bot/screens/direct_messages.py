"""Sends the direct messages of requests to one person, and continues what a process that ended has left."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from msgspec.structs import replace
from redis import Redis
from redis.exceptions import RedisError

from bot.commands import approving, asking
from bot.commands.context import CommandContext
from bot.commands.settle import new_incident, record
from bot.language.direct_request import APPROVALS, Copy, Deed, DeedStage, DirectRequest
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from bot.slack.reading import find
from bot.views import approval
from bot.views import request_message as view
from workers.deployment.audit import CONTROL, AuditEntry, AuditOutcome
from workers.lease import Lease

_LOG = logging.getLogger(__name__)

LEASE = timedelta(seconds=6)
EVERY = timedelta(seconds=1)
"""Interval between two passes. A change by this process starts one immediately."""

CONTINUED_AFTER = timedelta(minutes=1)
"""Time after which a key whose display was not confirmed counts as not shown: its process has ended."""

SKEW = timedelta(minutes=2)
"""Maximum difference between Slack's clock and the clock of this host."""

MESSAGE, OUTCOME = "mixtral_request", "mixtral_outcome"
"""Kinds of messages, as the event type of their metadata."""


class DirectMessages:
    """One process at a time works, by lease. A message is searched for before it is posted a second time."""

    def __init__(self, context: CommandContext, slack: SlackCalls, redis: Redis) -> None:
        self._context = context
        self._requests = context.direct_requests
        self._slack = slack
        self._lease = Lease(redis, "direct", LEASE)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            try:
                with self._lease.held() as ours:
                    while ours and not stop.is_set() and self._lease.renew():
                        self._requests.changed.clear()
                        self.deliver()
                        self._requests.changed.wait(EVERY.total_seconds())
            except RedisError as error:
                _LOG.warning("requests to people cannot be continued; retrying: %s", error)
            stop.wait(EVERY.total_seconds())

    def deliver(self) -> None:
        """Make one pass over all requests. Raises RedisError."""
        for request in self._requests.all():
            try:
                self._continue(request)
            except SlackBusy as busy:
                _LOG.info("%s", busy)
            except SlackFailed as failed:
                _LOG.warning("the message of the request %s was not sent: %s", request.id, failed)
            except RedisError:
                raise
            except Exception as error:  # noqa: BLE001 - the others are continued
                new_incident(error)

    def _continue(self, request: DirectRequest) -> None:
        now = self._context.now()
        if request.stage is DeedStage.WAITING and now >= request.expires_at:
            self._give_up(request, DeedStage.EXPIRED)
        elif request.stage is DeedStage.WAITING and request.deed in APPROVALS:
            self._send_copies(request)
        elif request.stage is DeedStage.WAITING and not request.ts:
            self._send(request)
        elif request.stage is DeedStage.GRANTED and not request.done:
            decided = request.decided_at or now
            if request.deed in APPROVALS:
                approving.carry_out(request, self._context)
            elif request.deed is not Deed.TAKE_KEY:
                asking.carry_out(request, self._context)
            elif now - decided > CONTINUED_AFTER:
                asking.not_shown(request, self._context)
        newest = self._requests.get(request.id)
        if newest is not None and newest.is_settled:
            self._close(newest)
        elif newest is not None and newest.interrupted and not request.interrupted:
            self._update(newest, view.asked(newest, None, now))

    def _send(self, request: DirectRequest) -> None:
        state = self._context.deployments.by_id(request.deployment)
        message = view.asked(request, state, self._context.now())
        try:
            dm, ts = self._post_once(request, request.to, message, MESSAGE)
        except SlackRefused as refused:
            _LOG.warning("%s cannot be sent a request: %s", request.to, refused)
            why = f"Slack refused the direct message to <@{request.to}> ({refused.code})."
            self._give_up(request, DeedStage.VOID, why)
            return
        self._change(request, lambda r: replace(r, dm=dm, ts=ts))

    def _send_copies(self, request: DirectRequest) -> None:
        """Send the request to each approver who has not got it. It is void if Slack refuses all of them."""
        for user in request.approvers:
            newest = self._requests.get(request.id) or request
            if newest.stage is not DeedStage.WAITING or any(copy.user == user for copy in newest.copies):
                continue
            copy = Copy(user=user)
            try:
                dm, ts = self._post_once(newest, user, approval.asked(newest), MESSAGE, begun=f"{MESSAGE}:{user}")
                copy = Copy(user=user, dm=dm, ts=ts)
            except SlackRefused as refused:
                _LOG.warning("the approver %s cannot be sent a request: %s", user, refused)
            self._change(newest, partial(_with_copy, copy))
        newest = self._requests.get(request.id) or request
        if newest.copies and not any(copy.ts for copy in newest.copies):
            self._give_up(newest, DeedStage.VOID, "Slack refused the direct messages to all approvers.")

    def _give_up(self, request: DirectRequest, stage: DeedStage, why: str = "") -> None:
        """Settle a request without an answer."""
        self._change(request, lambda r: replace(r, stage=stage, why=why) if r.stage is DeedStage.WAITING else None)

    def _close(self, request: DirectRequest) -> None:
        """Remove the buttons, notify the person who asked, and delete the request."""
        if request.stage in (DeedStage.EXPIRED, DeedStage.VOID):
            self._audited(request)
        if request.ts:
            self._update(request, view.settled(request))
        for copy in request.copies:
            if copy.ts:
                self._update(replace(request, dm=copy.dm, ts=copy.ts), view.settled(request))
        if (message := view.outcome(request)) is not None:
            self._tell(request, message)
        self._requests.remove(request, again=request.deed in APPROVALS or request.stage is not DeedStage.DECLINED)

    def _audited(self, request: DirectRequest) -> None:
        """Record that a request came to nothing without a decision. Its cause may quote the command, so it is not."""
        entry = AuditEntry(
            at=self._context.now(),
            who=CONTROL,
            what=f"request {request.stage.value}",
            outcome=AuditOutcome.REFUSED,
            where=request.channel,
            deployment=request.deployment,
            detail=f"{request.deed.value}, asked by {request.asker}",
        )
        record(self._context.audit, entry, once=f"request:{request.id}")

    def _update(self, request: DirectRequest, message: Message) -> None:
        try:
            self._slack.update(request.dm, request.ts, message)
        except SlackRefused as refused:  # deleted, for example
            _LOG.info("the message of the request %s keeps its content: %s", request.id, refused)

    def _tell(self, request: DirectRequest, message: Message) -> None:
        """Send the outcome: as a direct message, since an ephemeral one reaches only a person who is online."""
        try:
            self._post_once(request, request.asker, message, OUTCOME)
        except SlackRefused as refused:
            _LOG.info("%s gets the outcome where they asked: %s", request.asker, refused)
            try:
                self._slack.whisper(request.channel, request.asker, message)
            except SlackRefused as refused_too:
                _LOG.warning("the outcome could not be sent to %s: %s", request.asker, refused_too)

    def _post_once(
        self, request: DirectRequest, user: str, message: Message, kind: str, *, begun: str = ""
    ) -> tuple[str, str]:
        """The channel and the ts of a message, which is posted unless it is there already.

        `begun`: the note that its post was started, if it is not the kind.
        """
        begun = begun or kind
        channel = self._slack.open_direct(user)
        mark: JSON = {"event_type": kind, "event_payload": {"request": request.id}}
        if begun in request.begun and (ts := self._standing(channel, mark, request)) is not None:
            return channel, ts
        self._change(request, lambda r: replace(r, begun=(*r.begun, begun)) if begun not in r.begun else None)
        return channel, self._slack.post(channel, message, metadata=mark)

    def _standing(self, channel: str, mark: JSON, request: DirectRequest) -> str | None:
        try:
            return find(self._slack, channel, mark, since=request.made_at - SKEW)
        except SlackRefused as refused:  # without access to the history, a second message is better than none
            _LOG.info("looking for the message of the request %s: %s", request.id, refused)
            return None

    def _change(self, request: DirectRequest, changed: Callable[[DirectRequest], DirectRequest | None]) -> None:
        self._requests.change(request.id, changed)


def _with_copy(copy: Copy, request: DirectRequest) -> DirectRequest:
    return replace(request, copies=(*request.copies, copy))
