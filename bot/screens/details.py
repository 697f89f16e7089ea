"""The modal behind a card: replicas, ladder and logs, for everyone who sees the deployment."""

import logging
import threading
from collections.abc import Sequence

from slack_bolt import App

from bot.commands.answer_handlers import rated
from bot.commands.context import Caller
from bot.commands.delivery import modal_of
from bot.commands.errors import CommandError
from bot.commands.handlers import LOG_LINES
from bot.commands.policy import Permission
from bot.language.command import SLASH
from bot.screens.presses import NOTHING, Presses, value_of
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from bot.views import details as view
from bot.views.logs import MAX_REPLICAS, ShownLog
from bot.views.refusal import refusal
from workers.api import LogsGone
from workers.deployment.state import Deployment

_LOG = logging.getLogger(__name__)


class DetailsModal:
    """A modal is opened without logs, because reading them from a cloud takes longer than a trigger is valid."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses
        self._context = presses.context
        self._reading: set[str] = set()
        """The ids of the modals whose logs are being read."""
        self._lock = threading.Lock()

    def register(self, app: App) -> None:
        click = self._presses.click
        app.action("card_details")(click("details", self._open, ack_within=0))
        app.action("card_logs")(click("details", self._open, ack_within=0))  # on cards of earlier versions
        app.action(view.REFRESH)(click("refresh details", self._refresh, ack_within=0))

    def _open(self, body: JSON, caller: Caller) -> Message:
        state = self._presses.deployment(body, caller)
        opening = view.modal(state, self._context.now(), rated=rated(state, self._context))
        shown = self._presses.shown(caller, opening, f"{SLASH} status {state.name}")
        self._show_logs(shown, state, caller)
        return NOTHING

    def _refresh(self, body: JSON, caller: Caller) -> Message:
        try:
            state = self._presses.by_id(value_of(body), caller)
        except CommandError as gone:
            self._show(body.get("view") or {}, modal_of(refusal(gone.sentence)))
        else:
            self._show_logs(body.get("view") or {}, state, caller)
        return NOTHING

    def _show_logs(self, shown: JSON, state: Deployment, caller: Caller) -> None:
        """Read the logs, once at a time for a modal: Slack would refuse the result of a second reading."""
        id_ = shown.get("id", "")
        with self._lock:
            if id_ in self._reading:
                return
            self._reading.add(id_)
        try:
            self._show(shown, self._with_logs(state, caller))
        finally:
            with self._lock:
                self._reading.discard(id_)

    def _with_logs(self, state: Deployment, caller: Caller) -> JSON:
        found: Sequence[ShownLog] | str = self._context.sight.forbids(
            caller.user, Permission.SEE_LOGS, state.place.channel, state.name
        )
        try:
            found = found or self._context.deployments.logs(state.id, LOG_LINES, newest=MAX_REPLICAS)
        except LogsGone as gone:
            found = str(gone)
        return view.modal(state, self._context.now(), found, rated=rated(state, self._context))

    def _show(self, shown: JSON, now: JSON) -> None:
        """Replace a modal, unless it was closed or replaced meanwhile."""
        try:
            self._presses.slack.update_view(shown.get("id", ""), now, shown=shown.get("hash", ""))
        except SlackRefused as refused:
            _LOG.info("details are not updated: %s", refused)
        except SlackFailed as failed:
            _LOG.warning("details are not updated: %s", failed)
