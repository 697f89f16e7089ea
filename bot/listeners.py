"""Receives Slack's commands and events, and acks each request, also unknown ones."""

import logging
import re
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta

from redis.exceptions import RedisError
from slack_bolt import Ack, App, BoltContext, BoltResponse
from slack_bolt.error import BoltUnhandledRequestError

from bot.admission import OUTSIDE, Admission
from bot.commands import handlers
from bot.commands.context import CommandContext
from bot.commands.delivery import after_ack
from bot.commands.message_commands import MessageCommands
from bot.commands.settle import new_incident, record, redis_failed, settle, unexpected
from bot.commands.strangers import sender_of
from bot.language.command import SLASH
from bot.language.grammar import parse
from bot.language.question import is_for_others, of_message
from bot.prompting.attached import has_attachments
from bot.prompting.store import Threads
from bot.screens.answer_buttons import AnswerButtons
from bot.screens.approval_buttons import ApprovalButtons
from bot.screens.ask_launcher import AskLauncher
from bot.screens.ask_modal import AskForm
from bot.screens.card_buttons import CardButtons
from bot.screens.command_buttons import CommandButtons
from bot.screens.config_form import ConfigForm
from bot.screens.confirmations import Confirmations
from bot.screens.details import DetailsModal
from bot.screens.home_tab import HomeTab
from bot.screens.launch_modal import LaunchForm
from bot.screens.presses import Presses, caller_of, until_ack
from bot.slack.calls import SlackCalls
from bot.slack.fair_threads import FairThreads
from bot.slack.message import JSON, Message
from bot.slack.responses import in_ack
from workers.deployment.audit import AuditEntry

_LOG = logging.getLogger(__name__)

WRITTEN = frozenset({None, "file_share", "thread_broadcast"})
"""Subtypes of messages that a person wrote."""

TOO_OLD = timedelta(days=1)
"""Age of a message that is not answered any more."""

A_MOMENT = Message(text="This takes longer than usual. The result follows here in a moment.")


