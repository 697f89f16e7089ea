"""PURE: the reply to a request that cannot be carried out."""

from bot.language.command import SLASH
from bot.language.direct_request import WantedDeed, value_of
from bot.slack.message import Message
from bot.views.blocks import actions, button, context, section
from bot.views.escape import clip, code

ASK = "ask_launcher"
"""Action id of the button that asks the launcher. The value is a `WantedDeed`."""


def refusal(sentence: str, *, hint: str | None = None, ask: WantedDeed | None = None) -> Message:
    """The cause in mrkdwn, and below it the fix: a complete command, or text in mrkdwn; a button that asks for it."""
    cause = clip(sentence, 2900)
    buttons = (actions([button("Ask the launcher", ASK, value_of(ask))]),) if ask is not None else ()
    if not hint:
        return Message(cause, (section(cause), *buttons))
    fix = f"Try {code(clip(hint, 1800))}" if hint.startswith(SLASH) and "`" not in hint else clip(hint, 1800)
    return Message(f"{cause} {fix}", (section(cause), context(fix), *buttons))
