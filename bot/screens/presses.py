"""What people press: acks a button, a modal or a shortcut in time, and shows the result to the person."""

import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures import wait
from typing import Any

from redis.exceptions import RedisError
from slack_bolt import Ack, BoltContext

from bot.admission import ACK_BY, ACK_WITHIN, OUTSIDE
from bot.commands.context import Caller, CommandContext
from bot.commands.delivery import beside, modal_of
from bot.commands.errors import CommandError, Unapproved, Unconfirmed, WrongInput
from bot.commands.settle import settle
from bot.language.command import SLASH
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed
from bot.slack.fair_threads import FairThreads
from bot.slack.message import JSON, Message
from bot.slack.message import NOTHING as NOTHING  # noqa: PLC0414 - part of what a press returns
from bot.slack.slack_steps import Steps, insisting
from bot.views import confirm
from bot.views.escape import unmarked
from workers.deployment.asked import about
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

_LOG = logging.getLogger(__name__)

NOT_CERTAIN = f"This took too long, and may or may not have been stored. Check `{SLASH} status`, then try again."


class Presses:
    """The listeners of buttons and modals run their work in `later`, and wait for it until the ack is due."""

    def __init__(self, context: CommandContext, slack: SlackCalls, later: FairThreads) -> None:
        self.context = context
        self.slack = slack
        self._later = later

    def click(
        self, word: str, work: Callable[[JSON, Caller], Message], *, ack_within: float = ACK_WITHIN
    ) -> Callable[..., None]:
        """A listener that acks, and shows the result of `work`. `ack_within`: seconds to wait for it before the ack.

        `word`: for the log.
        """

        def clicked(ack: Ack, body: JSON, context: BoltContext) -> None:
            caller = caller_of(body, context)
            working = self._later.submit(
                caller.user, settle, f"button {word}", caller, lambda: work(body, caller), self.context.audit
            )
            wait([working], timeout=min(ack_within, until_ack(context)))
            ack()
            working.add_done_callback(lambda done: self._later.submit(caller.user, self._show, done.result(), caller))

        return clicked

    def submitted(self, word: str, work: Callable[[JSON, Caller], Message]) -> Callable[..., None]:
        """A listener for a modal that is submitted. `work` gets the view.

        The modal closes if `work` returns NOTHING, and otherwise shows its message. An error of `work` is shown at the
        input that a WrongInput names, otherwise at the first input, or instead of a modal without inputs.
        """

        def submitted(ack: Ack, body: JSON, view: JSON, context: BoltContext) -> None:
            caller = caller_of(body, context)
            outcome = _Outcome(work)
            working = self._later.submit(
                caller.user, settle, f"modal {word}", caller, lambda: outcome.of(view, caller), self.context.audit
            )
            try:
                message = working.result(timeout=until_ack(context))
            except FutureTimeoutError:
                message = Message(text=NOT_CERTAIN)
            if outcome.view is not None:
                ack(response_action="update", view=outcome.view)
            elif message == NOTHING:
                ack()
            elif errors := outcome.errors(view, message):
                ack(response_action="errors", errors=errors)
            else:
                ack(response_action="update", view=modal_of(message))

        return submitted

    def opened(self, caller: Caller, view: JSON, instead: str) -> Message:
        """Open a modal. Raises CommandError, with the command that does the same, if Slack refuses."""
        self.shown(caller, view, instead)
        return NOTHING

    def shown(self, caller: Caller, view: JSON, instead: str) -> JSON:
        """Open a modal, as `opened` does; returns the view as Slack stores it, with `id` and `hash`."""
        try:
            return self.slack.open_view(caller.once, view)
        except SlackFailed as failed:
            raise CommandError(
                f"The window could not be opened: {failed} Press again in a moment.", hint=instead
            ) from failed

    def post_later(self, channel: str, message: Message) -> None:
        """Post a message, without a wait for it. If it fails, that is logged."""

        def post() -> Steps[None]:
            try:
                yield from insisting(lambda: self.slack.post(channel, message), after_away=False)
            except (SlackFailed, RedisError) as failed:
                _LOG.warning("A message could not be posted in %s: %s", channel, failed)

        self.slack.outbox.put(channel, post())

    def deployment(self, body: JSON, caller: Caller) -> Deployment:
        """The deployment whose id is a button's value, if the caller may see it. Raises CommandError."""
        return self.by_id(value_of(body), caller)

    def by_id(self, deployment: str, caller: Caller) -> Deployment:
        """The deployment of this id, if the caller may see it. Raises CommandError."""
        state = self.context.deployments.by_id(DeploymentId(deployment))
        is_seen = state is not None and self.context.sight.sees(caller.viewer, state)
        if state is not None:
            about(state.id, may=is_seen)
        if state is None or not is_seen:
            raise CommandError("This deployment has ended, and its log no longer exists.", hint=f"{SLASH} status")
        return state

    def _show(self, message: Message, caller: Caller) -> None:
        if message != NOTHING:
            beside(message, caller, self.slack)


class _Outcome:
    """Whether the work of a modal succeeded, and at which inputs its errors are shown."""

    def __init__(self, work: Callable[[JSON, Caller], Message]) -> None:
        self._work = work
        self._is_done = False
        self._errors: dict[str, str] = {}
        self.view: JSON | None = None
        """The modal that follows, if a confirmation or an approval is needed first."""

    def of(self, view: JSON, caller: Caller) -> Message:
        try:
            message = self._work(view, caller)
        except Unconfirmed as asked:
            self.view = confirm.modal(asked.draft, asked.sentence)
            raise
        except Unapproved as waiting:
            self.view = modal_of(waiting.message)
            raise
        except WrongInput as wrong:
            self._errors = {wrong.block: wrong.sentence}
            raise
        self._is_done = True
        return message

    def errors(self, view: JSON, message: Message) -> dict[str, str]:
        """The errors as plain text, by the block_id of an input. None: the work succeeded, or there is no input."""
        first = next(iter(values_of(view)), None)
        if self._is_done or first is None:
            return {}
        shown = self._errors or {first: message.text}
        return {block: unmarked(sentence) for block, sentence in shown.items()}


def until_ack(context: BoltContext) -> float:
    """The time that is left until the ack is due, in seconds."""
    return max(0.0, float(context[ACK_BY]) - time.monotonic())


def value_of(body: JSON) -> str:
    """The value of the button that was pressed."""
    return body["actions"][0].get("value") or ""


def values_of(view: JSON) -> dict[str, Any]:
    """The inputs of a modal: block_id to action_id to input."""
    return (view.get("state") or {}).get("values") or {}


def entered(view: JSON, block: str, action: str) -> JSON:
    """What an input of a modal contains; empty if the modal has no such input."""
    return (values_of(view).get(block) or {}).get(action) or {}


def metadata_of(view: JSON) -> str:
    return view.get("private_metadata") or ""


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
        thread=_thread_of(container) or _thread_of_shortcut(body),
        outside=bool(context.get(OUTSIDE)),
    )


def _thread_of(container: JSON) -> str | None:
    """The thread in which a message with a button stands. The root of a thread stands in the channel."""
    thread = container.get("thread_ts")
    return thread if thread != container.get("message_ts") else None


def _thread_of_shortcut(body: JSON) -> str | None:
    """The thread of the message in whose menu a shortcut was chosen: its payload has no container."""
    return (body.get("message") or {}).get("thread_ts") if body.get("type") == "message_action" else None
