"""PURE: a request that could not be carried out, told to the person who made it."""

from bot.language.command import SLASH
from bot.slack.message import Message
from bot.views.blocks import context, section
from bot.views.escape import clip, code


def refusal(sentence: str, *, hint: str | None = None) -> Message:
    """What was wrong, in mrkdwn, and below it what would be right: a whole command, or words in mrkdwn."""
    said = clip(sentence, 2900)
    if not hint:
        return Message(said, (section(said),))
    right = f"Try {code(clip(hint, 1800))}" if hint.startswith(SLASH) and "`" not in hint else clip(hint, 1800)
    return Message(f"{said} {right}", (section(said), context(right)))
