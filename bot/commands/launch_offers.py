"""The launch form: what it offers and costs now, and the launch when it is submitted."""

import logging
import time
from collections.abc import Sequence

from msgspec.structs import replace
from redis.exceptions import RedisError

from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, Denied, NotShown, WrongInput
from bot.commands.form_inputs import at_input, command_of, entered_of, read
from bot.commands.launch_handler import check_may_launch, launch
from bot.commands.plan_handler import nearest_limits
from bot.commands.recipe_catalog import name_from
from bot.commands.visibility import Viewer
from bot.commands.within_policy import within
from bot.language.command import MAX_NAME, SLASH, Launch
from bot.language.end_times import end_of
from bot.language.question import is_direct
from bot.language.values import InvalidValue, is_secret
from bot.prompting.drafts import LaunchDraft
from bot.slack.message import JSON, NOTHING, Message
from bot.views import help as help_view
from bot.views import launch_form as view
from bot.views.escape import escape, inert
from bot.views.launch_form import Entered, Offered
from bot.views.price_now import from_price, price_now
from recipes.replicas import bounds
from recipes.schema import Recipe, RecipeError
from workers.errors import WorkersError
from workers.placement.limits import NO_LIMITS

_LOG = logging.getLogger(__name__)

PRICED_WITHIN = 1.0
"""Time in seconds for the prices of all recipes: the form has to open within three seconds of the press."""

NARROWED = "Offers that the policy of this installation does not let you take are left out."
TOO_OLD = f"This window has expired: nothing was started. Close it, and open it again with `{SLASH} launch`."
NO_PRICE = "The price is not known now, because Redis does not respond. Your entries are kept: change one in a minute."


def opened_by_command(caller: Caller, context: CommandContext) -> Message:
    """Open the form for `/mixtral` alone. Guests who cannot launch, and people without a modal, are shown the help."""
    try:
        context.channels.open_modal(caller.once, first_view(Launch(), caller, context))
    except Denied:
        if not context.sight.is_guest(caller.user):
            raise
        return help_view.help(None)
    except (NotShown, RecipeError):
        return help_view.help(None)
    return NOTHING


def first_view(command: Launch, caller: Caller, context: CommandContext, *, home: str = "") -> JSON:
    """The form as it opens, with the values of a command. Raises CommandError for a guest, RecipeError.

    `home`: the channel that is chosen at first if the form is opened where there is none.
    """
    check_may_launch(caller, context)
    try:
        until = end_of(command, context.now(), context.sight.zone(caller.user))
    except InvalidValue:  # it is over by now
        until = None
    entered = entered_of(command, default=context.recipes.default, channel=caller.channel or home, until=until)
    if entered.recipe not in context.recipes.names():
        entered = replace(entered, recipe=context.recipes.default, variables={})
    draft = LaunchDraft(
        channel=caller.channel,
        asks=not caller.channel or is_direct(caller.channel),
        stop_after_idle=entered.stop_after_idle,
        hours=entered.hours,
    )
    return _view(entered, caller, context, draft=context.drafts.add(caller.user, draft), asks=draft.asks)


def next_view(shown: JSON, caller: Caller, context: CommandContext) -> JSON:
    """The form after a change, with the price of its present values, or why that is not known."""
    try:
        id_, draft = _draft(shown, caller, context)
        asker = replace(caller, channel=draft.channel)
        return _view(_entered(shown, draft), asker, context, draft=id_, asks=draft.asks)
    except CommandError as error:
        return view.repriced(shown, error.sentence)
    except (WorkersError, RecipeError) as error:
        return view.repriced(shown, escape(str(error)))
    except RedisError as error:
        _LOG.warning("Redis does not answer: %s", error)
        return view.repriced(shown, NO_PRICE)


def submitted(shown: JSON, caller: Caller, context: CommandContext) -> Message:
    """Launch, once for each form. Raises CommandError, WrongInput and what `launch` raises."""
    _, draft = _draft(shown, caller, context)
    entered = _entered(shown, draft)
    channel = entered.channel if draft.asks else draft.channel
    _check_reads(channel, caller, context, asks=draft.asks)
    command = command_of(entered, context.sight.zone(caller.user))
    try:
        recipe = context.recipes.get(entered.recipe)
        named = command if command.name else replace(command, name=free_name(recipe, context))
        launch(named, replace(caller, channel=channel, once=_once(shown, caller)), context)
    except CommandError as error:
        raise at_input(error, entered) from error
    return NOTHING


