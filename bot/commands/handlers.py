"""The handlers of the commands: one function each, which returns the reply that only the caller sees."""

from datetime import datetime
from typing import assert_never

from msgspec import MsgspecError
from msgspec.structs import replace

from bot.commands.bounds import out_of_bounds
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, EnvMissing, NoRecipe
from bot.commands.key_handlers import list_keys, new_key, revoke_key
from bot.commands.lookup import check, check_present, named, one, seen, which
from bot.commands.plan_handler import check_limits, nearest_recipe, plan
from bot.commands.policy import Permission, may
from bot.commands.recipe_catalog import name_from
from bot.commands.scale_handler import scale_to
from bot.language.command import (
    SLASH,
    Ask,
    Command,
    Down,
    Endpoint,
    Help,
    Launch,
    ListKeys,
    Logs,
    NewKey,
    Plan,
    Recipes,
    RevokeKey,
    Scale,
    Status,
    UsageError,
)
from bot.language.end_times import end_of
from bot.language.question import Question
from bot.language.suggestions import command_text
from bot.language.values import InvalidValue
from bot.prompting.given_answers import Rated
from bot.prompting.routing import NotRouted, route
from bot.slack.message import Message
from bot.views import endpoint as endpoint_view
from bot.views import help as help_view
from bot.views import logs as logs_view
from bot.views import recipes as recipes_view
from bot.views import refusal as refusal_view
from bot.views import status as status_view
from bot.views.alerts import KEPT_FOR
from bot.views.amounts import duration, moment
from bot.views.answer import rated
from bot.views.answer_choice import choice, chosen
from bot.views.escape import code, escape
from bot.views.readers import read_by
from recipes.replicas import nearest
from recipes.schema import Recipe
from workers.api import KEEP_TRYING_FOR
from workers.deployment.condition import condition_of, is_ending
from workers.deployment.events import Place
from workers.deployment.log import NameTaken
from workers.deployment.state import Deployment

LOG_LINES = 40

GUESTS_LAUNCH_NOTHING = (
    "Guests of the workspace cannot launch a model, because it costs money: nothing was started. Ask a member of the "
    "workspace to launch it; you can ask the model then."
)


def handle(command: Command | UsageError, caller: Caller, context: CommandContext) -> Message:
    """Carry a command out. Raises CommandError, WorkersError, RecipeError, RedisError."""
    match command:
        case UsageError():
            return misunderstood(command)
        case Launch():
            return launch(command, caller, context)
        case Status():
            return status(command, caller, context)
        case Scale():
            return scale(command, caller, context)
        case Ask():
            return ask(command, caller, context)
        case Endpoint():
            return endpoint(command, caller, context)
        case ListKeys():
            return list_keys(command, caller, context)
        case NewKey():
            return new_key(command, caller, context)
        case RevokeKey():
            return revoke_key(command, caller, context)
        case Logs():
            return logs(command, caller, context)
        case Plan():
            return plan(command, context)
        case Recipes():
            return recipes(context)
        case Down():
            return down(command, caller, context)
        case Help():
            return help_view.help(command.command)
        case _:
            assert_never(command)


def misunderstood(error: UsageError) -> Message:
    hint = f"Did you mean {code(error.nearest)}?" if error.nearest else f"Usage: {code(error.usage)}"
    return refusal_view.refusal(escape(error.sentence), hint=hint)


def launch(command: Launch, caller: Caller, context: CommandContext) -> Message:
    check_may_launch(caller, context)
    recipe = _complete(command, context)
    name = command.name or name_from(recipe.name)
    if command.replicas and (why := out_of_bounds(recipe, command.replicas)):
        raise CommandError(why, hint=command_text(replace(command, replicas=nearest(recipe, command.replicas))))
    check_limits(command, recipe, context)
    until = _end(command, caller, context)
    check_present(caller, context, "Nothing was started", "launch again")
    readers = context.channels.readers(caller.channel)
    try:
        context.deployments.launch(
            recipe,
            name=name,
            replicas=command.replicas or max(recipe.replicas, 1),
            place=Place(team=caller.team, channel=caller.channel, user=caller.user, shared_with=readers),
            limits=command.limits,
            once=caller.once,
            until=until,
        )
    except NameTaken as taken:
        raise _taken(taken, command, caller, context) from taken
    others = f" {said}" if (said := read_by(readers)) else ""
    ends = f" It ends {moment(until)}." if until else ""
    return Message(text=f"Launching *{name}* … Its card follows here, and shows every step.{ends}{others}")


