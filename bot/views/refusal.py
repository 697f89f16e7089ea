"""PURE: the reply to a request that cannot be carried out."""

from bot.language.command import SLASH
from bot.slack.message import Message
from bot.views.blocks import context, section
from bot.views.escape import clip, code


def refusal(sentence: str, *, hint: str | None = None) -> Message:
    """The cause in mrkdwn, and below it the fix: a complete command, or text in mrkdwn."""
    cause = clip(sentence, 2900)
    if not hint:
        return Message(cause, (section(cause),))
    fix = f"Try {code(clip(hint, 1800))}" if hint.startswith(SLASH) and "`" not in hint else clip(hint, 1800)
    return Message(f"{cause} {fix}", (section(cause), context(fix)))