def free_name(recipe: Recipe, context: CommandContext) -> str:
    """The name that a deployment of the recipe gets: the recipe's, with a number if that is taken."""
    name = name_from(recipe.name)
    taken = {state.name for state in context.deployments.all()} | set(context.deployments.lost())
    numbered = (f"{name[: MAX_NAME - 4]}-{n}" for n in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def _check_reads(channel: str, caller: Caller, context: CommandContext, *, asks: bool) -> None:
    """Raises CommandError unless the person is a member of the channel, which a forged payload may name."""
    if context.sight.is_member(Viewer(user=caller.user, channel=channel, outside=caller.outside)):
        return
    cause = "Nothing was started: you are not in this channel, or the bot is not."
    if asks:
        raise WrongInput(view.CHANNEL, f"{cause} Choose one that both are in.")
    raise Denied(f"{cause} Invite it with `/invite @mixtral`, and press Launch again in ten seconds.")


def _view(entered: Entered, caller: Caller, context: CommandContext, *, draft: str, asks: bool) -> JSON:
    """`caller`: with the channel in which it was opened; `draft`: its id; `asks`: whether it has an input for it."""
    launcher = replace(caller, channel=entered.channel or "") if asks else caller
    recipe = context.recipes.get(entered.recipe)
    least, most = bounds(recipe)
    missing = recipe.missing_envs
    rungs, _ = context.ladder(recipe, NO_LIMITS)
    offered = Offered(
        recipes=_recipes(context),
        name=free_name(recipe, context),
        replicas=(recipe.replicas, least, most),
        gpus=tuple(dict.fromkeys(str(a) for r in recipe.resources for a in r.accelerators)),
        clouds=sorted({rung.offer.cloud for rung in rungs if rung.usable}),
        variables=[name for name in missing if not is_secret(name)],
        given=[name for name in entered.variables if name not in missing and not is_secret(name)],
        secrets=[name for name in missing if is_secret(name)],
        price=_price(entered, recipe, launcher, context),
    )
    return view.modal(entered, offered, draft=draft, asks_channel=asks)


def _recipes(context: CommandContext) -> Sequence[tuple[str, str]]:
    """Each recipe with its price; those that are not priced in time have none."""
    until = time.monotonic() + PRICED_WITHIN
    found, _ = context.recipes.all()
    return [
        (r.name, from_price(context.ladder(r, NO_LIMITS)[0]) if time.monotonic() < until else "price not computed yet")
        for r in found
    ]


def _price(entered: Entered, recipe: Recipe, caller: Caller, context: CommandContext) -> str:
    """The price within the policy, or why it allows no offer. Raises RedisError."""
    try:
        command = command_of(entered)
    except WrongInput as wrong:
        return inert(wrong.sentence)
    replicas = command.replicas or max(recipe.replicas, 1)
    try:
        limits = within(command, recipe, replicas, caller, context).limits
    except Denied as denied:
        return denied.sentence
    rungs, why_empty = context.ladder(recipe, limits)
    would_do = None if rungs else nearest_limits(recipe, limits, context.ladder)
    price = price_now(rungs, why_empty, replicas=command.replicas or recipe.replicas, would_do=would_do)
    return price if limits == command.limits else f"{price} {NARROWED}"


def _values(shown: JSON) -> JSON:
    state = shown.get("state")
    values = state.get("values") if isinstance(state, dict) else None
    return values if isinstance(values, dict) else {}


def _entered(shown: JSON, draft: LaunchDraft) -> Entered:
    """The values of the form. Raises WrongInput."""
    return replace(read(_values(shown)), stop_after_idle=draft.stop_after_idle, hours=draft.hours)


def _draft(shown: JSON, caller: Caller, context: CommandContext) -> tuple[str, LaunchDraft]:
    """The draft of the form, which its person opened, and the draft's id. Raises CommandError, RedisError."""
    id_ = shown.get("private_metadata")
    found = context.drafts.get(caller.user, id_, LaunchDraft) if isinstance(id_, str) else None
    if found is None:
        raise CommandError(TOO_OLD)
    return str(id_), found


def _once(shown: JSON, caller: Caller) -> str:
    """The same for every submission of one form."""
    id_ = shown.get("id")
    return f"form:{id_}:{caller.user}" if isinstance(id_, str) and id_ else caller.once
