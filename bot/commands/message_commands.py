"""Messages that are commands: those that read are carried out, for the others a button is shown that does it."""

from msgspec import MsgspecError

from bot.commands.context import Caller, CommandContext
from bot.commands.delivery import in_reply
from bot.commands.handlers import handle
from bot.commands.lookup import visible
from bot.commands.one_press import ButtonCommand, asked
from bot.commands.settle import settle
from bot.language.command import Ask, Command, Config, Cost, Form, Help, Launch, Plan, Recipes
from bot.language.message_command import whole
from bot.language.question import Question
from bot.slack.calls import SlackCalls
from bot.slack.fair_threads import FairThreads
from bot.slack.message import Message
from workers.api import EventLogGone


class MessageCommands:
    """Takes the messages that are commands."""

    def __init__(self, context: CommandContext, bot_user: str, later: FairThreads, slack: SlackCalls) -> None:
        """`later`: where the commands are carried out."""
        self._context, self._bot_user, self._later, self._slack = context, bot_user, later, slack

    def take(self, text: str, question: Question) -> bool:
        """Answer a message to the bot if it is a command, once; False if it is a question. Raises RedisError.

        `text`: as Slack sends it.
        """
        if not (question.is_direct or f"<@{self._bot_user}" in text):
            return False
        caller = Caller(
            team=question.team,
            channel=question.channel,
            user=question.user,
            once=question.id,
            outside=question.outside,
        )
        command = command_of(text, self._bot_user, caller, self._context)
        if command is not None and self._context.answers.claim(question):
            self._later.submit(question.user, self._answer, command, question, caller)
        return command is not None

    def _answer(self, command: Command, question: Question, caller: Caller) -> None:
        label = f"message {type(command).__name__.lower()}"
        said = settle(label, caller, lambda: answer(command, question.text, caller, self._context), self._context.audit)
        in_reply(said, question, self._slack)


def command_of(text: str, bot_user: str, caller: Caller, context: CommandContext) -> Command | None:
    """The command that a message is; None if it is a question.

    So is `status quo` if its author sees no deployment of that name. Raises RedisError.
    """
    command = whole(text, bot_user)
    return command if command is not None and _exists(command, caller, context) else None


def answer(command: Command, typed: str, caller: Caller, context: CommandContext) -> Message:
    """The reply that only the author sees: of a command that changes something, a button that does it.

    `typed`: the command's text. Raises what `handle` raises.
    """
    if isinstance(command, ButtonCommand):
        return asked(command, typed, caller, context)
    return handle(command, caller, context)


def _exists(command: Command, caller: Caller, context: CommandContext) -> bool:
    match command:
        case Launch(recipe=str(recipe)) | Plan(recipe=str(recipe)):
            return recipe in context.recipes.names()
        case Help() | Launch() | Plan() | Cost() | Recipes() | Config() | Ask() | Form():
            return True
        case _:
            return command.name is None or _is_seen(command.name, caller, context)


def _is_seen(name: str, caller: Caller, context: CommandContext) -> bool:
    try:
        return visible(name, caller, context) is not None
    except (EventLogGone, MsgspecError):
        return True  # which the answer says
