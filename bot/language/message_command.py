"""PURE: messages to the bot that are commands."""

from collections.abc import Collection

from bot.language.command import Ask, Command, Config, Form, Help, Launch, Plan, Recipes, UsageError
from bot.language.grammar import parse
from bot.language.question import without_mention

_HELP_WORDS = 2
"""Maximum number of words of a message that asks for help: `help scale`, `scale --help`."""
_LONGEST = 200
"""Maximum length in characters of a command that is left out of a conversation."""


def whole(text: str, bot_user: str) -> Command | None:
    """The command that a message is, apart from the mention of the bot; None if it is a question.

    `text`: as Slack sends it. A message that begins with `ask` is a question as it stands, and so is one that only has
    `--help` or `-h` among its words: `plan how to use ls -h`.
    """
    said = without_mention(text, bot_user).strip()
    command = parse(said) if said else None
    if isinstance(command, Help) and len(said.split()) > _HELP_WORDS:
        return None
    return None if isinstance(command, Ask | Form | UsageError) else command


def was_command(text: str, bot_user: str, names: Collection[str]) -> bool:
    """Whether an earlier message was a command. What it names must be among `names`: deployments that existed then."""
    command = whole(text, bot_user) if len(text) <= _LONGEST else None
    match command:
        case None:
            return False
        case Help() | Recipes() | Config() | Ask() | Form():
            return True
        case Launch(recipe=name) | Plan(recipe=name):
            return name is None
        case _:
            return command.name is None or command.name in names
