"""PURE: the reply to a request that cannot be carried out."""

from bot.language.command import SLASH
from bot.slack.message import Message
from bot.views.blocks import actions, context, section
from bot.views.command_button import form_button
from bot.views.escape import clip, code

LAUNCH = f"{SLASH} launch"


def refusal(sentence: str, *, hint: str | None = None) -> Message:
    """The cause in mrkdwn, and below it the fix: a complete command, or text in mrkdwn.

    A launch as the fix has a button, too, which opens the form with its values.
    """
    cause = clip(sentence, 2900)
    if not hint:
        return Message(cause, (section(cause),))
    is_command = hint.startswith(SLASH) and "`" not in hint
    fix = f"Try {code(clip(hint, 1800))}." if is_command else clip(hint, 1800)
    is_launch = is_command and (hint == LAUNCH or hint.startswith(f"{LAUNCH} "))
    buttons = [actions([form_button(hint)])] if is_launch else []
    return Message(f"{cause} {fix}", (section(cause), context(fix), *buttons))