def _end(command: Launch, caller: Caller, context: CommandContext) -> datetime | None:
    """When the deployment is to end. Raises CommandError."""
    try:
        return end_of(command, context.now(), context.sight.zone(caller.user))
    except InvalidValue as wrong:
        raise CommandError(wrong.sentence) from wrong


def check_may_launch(caller: Caller, context: CommandContext) -> None:
    """Raises CommandError for a guest of the workspace."""
    if context.sight.is_guest(caller.user):
        raise CommandError(GUESTS_LAUNCH_NOTHING)


def status(command: Status, caller: Caller, context: CommandContext) -> Message:
    if command.name is None:
        shown = seen(caller, context)
        # Without their logs, the people who may see them are not known.
        lost = () if caller.outside else context.deployments.lost()
        return status_view.overview(shown, context.now(), lost=lost)
    state = named(command.name, "status {}", caller, context)
    given = context.given.rated(state.id)
    return status_view.detail(state, context.now(), rated=rated(given.good, given.bad) if given != Rated() else "")


def scale(command: Scale, caller: Caller, context: CommandContext) -> Message:
    form = f"scale {{}} {command.replicas}"
    if command.name is None:
        raise which(form, caller, context)
    state = named(command.name, form, caller, context)
    return scale_to(state, command.replicas, caller, context)


def ask(command: Ask, caller: Caller, context: CommandContext) -> Message:
    question = Question(
        id=caller.once,
        team=caller.team,
        channel=caller.channel,
        user=caller.user,
        text=command.text,
        response_url=caller.response_url,
        outside=caller.outside,
    )
    found = route(question, context.askable.running(question), None, context.askable.ended(question))
    if isinstance(found, NotRouted) and not found.choices:
        raise CommandError(escape(found.sentence))
    check_present(caller, context, "The question was not sent", "ask again")
    if isinstance(found, NotRouted):
        return choice(found.sentence, question, found.choices, found.prompt)
    context.answers.ask(question)
    return _asked(found.deployment.name)


def ask_again(value: str, caller: Caller, context: CommandContext) -> Message:
    """Send the question in a button's value to the deployment that the button names, if the caller may see it."""
    try:
        question = chosen(value)
    except MsgspecError as error:
        raise CommandError("This button is no longer valid. Ask again.") from error
    if question.deployment is None or question.channel != caller.channel:
        raise CommandError("This button is no longer valid. Ask again.")
    named(question.deployment, "ask {}: …", caller, context)
    # The person who clicks is the asker; the user in the value is not trusted.
    asked = replace(question, team=caller.team, user=caller.user, outside=caller.outside, response_url=None)
    if not context.answers.ask(asked):
        name = escape(question.deployment)
        return Message(text=f"*{name}* has been asked this already. To ask it again, write the question again.")
    return _asked(question.deployment)


def _asked(name: str) -> Message:
    return Message(text=f"Asked *{escape(name)}*. The answer follows here, in a thread.")


def endpoint(command: Endpoint, caller: Caller, context: CommandContext) -> Message:
    return endpoint_of(one(command.name, "endpoint {}", caller, context), caller, context)


