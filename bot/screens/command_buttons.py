"""Buttons that carry a command out: under a plan, a refused modal, or the answer to a message that is a command."""

from datetime import timedelta

from msgspec.structs import replace
from slack_bolt import App

from bot.commands.context import Caller
from bot.commands.errors import CommandError
from bot.commands.one_press import carry_out
from bot.language.command import SLASH
from bot.screens.presses import Presses, value_of
from bot.slack.message import JSON, Message
from bot.views.command_button import DO, pressed

VALID_FOR = timedelta(hours=1)
"""Age of a message up to which its button works. A repeated launch is recognized for as long after the first one."""


class CommandButtons:
    """One command for each message: a launch button that is pressed again launches nothing more."""

    def __init__(self, presses: Presses) -> None:
        self._presses = presses

    def register(self, app: App) -> None:
        app.action(DO)(self._presses.click("command", self._do))

    def _do(self, body: JSON, caller: Caller) -> Message:
        context, value = self._presses.context, value_of(body)
        at = posted(body)
        if at and context.now().timestamp() - at > VALID_FOR.total_seconds():
            said = "Nothing was done: this button is more than an hour old, and prices or replicas may have changed."
            typed = pressed(value)[1]
            raise CommandError(said, hint=typed if typed.startswith(SLASH) else None)
        once = f"press:{caller.channel}:{at:.6f}:{caller.user}" if at else caller.once
        return carry_out(value, replace(caller, once=once), context)


def posted(body: JSON) -> float:
    """When the message of the button was posted, as Unix time; 0 where there is no message."""
    try:
        return float((body.get("container") or {}).get("message_ts") or 0)
    except (TypeError, ValueError):
        return 0.0
