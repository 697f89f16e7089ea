"""The launch, for the command, the form and the buttons."""

from collections.abc import Sequence
from datetime import datetime, time, tzinfo
from decimal import Decimal

from msgspec.structs import replace

from bot.commands.bounds import out_of_bounds
from bot.commands.budget_check import check_launch
from bot.commands.consent import check_confirmed, total_of
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, Denied, EnvMissing, NoRecipe
from bot.commands.launch_clocks import clocks_of, said
from bot.commands.lookup import check_present
from bot.commands.needed_approval import ProposedChange, capped, check_launch_approved, launch_needs
from bot.commands.plan_handler import check_limits, nearest_recipe
from bot.commands.policy import Permission, guest_may_launch
from bot.commands.recipe_catalog import name_from
from bot.commands.within_policy import in_turn, within
from bot.language.command import SLASH, Launch
from bot.language.confirmation import Confirmation
from bot.language.direct_request import Deed
from bot.language.end_times import end_of
from bot.language.suggestions import command_text
from bot.language.values import InvalidValue
from bot.slack.message import Message
from bot.views.amounts import count, moment
from bot.views.escape import escape
from bot.views.price_now import launch_prices
from bot.views.readers import read_by
from recipes.replicas import nearest
from recipes.schema import Recipe
from workers.decision.budget import Owner
from workers.decision.ceiling import ceiling_of
from workers.deployment.condition import condition_of, is_ending
from workers.deployment.events import Approval, DeploymentId, Place
from workers.deployment.log import NameTaken
from workers.placement.ladder import Rung

GUESTS_LAUNCH_NOTHING = (
    "Guests of the workspace cannot launch a model, because it costs money: nothing was started. Ask a member of the "
    "workspace to launch it; you can ask the model then."
)


def ready_to_launch(command: Launch, caller: Caller, context: CommandContext) -> Recipe:
    """The complete recipe, if nothing is in the way of the launch. Raises CommandError, RecipeError."""
    check_may_launch(caller, context)
    recipe = _complete(command, context)
    if command.replicas and (why := out_of_bounds(recipe, command.replicas)):
        hint = command_text(replace(command, replicas=nearest(recipe, command.replicas)))
        raise CommandError(why, hint=hint, about="replicas")
    check_limits(command, recipe, context)
    allowed = within(command, recipe, command.replicas or max(recipe.replicas, 1), caller, context)
    owner = Owner(name=command.name or name_from(recipe.name), user=caller.user, channel=caller.channel)
    check_launch(owner, lambda: context.ladder(recipe, allowed.limits)[0], context)
    end_time(command, caller, context)
    check_present(caller, context, "Nothing was started", "launch again")
    return recipe


def launch(command: Launch, caller: Caller, context: CommandContext) -> Message:
    recipe = ready_to_launch(command, caller, context)
    until = end_time(command, caller, context)
    clocks = clocks_of(command, until, recipe, context.policy().clocks, context.now())
    name = command.name or name_from(recipe.name)
    readers = context.channels.readers(caller.channel)
    replicas = command.replicas or max(recipe.replicas, 1)
    allowed = within(command, recipe, replicas, caller, context)
    rungs, _ = context.ladder(recipe, allowed.limits)
    text = command_text(dated(command, until, context.sight.zone(caller.user)))
    check_launch_confirmed(name, rungs, replicas, caller, context, text=text)
    ceiling = allowed.ceiling(ceiling_of(recipe, allowed.limits, replicas, rungs))
    proposed = ProposedChange(
        deed=Deed.APPROVE_LAUNCH,
        name=name,
        replicas=replicas,
        command=text,
        usd=total_of(rungs, replicas),
        ceiling=ceiling,
        needed=launch_needs(
            name, rungs, replicas, caller, context, lasts=clocks.until - context.now() if clocks.until else None
        ),
    )
    check_launch_approved(proposed, caller, context)
    ceiling = capped(ceiling, context)
    try:
        whole = replace(command, name=name, replicas=replicas, limits=allowed.limits)
        id_ = opened(whole, recipe, caller, context, ceiling=ceiling)
    except NameTaken as taken:
        raise _taken(taken, command, caller, context) from taken
    state = context.deployments.by_id(id_)
    if state is not None and is_ending(state):  # the repetition of an earlier request
        status = condition_of(state).status
        return Message(
            text=f"*{name}* was already launched by this button, and it is {status}. Launch it again from its card."
        )
    first = f"Launching *{name}* … Its card follows here, and shows every step."
    prices = launch_prices(rungs, replicas, ceiling)
    return Message(text=" ".join(filter(None, (first, prices, said(clocks, context.now()), read_by(readers)))))


