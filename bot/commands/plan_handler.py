"""The command `plan`, and the check of a launch's limits, which refuses what a plan shows to be impossible."""

from collections.abc import Iterator, Sequence
from decimal import ROUND_UP, Decimal
from itertools import combinations

from msgspec.structs import replace

from bot.commands.context import CommandContext
from bot.commands.errors import CommandError, NoRecipe
from bot.language.command import SLASH, Launch, Plan
from bot.language.suggestions import command_text
from bot.slack.message import Message
from bot.views import plan as plan_view
from bot.views.escape import escape
from recipes.schema import Recipe
from workers.placement.ladder import Ladder, Rung
from workers.placement.limits import NO_LIMITS, Limits

CENT = Decimal("0.01")
LOCAL = "local"


def plan(command: Plan, context: CommandContext) -> Message:
    try:
        recipe = context.recipes.get(command.recipe)
    except NoRecipe as missing:
        raise nearest_recipe(missing, command) from missing
    rungs, why_empty = context.ladder(recipe, command.limits)
    if not rungs:
        would_do = nearest_limits(recipe, command.limits, context.ladder)
        hint = command_text(replace(command, limits=would_do)) if would_do else None
        raise CommandError(escape(why_empty), hint=hint)
    asked = replace(command, recipe=command.recipe or context.recipes.default)
    return plan_view.plan(recipe, rungs, asked, context.priced())


def check_limits(command: Launch, recipe: Recipe, context: CommandContext) -> None:
    """Raises CommandError if no machine satisfies the limits, and some machine satisfies other ones.

    A ladder that is empty for another reason is left to the launch: its card says why. So is a launch on `local`: only
    the workers know the GPUs of their hosts.
    """
    if command.limits == NO_LIMITS or LOCAL in command.limits.clouds:
        return
    rungs, why_empty = context.ladder(recipe, command.limits)
    if not rungs and (would_do := nearest_limits(recipe, command.limits, context.ladder)):
        raise CommandError(
            f"{escape(why_empty)} Nothing was started.",
            hint=command_text(replace(command, limits=would_do)),
            about="limits",
        )


def nearest_limits(recipe: Recipe, limits: Limits, ladder: Ladder) -> Limits | None:
    """The limits that differ in as few fields as possible and that some machine satisfies; None if there are none."""
    for loosened in _loosened(limits):
        if rungs := ladder(recipe, loosened)[0]:
            return _narrowed(loosened, limits, rungs)
    return None


def _loosened(limits: Limits) -> Iterator[Limits]:
    """The limits without one of them, then without two, and so on."""
    given = [name for name in ("max_price", "clouds", "gpus", "spot") if getattr(limits, name)]
    for number in range(1, len(given) + 1):
        for names in combinations(given, number):
            yield replace(limits, **{name: getattr(NO_LIMITS, name) for name in names})
    if not limits.spot:
        yield replace(limits, spot=True)


def _narrowed(loosened: Limits, limits: Limits, rungs: Sequence[Rung]) -> Limits:
    """Limits like those that were given, which the rungs satisfy; the best of the rungs decides."""
    best = next((rung for rung in rungs if rung.usable), rungs[0]).offer
    if limits.max_price and loosened.max_price is None and best.usd_per_hour is not None:
        loosened = replace(loosened, max_price=max(best.usd_per_hour, CENT).quantize(CENT, ROUND_UP))
    if limits.clouds and not loosened.clouds:
        loosened = replace(loosened, clouds=tuple(sorted({r.offer.cloud for r in rungs if r.offer.cloud})))
    if limits.gpus and not loosened.gpus and best.accelerator:
        loosened = replace(loosened, gpus=(f"{best.accelerator}:{best.count}",))
    return loosened


def nearest_recipe(missing: NoRecipe, command: Launch | Plan) -> CommandError:
    """The error for a recipe that does not exist; its hint is the command with the most similar one."""
    hint = command_text(replace(command, recipe=missing.nearest)) if missing.nearest else f"{SLASH} recipes"
    return CommandError(missing.sentence, hint=hint)
