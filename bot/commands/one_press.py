"""Commands that change something by one press: the question with its button, and the press, which checks it again."""

from datetime import datetime, time, tzinfo
from typing import assert_never

from msgspec.structs import replace

from bot.commands.asking import answer
from bot.commands.consent import check_scale_confirmed
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError
from bot.commands.handlers import end, ends_already, handle
from bot.commands.launch_handler import check_launch_confirmed, dated, end_time, ready_to_launch
from bot.commands.lookup import check, named, visible
from bot.commands.policy import Permission
from bot.commands.recipe_catalog import name_from
from bot.commands.scale_handler import check_scale
from bot.commands.within_policy import within
from bot.language.command import SLASH, Down, Endpoint, Launch, NewKey, RevokeKey, Scale, Share, Unshare
from bot.language.confirmation import Confirmation
from bot.language.grammar import parse
from bot.language.suggestions import command_text
from bot.slack.message import Message
from bot.views import end_question
from bot.views import scale as scale_view
from bot.views.amounts import moment
from bot.views.blocks import actions, section
from bot.views.command_button import command_button, form_button, is_short, pressed
from bot.views.escape import code, escape
from bot.views.price_now import price_now
from bot.views.words import user as mention
from workers.deployment.events import DeploymentId

ButtonCommand = Launch | Scale | Down | NewKey | RevokeKey | Endpoint | Share | Unshare
"""A command that changes something, or whose reply shows a key: a message alone does not carry it out."""

NO_LONGER = "This button is no longer valid, so nothing was done. Repeat the command."


def asked(command: ButtonCommand, typed: str, caller: Caller, context: CommandContext) -> Message:
    """The question whether to carry a command out, with its cost and a button. Raises what `handle` raises.

    What costs so much that it has to be confirmed raises Unconfirmed at once: one question is enough.

    `typed`: the text of the command, without the slash command.
    """
    text = f"{SLASH} {typed}"
    if parse(typed) != command or not is_short(text):
        raise CommandError(
            "Nothing was changed: a message cannot do that. Type it in the message field of the channel."
        )
    match command:
        case Launch():
            return _launch(command, text, caller, context)
        case Scale(name=str(name)):
            state = named(name, f"scale {{}} {command.replicas}", caller, context)
            check_scale(state, command.replicas, caller, context)
            check_scale_confirmed(state, command.replicas, caller, context, command=text)  # else, the press would ask
            cost = scale_view.cost(state, replace(state, wanted=command.replicas), context.now())
            said = f"Scale *{escape(name)}* from {state.wanted} to {command.replicas}? {cost}".strip()
            return _question(said, f"Scale to {command.replicas}", text, state.id)
        case Down(name=str(name)):
            state = named(name, "down {}", caller, context)
            check(Permission.END, state, caller, context)
            return ends_already(state) or end_question.message(state)
        case NewKey(name=name):
            state = named(name, "key {} new", caller, context)
            check(Permission.MAKE_KEY, state, caller, context)
            return _question(f"Make a key to *{escape(name)}*? It is shown once.", "Make the key", text, state.id)
        case RevokeKey(name=name):
            state = named(name, "key {} revoke", caller, context)
            return _question(f"Revoke the key {code(command.key)} of *{escape(name)}*?", "Revoke it", text, state.id)
        case Endpoint(name=str(name)):
            state = named(name, "endpoint {}", caller, context)
            return _question("A message cannot show a key.", "Show the endpoint", text, state.id)
        case Share(user=str(user)) | Unshare(user=user):
            state = named(command.name, "share {}", caller, context)
            if isinstance(command, Share) or user != caller.user:
                check(Permission.SHARE, state, caller, context)
            name = escape(command.name)
            if isinstance(command, Share):
                said = f"Make {mention(user)} a co-owner of *{name}*? They may then scale it, end it, and see its keys."
                return _question(said, "Make them a co-owner", text, state.id)
            return _question(f"Remove {mention(user)} from the co-owners of *{name}*?", "Remove", text, state.id)
        case Scale() | Down() | Endpoint() | Share():
            return handle(command, caller, context)
        case _:
            assert_never(command)


def carry_out(value: str, caller: Caller, context: CommandContext) -> Message:
    """What the press of a command's button does: `value` is the button's. Raises what `handle` raises."""
    deployment, text = pressed(value)
    command = parse(text.removeprefix(SLASH))
    match command:
        case Launch():
            return handle(command, caller, context)
        case Scale(name=str(name)) | Down(name=str(name)) | Endpoint(name=str(name)):
            _check_same(name, deployment, caller, context)
        case NewKey(name=name) | RevokeKey(name=name) | Share(name=name) | Unshare(name=name):
            _check_same(name, deployment, caller, context)
        case _:
            raise CommandError(NO_LONGER)
    if isinstance(command, Down):
        return end(named(name, "down {}", caller, context), caller, context)
    return handle(command, caller, context)


def carry_out_confirmed(confirmation: Confirmation, caller: Caller, context: CommandContext) -> Message:
    """Carry out what a person has confirmed. Raises Unconfirmed if it costs more by now, and what `handle` raises."""
    confirmed = replace(caller, confirmed=confirmation.usd)
    if confirmation.grant:
        return answer(confirmation.grant, confirmed, context, grants=True) or Message("Granted: it is done.")
    if not isinstance(parse(confirmation.command.removeprefix(SLASH)), Launch | Scale):
        raise CommandError(NO_LONGER)
    return carry_out(f"{confirmation.deployment or '-'} {confirmation.command}", confirmed, context)


def _launch(command: Launch, text: str, caller: Caller, context: CommandContext) -> Message:
    recipe = ready_to_launch(command, caller, context)
    name = command.name or name_from(recipe.name)
    replicas = command.replicas or max(recipe.replicas, 1)
    limits = within(command, recipe, replicas, caller, context).limits
    rungs, why_empty = context.ladder(recipe, limits)
    until = end_time(command, caller, context)
    ends = f" It ends {moment(until)}." if until and command.until else ""
    said = f"Launch *{escape(name)}*? {price_now(rungs, why_empty, replicas=command.replicas or recipe.replicas)}{ends}"
    whole = _dated(command, until, context.sight.zone(caller.user)) or text
    check_launch_confirmed(name, rungs, replicas, caller, context, text=whole)
    buttons = [command_button("Launch", whole), form_button(whole, "Change and launch…")]
    return Message(said, (section(said), actions(buttons)))


def _dated(command: Launch, until: datetime | None, zone: tzinfo) -> str | None:
    """The command with the date of its end, as a press after a time of the day would mean the next day's."""
    if until is None or not isinstance(command.until, time):
        return None
    whole = dated(command, until, zone)
    text = command_text(whole)
    return text if is_short(text) and parse(text.removeprefix(SLASH)) == whole else None


def _question(said: str, label: str, command: str, deployment: DeploymentId) -> Message:
    return Message(said, (section(said), actions([command_button(label, command, deployment)])))


def _check_same(name: str, deployment: DeploymentId | None, caller: Caller, context: CommandContext) -> None:
    """Raises CommandError if the name is that of another deployment now, or of none that the caller may see."""
    state = visible(name, caller, context)
    if state is None or state.id != deployment:
        raise CommandError("This deployment has ended, or never existed, so nothing was done.", hint=f"{SLASH} status")