def endpoint_of(state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """A deployment's address with its key, for the command and the card's button.

    A caller who may not see it, and has a key of their own, is shown how to use that one.
    """
    held = [key.id for key in state.keys if key.user == caller.user]
    allowed = may(caller.user, Permission.SEE_KEY, launcher=state.place.user, admins=context.admins)
    if held and state.endpoint is not None and not allowed:
        return endpoint_view.held(state, held)
    check(Permission.SEE_KEY, state, caller, context)
    return endpoint_view.endpoint(state, context.deployments.key(state.id), python=True)


def logs(command: Logs, caller: Caller, context: CommandContext) -> Message:
    return logs_of(one(command.name, "logs {}", caller, context), context)


def logs_of(state: Deployment, context: CommandContext) -> Message:
    """The end of each replica's log, for the command and the card's button."""
    return logs_view.logs(state.name, context.deployments.logs(state.id, LOG_LINES))


def recipes(context: CommandContext) -> Message:
    found, broken = context.recipes.all()
    return recipes_view.recipes(found, [str(error) for error in broken], default=context.recipes.default)


def down(command: Down, caller: Caller, context: CommandContext) -> Message:
    if command.name is None:
        raise which("down {}", caller, context)
    return end(named(command.name, "down {}", caller, context), caller, context)


def end(state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """End a deployment, for the command and the card's button."""
    check(Permission.END, state, caller, context)
    if reply := ends_already(state):
        return reply
    after = context.deployments.stop(state.id, by=caller.user)
    if after.stopped_by != caller.user and (reply := ends_already(after)):
        return reply
    return Message(text=f"Ending *{state.name}*. Its card shows when all its machines have ended.")


def ends_already(state: Deployment) -> Message | None:
    """The reply to a request to end what has ended or is ending; None if it runs."""
    status = "down" if state.ended else "shutting down"
    return Message(text=f"*{state.name}* is {status} already.") if is_ending(state) else None


def keep_trying(state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """Try a dry ladder again at intervals, for the card's button."""
    check(Permission.KEEP_TRYING, state, caller, context)
    if is_ending(state):
        return Message(
            text=f"*{state.name}* has ended. Launch it again with {code(f'{SLASH} launch {state.recipe.name}')}."
        )
    after = context.deployments.keep_trying(state.id, by=caller.user)
    asked = after.keep_trying
    if asked is None or is_ending(after):
        return Message(text=f"*{state.name}* is {condition_of(after).status}: it no longer looks for a machine.")
    hours = KEEP_TRYING_FOR.total_seconds() / 3600
    return Message(
        text=f"*{state.name}* tries again every {duration(asked.every)} for up to {hours:.0f} h. End it to stop that."
    )


def keep(state: Deployment, announced: datetime, caller: Caller, context: CommandContext) -> Message:
    """Move the end of a deployment that was announced for this time, for the button of the announcement."""
    check(Permission.KEEP, state, caller, context)
    if reply := ends_already(state):
        return reply
    if state.until != announced:
        ends = f"now ends {moment(state.until)}" if state.until else "has no time at which it ends"
        return Message(text=f"*{state.name}* was kept already: it {ends}.")
    until = max(announced, context.now()) + KEPT_FOR
    after = context.deployments.keep_until(state.id, until, by=caller.user)
    if reply := ends_already(after):
        return reply
    return Message(text=f"*{state.name}* is kept: it now ends {moment(until)}. The channel is told 15 minutes before.")


def _complete(command: Launch, context: CommandContext) -> Recipe:
    """The recipe to launch. Raises CommandError with a complete command as its hint, RecipeError."""
    try:
        return context.recipes.complete(command.recipe, command.env)
    except NoRecipe as missing:
        raise nearest_recipe(missing, command) from missing
    except EnvMissing as lacking:
        filled = replace(command, env=command.env | dict.fromkeys(lacking.missing, "…"))
        raise CommandError(lacking.sentence, hint=command_text(filled)) from lacking


def _taken(taken: NameTaken, command: Launch, caller: Caller, context: CommandContext) -> CommandError:
    """The error for a name that another deployment has. Its details are shown only to people who may see it."""
    names = {state.name for state in context.deployments.all()}
    free = next(f"{taken.name}-{n}" for n in range(2, len(names) + 3) if f"{taken.name}-{n}" not in names)
    hint = command_text(replace(command, name=free))
    holder = context.deployments.by_id(taken.holder)
    if holder is None:
        return CommandError(escape(str(taken)), hint=hint)
    if not context.sight.sees(caller.viewer, holder):
        return CommandError(f"The name *{taken.name}* is taken. Choose another name.", hint=hint)
    link = context.channels.card_link(holder.id)
    card = f" <{link}|Its card.>" if link else ""
    where = "in a direct message" if holder.place.channel.startswith("D") else f"in <#{holder.place.channel}>"
    return CommandError(
        f"The name *{taken.name}* is taken: <@{holder.place.user}> launched it {where}, {moment(holder.requested_at)}, "
        f"and it is {condition_of(holder).status}.{card} "
        f"Choose another name, or end that one with `{SLASH} down {taken.name}`.",
        hint=hint,
    )
