"""PURE: the reply to a request that cannot be carried out."""

from collections.abc import Sequence

from bot.language.command import SLASH
from bot.language.direct_request import WantedDeed, value_of
from bot.slack.message import Message
from bot.views.blocks import Block, actions, button, context, section
from bot.views.command_button import form_button
from bot.views.escape import clip, code

ASK = "ask_launcher"
"""Action id of the button that asks the launcher. The value is a `WantedDeed`."""

LAUNCH = f"{SLASH} launch"


def refusal(sentence: str, *, hint: str | None = None, command: str = "", ask: WantedDeed | None = None) -> Message:
    """The cause in mrkdwn, and below it the fix: a complete command, or text in mrkdwn.

    `command`: the command that a text in mrkdwn advises. A launch that is advised has a button, too, which opens the
    form with its values. `ask`: what a button asks the launcher for.
    """
    cause = clip(sentence, 2900)
    buttons = [button("Ask the launcher", ASK, value_of(ask))] if ask is not None else []
    if not hint:
        return Message(cause, (section(cause), *_row(buttons)))
    is_command = hint.startswith(SLASH) and "`" not in hint
    fix = f"Try {code(clip(hint, 1800))}." if is_command else clip(hint, 1800)
    advised = hint if is_command else command
    if advised == LAUNCH or advised.startswith(f"{LAUNCH} "):
        buttons.append(form_button(advised))
    return Message(f"{cause} {fix}", (section(cause), context(fix), *_row(buttons)))


def _row(buttons: Sequence[Block]) -> tuple[Block, ...]:
    return (actions(buttons),) if buttons else ()
