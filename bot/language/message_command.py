"""PURE: messages to the bot that are commands."""

from bot.language.command import Ask, Command, UsageError
from bot.language.grammar import parse
from bot.language.question import without_mention


def whole(text: str, bot_user: str) -> Command | None:
    """The command that a message is, apart from the mention of the bot; None if it is a question.

    `text`: as Slack sends it. A message that begins with `ask` is a question as it stands.
    """
    said = without_mention(text, bot_user).strip()
    command = parse(said) if said else None
    return None if isinstance(command, Ask | UsageError) else command
