"""The buttons of an approval: approve it, or deny it with a reason."""

from slack_bolt import App

from bot.commands import approving
from bot.commands.context import Caller
from bot.commands.errors import CommandError
from bot.language.typed_text import plain
from bot.screens.presses import NOTHING, Presses, entered, metadata_of, value_of
from bot.slack.message import JSON, Message
from bot.views import approval as view
from recipes.hidden import visible_prose


class ApprovalButtons:
    """Registers a listener for each of the buttons, and for the modal of the reason."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses
        self._context = presses.context

    def register(self, app: App) -> None:
        app.action(view.APPROVE)(self._presses.click("approve", self._approve))
        app.action(view.DENY)(self._presses.click("deny", self._open, ack_within=0))
        app.view(view.CALLBACK)(self._presses.submitted("deny", self._deny))

    def _approve(self, body: JSON, caller: Caller) -> Message:
        approving.approve(value_of(body), caller, self._context)
        return NOTHING  # the message shows the decision

    def _open(self, body: JSON, caller: Caller) -> Message:
        request = approving.request_of(value_of(body), caller, self._context)
        return self._presses.opened(caller, view.deny_modal(request), "/mixtral status")

    def _deny(self, shown: JSON, caller: Caller) -> Message:
        given = entered(shown, view.REASON, view.REASON)
        reason = visible_prose(plain(str(given.get("value") or ""))).strip()[: view.MAX_REASON]
        if not reason:
            raise CommandError("Write a reason: the person who asked reads it.")
        approving.deny(metadata_of(shown), reason, caller, self._context)
        return NOTHING
