"""Receives Slack's commands, clicks and events, and acks each of them, also unknown ones."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta

from redis.exceptions import RedisError
from slack_bolt import Ack, App, BoltContext, BoltResponse
from slack_bolt.error import BoltUnhandledRequestError

from bot.commands import handlers
from bot.commands.context import Caller, CommandContext
from bot.commands.delivery import after_ack, beside, modal_of
from bot.commands.errors import CommandError
from bot.commands.lookup import check, check_runs
from bot.commands.message_commands import MessageCommands
from bot.commands.policy import Permission
from bot.commands.scale_handler import scale_to
from bot.commands.settle import new_incident, settle, unexpected
from bot.commands.strangers import sender_of
from bot.commands.visibility import Viewer
from bot.door import ACK_BY, ACK_WITHIN, OUTSIDE, Door
from bot.home_tab import HomeTab
from bot.language.command import SLASH
from bot.language.grammar import parse
from bot.language.question import is_for_others, of_message
from bot.language.typed_text import plain
from bot.language.values import InvalidValue, replicas
from bot.prompting.store import Threads
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed
from bot.slack.message import JSON, Message
from bot.slack.responses import in_ack
from bot.views import end_question
from bot.views import scale as scale_view
from bot.views.answer_choice import CHOOSE
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

_LOG = logging.getLogger(__name__)

WRITTEN = frozenset({None, "file_share", "thread_broadcast"})
"""Subtypes of messages that a person wrote."""

TOO_OLD = timedelta(days=1)
"""Age of a message that is not answered any more."""

NOTHING = Message(text="")

A_MOMENT = Message(text="This takes longer than usual. The result follows here in a moment.")

NOT_CERTAIN = f"This took too long, and may or may not have been stored. Check `{SLASH} status`, then try again."


class Listeners:
    """Everything that the app listens to.

    A listener runs in the thread of its envelope, before the ack (`process_before_response`), until `ACK_BY` at most.
    Longer work runs in `later`.
    """

    def __init__(
        self,
        context: CommandContext,
        threads: Threads,
        bot_user: str,
        later: Executor,
        slack: SlackCalls,
        *,
        door: Door,
        homes: Executor | None = None,
    ) -> None:
        """`homes`: where Home tabs are published, which may wait for minutes; default: `later`."""
        self._context = context
        self._threads = threads
        self._bot_user = bot_user
        self._later = later
        self._slack = slack
        self._door = door
        self._commands = MessageCommands(context, bot_user, later, slack)
        self._home = HomeTab(context, slack, homes or later)

    def register(self, app: App) -> None:
        app.middleware(self._door.enter)
        app.command(SLASH)(self.command)
        app.action("card_endpoint")(self._click("endpoint", self._on_its_deployment(handlers.endpoint_of)))
        app.action("card_keep_trying")(self._click("keep trying", self._on_its_deployment(handlers.keep_trying)))
        app.action("card_down")(self._click("down", self._open_end, ack_within=0))
        app.action("card_logs")(self._click("logs", self._logs, ack_within=0))
        app.action("card_scale")(self._click("scale", self._open_scale, ack_within=0))
        app.action(re.compile(f"^{CHOOSE}"))(self._click("ask", self._ask_again))
        app.view("scale_deployment")(self.scale_submitted)
        app.view(end_question.CALLBACK)(self.end_submitted)
        app.event("app_home_opened")(self.home_opened)
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
                type(command).__name__.lower(), caller, lambda: handlers.handle(command, caller, self._context)
            )

        working = self._later.submit(work)
        try:
            in_ack(ack, working.result(timeout=_until_ack(context)))
        except FutureTimeoutError:
            in_ack(ack, A_MOMENT)
            working.add_done_callback(lambda done: after_ack(done.result(), caller))

    def _click(
        self, word: str, work: Callable[[JSON, Caller], Message], *, ack_within: float = ACK_WITHIN
    ) -> Callable[..., None]:
        """A listener that acks, and shows the result of `work`. `ack_within`: seconds to wait for it before the ack."""

        def clicked(ack: Ack, body: JSON, context: BoltContext) -> None:
            caller = caller_of(body, context)
            working = self._later.submit(settle, f"button {word}", caller, lambda: work(body, caller))
            wait([working], timeout=min(ack_within, _until_ack(context)))
            ack()
            working.add_done_callback(lambda done: self._later.submit(self._show, done.result(), caller))

        return clicked

    def _show(self, message: Message, caller: Caller) -> None:
        if message != NOTHING:
            beside(message, caller, self._slack)

    def _on_its_deployment(
        self, work: Callable[[Deployment, Caller, CommandContext], Message]
    ) -> Callable[[JSON, Caller], Message]:
        return lambda body, caller: work(self._deployment(body, caller), caller, self._context)

    def _logs(self, body: JSON, caller: Caller) -> Message:
        return handlers.logs_of(self._deployment(body, caller), self._context)

    def _ask_again(self, body: JSON, caller: Caller) -> Message:
        return handlers.ask_again(_value(body), caller, self._context)

    def _open_scale(self, body: JSON, caller: Caller) -> Message:
        state = self._deployment(body, caller)
        check(Permission.SCALE, state, caller, self._context)
        check_runs(state)
        return self._opened(caller, scale_view.modal(state, self._context.now()), f"{SLASH} scale {state.name} 2")

    def _open_end(self, body: JSON, caller: Caller) -> Message:
        """Ask before the end; only those who may end it are asked."""
        state = self._deployment(body, caller)
        check(Permission.END, state, caller, self._context)
        if reply := handlers.ends_already(state):
            return reply
        return self._opened(caller, end_question.modal(state), f"{SLASH} down {state.name}")

    def _opened(self, caller: Caller, view: JSON, instead: str) -> Message:
        """Open a modal. Raises CommandError, with the command that does the same, if Slack refuses."""
        try:
            self._slack.open_view(caller.once, view)
        except SlackFailed as failed:
            raise CommandError(
                f"The window could not be opened: {failed} Press again in a moment.", hint=instead
            ) from failed
        return NOTHING

    def end_submitted(self, ack: Ack, body: JSON, view: JSON, context: BoltContext) -> None:
        caller = caller_of(body, context)

        def end() -> Message:
            state = self._by_id(view["private_metadata"], caller)
            already = handlers.ends_already(state)
            handlers.end(state, caller, self._context)
            return already or NOTHING  # the card shows the end

        working = self._later.submit(settle, "modal down", caller, end)
        try:
            message = working.result(timeout=_until_ack(context))
        except FutureTimeoutError:
            message = Message(text=NOT_CERTAIN)
        if message == NOTHING:
            ack()
        else:
            ack(response_action="update", view=modal_of(message))

    def scale_submitted(self, ack: Ack, body: JSON, view: JSON, context: BoltContext) -> None:
        [(block, inputs)] = view["state"]["values"].items()
        [given] = inputs.values()
        caller = caller_of(body, context)

        def scale() -> Message:
            try:
                count = replicas(plain(given.get("value") or ""), "The number of replicas", least=0)
            except InvalidValue as wrong:
                raise CommandError(wrong.sentence) from wrong
            scale_to(self._by_id(view["private_metadata"], caller), count, caller, self._context)
            return NOTHING

        working = self._later.submit(settle, "modal scale", caller, scale)
        try:
            message = working.result(timeout=_until_ack(context))
        except FutureTimeoutError:
            message = Message(text=NOT_CERTAIN)
        if message == NOTHING:
            ack()
        else:
            ack(response_action="errors", errors={block: message.text})

    def message(self, body: JSON, event: JSON, context: BoltContext) -> None:
        """Ask, if a message is a prompt: a direct message, a mention, or in a thread that the bot answered."""
        if (deleted := deleted_ts(event)) is not None:
            self._context.answers.deleted(event["channel"], deleted)
            return
        if event.get("subtype") not in WRITTEN or event.get("bot_id") or not event.get("user"):
            return
        if not self._is_prompt(event) or self._is_old(event):
            return
        team = sender_of(body).team or body.get("team_id") or ""  # the person's, which may be another workspace
        id_ = body.get("event_id") or f"{event['channel']}:{event['ts']}"
        # Stored before the ack, so that Slack repeats an event that could not be stored. Repetitions have no effect.
        outside = bool(context.get(OUTSIDE))
        question = of_message(event, id_=id_, team=team, bot_user=self._bot_user, outside=outside)
        if not self._commands.take(event.get("text") or "", question):
            self._context.answers.ask(question)

    def _is_prompt(self, event: JSON) -> bool:
        channel, root = event["channel"], event.get("thread_ts")
        if event["type"] == "app_mention" or event.get("channel_type") == "im" or channel.startswith("D"):
            return True
        if f"<@{self._bot_user}" in (event.get("text") or ""):
            return True
        if root is None or is_for_others(event.get("text") or ""):
            return False
        return self._threads.knows(channel, root)

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

    def home_opened(self, event: JSON, context: BoltContext) -> None:
        if event.get("tab", "home") == "home":
            self._home.opened(Viewer(user=event["user"], outside=bool(context.get(OUTSIDE))))

    def _deployment(self, body: JSON, caller: Caller) -> Deployment:
        return self._by_id(_value(body), caller)

    def _by_id(self, deployment: str, caller: Caller) -> Deployment:
        """The deployment that a button or a modal names, if the caller may see it. Raises CommandError."""
        state = self._context.deployments.by_id(DeploymentId(deployment))
        if state is None or not self._context.sight.sees(caller.viewer, state):
            raise CommandError("This deployment has ended, and its log no longer exists.", hint=f"{SLASH} status")
        return state


def _until_ack(context: BoltContext) -> float:
    """The time that is left until the ack is due, in seconds."""
    return max(0.0, float(context[ACK_BY]) - time.monotonic())


def _value(body: JSON) -> str:
    return body["actions"][0].get("value") or ""


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


def caller_of(body: JSON, context: BoltContext) -> Caller:
    """Return who sent a command, a click or a modal. Their payloads differ."""
    user, team, channel = body.get("user") or {}, body.get("team") or {}, body.get("channel") or {}
    container = body.get("container") or {}
    return Caller(
        # The person's: in a shared channel, and on Grid, `team` of a click is that of the app.
        team=user.get("team_id") or body.get("team_id") or team.get("id") or "",
        channel=body.get("channel_id") or channel.get("id") or container.get("channel_id") or "",
        user=body.get("user_id") or user.get("id") or "",
        # A request without an id gets a random one, so that it does not count as a repetition.
        once=body.get("trigger_id") or f"untold.{secrets.token_hex(8)}",
        response_url=body.get("response_url"),
        outside=bool(context.get(OUTSIDE)),
    )


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
    incident = new_incident(error)
    return _ack(unexpected(incident).text if "command" in body else "")


def _ack(text: str) -> BoltResponse:
    return BoltResponse(status=200, body={"response_type": "ephemeral", "text": text} if text else "")