def check_launch_confirmed(
    name: str, rungs: Sequence[Rung], replicas: int, caller: Caller, context: CommandContext, *, text: str
) -> None:
    """Raises Unconfirmed, CommandError. `text`: the command that is carried out once it is confirmed."""
    what = f"Launching *{escape(name)}* with {count(replicas, 'replica')}"
    asked = Confirmation(usd=total_of(rungs, replicas), command=text, channel=caller.channel)
    check_confirmed(what, asked, caller, context)


def opened(
    command: Launch,
    recipe: Recipe,
    caller: Caller,
    context: CommandContext,
    *,
    ceiling: Decimal | None,
    approved: Approval | None = None,
) -> DeploymentId:
    """Store the deployment within the policy, once for each `once` of the caller. Raises NameTaken, CommandError."""
    asked = end_time(command, caller, context)
    clocks = clocks_of(command, asked, recipe, context.policy().clocks, context.now())
    replicas = command.replicas or max(recipe.replicas, 1)
    place = Place(
        team=caller.team,
        channel=caller.channel,
        user=caller.user,
        shared_with=context.channels.readers(caller.channel),
    )
    with in_turn(caller.user, caller.channel, context):
        allowed = within(command, recipe, replicas, caller, context)  # again: others may have been launched meanwhile
        return context.deployments.launch(
            recipe,
            name=command.name or name_from(recipe.name),
            replicas=replicas,
            place=place,
            limits=allowed.limits,
            once=caller.once,
            until=clocks.until,
            ceiling=allowed.ceiling(ceiling),
            approved=approved,
            stop_after_idle=clocks.stop_after_idle,
            hours=clocks.hours,
        )


def end_time(command: Launch, caller: Caller, context: CommandContext) -> datetime | None:
    """When the deployment is to end. Raises CommandError."""
    try:
        return end_of(command, context.now(), context.sight.zone(caller.user))
    except InvalidValue as wrong:
        raise CommandError(wrong.sentence, about="until") from wrong


def dated(command: Launch, until: datetime | None, zone: tzinfo) -> Launch:
    """The command with the date of its end: a press after a time of the day would mean that of the next day."""
    if until is None or not isinstance(command.until, time):
        return command
    return replace(command, until=until.astimezone(zone).replace(tzinfo=None))


def check_may_launch(caller: Caller, context: CommandContext) -> None:
    """Raises CommandError for people who may not launch here: guests, and those whom the policy does not let."""
    if context.sight.is_guest(caller.user):
        if not guest_may_launch(context.sight.rule(caller.user, caller.channel), caller.user):
            raise Denied(GUESTS_LAUNCH_NOTHING)
    elif why := context.sight.forbids(caller.user, Permission.LAUNCH, caller.channel):
        raise Denied(f"{why} Nothing was started.")


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
    names = {state.name for state in context.deployments.all()} | set(context.deployments.lost())
    free = next(f"{taken.name}-{n}" for n in range(2, len(names) + 3) if f"{taken.name}-{n}" not in names)
    hint = command_text(replace(command, name=free))
    holder = context.deployments.by_id(taken.holder)
    if holder is None:
        return CommandError(
            f"The name *{taken.name}* is that of a deployment whose log is no longer in Redis: its machines may run on "
            "and cost money until their leases end (`mixtral-bot machines` lists them). Choose another name.",
            hint=hint,
            about="name",
        )
    if not context.sight.sees(caller.viewer, holder):
        return CommandError(f"The name *{taken.name}* is taken. Choose another name.", hint=hint, about="name")
    link = context.channels.card_link(holder.id)
    card = f" <{link}|Its card.>" if link else ""
    where = "in a direct message" if holder.place.channel.startswith("D") else f"in <#{holder.place.channel}>"
    return CommandError(
        f"The name *{taken.name}* is taken: <@{holder.place.user}> launched it {where}, {moment(holder.requested_at)}, "
        f"and it is {condition_of(holder).status}.{card} "
        f"Choose another name, or end that one with `{SLASH} down {taken.name}`.",
        hint=hint,
        about="name",
    )
