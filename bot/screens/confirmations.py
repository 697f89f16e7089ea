"""The buttons and the modal that confirm a launch or a scale that costs much, or drop it."""

from typing import Any

from msgspec.structs import replace
from slack_bolt import App

from bot.commands.context import Caller
from bot.commands.errors import CommandError
from bot.commands.one_press import NO_LONGER, carry_out_confirmed
from bot.commands.visibility import Viewer
from bot.language.command import SLASH
from bot.language.confirmation import Confirmation
from bot.screens.command_buttons import VALID_FOR, posted
from bot.screens.presses import NOTHING, Presses, metadata_of, value_of
from bot.slack.message import JSON, Message
from bot.slack.responses import respond
from bot.views import confirm as view


class Confirmations:
    """Each confirmation is carried out once, and checked again by the person's rights and by the present price."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses
        self._context = presses.context

    def register(self, app: App) -> None:
        app.action(view.CONFIRM)(self._presses.click("confirm", self._confirm))
        app.action(view.DROP)(self._presses.click("drop", lambda _, caller: _replaced(view.dropped(), caller)))
        app.view(view.CALLBACK)(self._presses.submitted("confirm", self._submitted))

    def _confirm(self, body: JSON, caller: Caller) -> Message:
        confirmation, at = self._read(value_of(body), caller), posted(body)
        if at and self._context.now().timestamp() - at > VALID_FOR.total_seconds():
            hint = confirmation.command if confirmation.command.startswith(SLASH) else None
            raise CommandError("Nothing was done: this button is more than an hour old.", hint=hint)
        shown = (body.get("view") or {}).get("id") or ""
        place = f"{caller.channel}:{at:.6f}" if at else shown
        once = f"confirm:{place}:{caller.user}" if place else caller.once
        return _replaced(self._carry_out(confirmation, replace(caller, once=once)), caller)

    def _submitted(self, shown: JSON, caller: Caller) -> Message:
        id_: Any = shown.get("id")
        once = f"confirm:{id_}:{caller.user}" if isinstance(id_, str) and id_ else caller.once
        self._carry_out(self._read(metadata_of(shown), caller), replace(caller, once=once))
        return NOTHING

    def _carry_out(self, confirmation: Confirmation, caller: Caller) -> Message:
        channel = caller.channel
        if not channel and confirmation.channel:  # a modal has none; the person may have left it since
            channel = confirmation.channel
            viewer = Viewer(user=caller.user, channel=channel, outside=caller.outside)
            if not self._context.sight.is_member(viewer):
                raise CommandError("Nothing was done: you are not in this channel, or the bot is not.")
        return carry_out_confirmed(confirmation, replace(caller, channel=channel), self._context)

    def _read(self, draft: str, caller: Caller) -> Confirmation:
        """What this person was asked to confirm: nothing of it is from the payload. Raises CommandError."""
        found = self._context.drafts.get(caller.user, draft, Confirmation)
        if found is None:
            raise CommandError(NO_LONGER)
        return found


def _replaced(message: Message, caller: Caller) -> Message:
    """Show a message in place of the question; where that is not possible, the message is shown beside it."""
    return NOTHING if respond(caller.response_url, message, replaces=True) else message
