"""PURE: the reply to a request that cannot be carried out."""

from bot.language.command import SLASH
from bot.slack.message import Message
from bot.views.blocks import actions, context, section
from bot.views.command_button import form_button
from bot.views.escape import clip, code

LAUNCH = f"{SLASH} launch"


def refusal(sentence: str, *, hint: str | None = None, command: str = "") -> Message:
    """The cause in mrkdwn, and below it the fix: a complete command, or text in mrkdwn.

    `command`: the command that a text in mrkdwn advises. A launch that is advised has a button, too, which opens the
    form with its values.
    """
    cause = clip(sentence, 2900)
    if not hint:
        return Message(cause, (section(cause),))
    is_command = hint.startswith(SLASH) and "`" not in hint
    fix = f"Try {code(clip(hint, 1800))}." if is_command else clip(hint, 1800)
    advised = hint if is_command else command
    is_launch = advised == LAUNCH or advised.startswith(f"{LAUNCH} ")
    buttons = [actions([form_button(advised)])] if is_launch else []
    return Message(f"{cause} {fix}", (section(cause), context(fix), *buttons))