class Listeners:
    """Everything that the app listens to.

    A listener runs in the thread of its envelope, before the ack (`process_before_response`), until `ACK_BY` at most.
    Longer work runs in `later`, where the people take turns.
    """

    def __init__(
        self,
        context: CommandContext,
        threads: Threads,
        bot_user: str,
        later: FairThreads,
        slack: SlackCalls,
        *,
        admission: Admission,
    ) -> None:
        self._context = context
        self._threads = threads
        self._bot_user = bot_user
        self._later = later
        self._presses = Presses(context, slack, later)
        self._admission = admission
        self._commands = MessageCommands(context, bot_user, later, slack)
        self.home = HomeTab(context, slack)

    def register(self, app: App) -> None:
        app.middleware(self._admission.admit)
        app.command(SLASH)(self.command)
        CardButtons(self._presses).register(app)
        AskLauncher(self._presses).register(app)
        CommandButtons(self._presses).register(app)
        ApprovalButtons(self._presses).register(app)
        Confirmations(self._presses).register(app)
        LaunchForm(self._presses).register(app)
        DetailsModal(self._presses).register(app)
        AnswerButtons(self._presses).register(app)
        AskForm(self._presses).register(app)
        ConfigForm(self._presses).register(app)
        self.home.register(app)
        app.event("app_mention")(self.message)
        app.event("agent_session_stopped")(self.session_stopped)
        app.event("message")(self.message)
        app.event(re.compile(".*"))(ignored)
        app.error(failed)

    def command(self, ack: Ack, body: JSON, context: BoltContext) -> None:
        caller = caller_of(body, context)
        command = parse(body.get("text") or "")

        def work() -> Message:
            return settle(
                type(command).__name__.lower(),
                caller,
                lambda: handlers.handle(command, caller, self._context),
                self._context.audit,
            )

        working = self._later.submit(caller.user, work)
        try:
            in_ack(ack, working.result(timeout=until_ack(context)))
        except FutureTimeoutError:
            in_ack(ack, A_MOMENT)
            working.add_done_callback(lambda done: after_ack(done.result(), caller))

    def message(self, body: JSON, event: JSON, context: BoltContext) -> None:
        """Ask, if a message is a prompt: a direct message, a mention, or in a thread that the bot answered."""
        if not event.get("channel"):  # a message whose key for encryption is revoked
            return
        if (deleted := deleted_ts(event)) is not None:
            self._context.answers.deleted(event["channel"], deleted)
            return
        if event.get("subtype") not in WRITTEN or event.get("bot_id") or not (event.get("user") and event.get("ts")):
            return
        if not self._is_prompt(event) or self._is_old(event):
            return
        team = sender_of(body).team or body.get("team_id") or ""  # the person's, which may be another workspace
        id_ = body.get("event_id") or f"{event['channel']}:{event['ts']}"
        # Stored before the ack, so that Slack repeats an event that could not be stored. Repetitions have no effect.
        outside = bool(context.get(OUTSIDE))
        attached = has_attachments(event)
        question = of_message(event, id_=id_, team=team, bot_user=self._bot_user, attached=attached, outside=outside)
        if not self._commands.take(event.get("text") or "", question) and self._context.answers.ask(question):
            self._audited("question", question.user, question.channel, once=question.key)

    def _is_prompt(self, event: JSON) -> bool:
        channel, root = event["channel"], event.get("thread_ts")
        if event["type"] == "app_mention" or event.get("channel_type") == "im" or channel.startswith("D"):
            return True
        if f"<@{self._bot_user}" in (event.get("text") or ""):
            return True
        if root is None or is_for_others(event.get("text") or ""):
            return False
        return self._threads.knows(channel, root) and self._context.settings.of(channel, event["user"]).unasked

    def _is_old(self, event: JSON) -> bool:
        """Whether Slack delivers a message so late that nobody waits for its answer."""
        is_old = self._context.now().timestamp() - float(event["ts"]) > TOO_OLD.total_seconds()
        if is_old:
            _LOG.warning("A message in %s was delivered more than a day late, and is not answered.", event["channel"])
        return is_old

    def session_stopped(self, event: JSON) -> None:
        """End the answers in a thread: somebody pressed Stop. Stored before the ack, as a question is."""
        if event.get("thread_ts"):
            self._context.answers.stop(event["channel"], event["thread_ts"], event["event_ts"])
            once = f"stop:{event['channel']}:{event['event_ts']}"
            self._audited("stop answers", event.get("user") or "", event["channel"], once=once)

    def _audited(self, what: str, who: str, where: str, *, once: str) -> None:
        """Record what is no command and no press; of a question, that it was asked, without its text."""
        record(self._context.audit, AuditEntry(at=self._context.now(), who=who, what=what, where=where), once=once)


def ignored(event: JSON) -> None:
    """Ack an event that the bot does not use; Slack would repeat it otherwise."""
    _LOG.debug("ignored a %s", event.get("type"))


def deleted_ts(event: JSON) -> str | None:
    """Return the ts of the message that an event reports as deleted. One with replies is changed into a tombstone."""
    match event:
        case {"subtype": "message_deleted", "deleted_ts": str(ts)}:
            return ts
        case {"subtype": "message_changed", "message": {"subtype": "tombstone", "ts": str(ts)}}:
            return ts
        case _:
            return None


def failed(error: Exception, body: JSON) -> BoltResponse:
    """Ack requests without a listener, and report unexpected errors."""
    if isinstance(error, BoltUnhandledRequestError):
        _LOG.info("no listener for a %s", body.get("type") or "command")
        return (
            _ack(f"The bot has no command {body['command']}. Write `{SLASH} help`.") if "command" in body else _ack("")
        )
    if "event" in body and isinstance(error, RedisError):
        _LOG.warning("Redis does not answer, so Slack has to repeat an event: %s", error)
        return BoltResponse(status=503, body="")
    if "command" in body and isinstance(error, RedisError):
        _LOG.warning("Redis failed: %s", error)
        return _ack(redis_failed(error))
    incident = new_incident(error)
    return _ack(unexpected(incident).text if "command" in body else "")


def _ack(text: str) -> BoltResponse:
    return BoltResponse(status=200, body={"response_type": "ephemeral", "text": text} if text else "")
