"""Buttons that carry a command out: under a plan, a refused modal, or the answer to a message that is a command."""

from msgspec.structs import replace
from slack_bolt import App

from bot.commands.context import Caller
from bot.commands.one_press import carry_out
from bot.screens.presses import Presses, value_of
from bot.slack.message import JSON, Message
from bot.views.command_button import DO


class CommandButtons:
    """One command for each message: a launch button that is pressed again launches nothing more."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses

    def register(self, app: App) -> None:
        app.action(DO)(self._presses.click("command", self._do))

    def _do(self, body: JSON, caller: Caller) -> Message:
        return carry_out(value_of(body), replace(caller, once=_once(body, caller)), self._presses.context)


def _once(body: JSON, caller: Caller) -> str:
    """The same for every press of the button; that of the press where there is no message."""
    ts = (body.get("container") or {}).get("message_ts")
    return f"press:{caller.channel}:{ts}:{caller.user}" if isinstance(ts, str) and ts else caller.once
