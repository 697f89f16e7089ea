"""PURE: `/mixtral plan`: the ladder of a recipe, without a launch."""

from collections.abc import Sequence

from bot.language.command import Launch, Plan
from bot.language.suggestions import command_text, flags
from bot.slack.message import Message
from bot.views import ladder
from bot.views.amounts import count
from bot.views.blocks import actions, context, header, listed, section
from bot.views.command_button import command_button, form_button, is_short
from bot.views.escape import code, escape
from bot.views.recipes import notes
from recipes.schema import Recipe
from workers.placement.ladder import Rung

MAX_RUNGS = 20


def plan(recipe: Recipe, rungs: Sequence[Rung], asked: Plan, priced: str | None = None) -> Message:
    """The offers in the order in which they would be tried. `priced`: the source and time of the prices.

    `asked`: the command, whose limits the launch that is advised has, too.
    """
    name = escape(recipe.name)
    limits = flags(asked.limits)
    within = f" with {code(limits)}" if limits else ""
    usable = sum(r.usable for r in rungs)
    if not usable:
        summary = f"{count(len(rungs), 'offer')} for *{name}*{within}, none of which can be taken here yet."
    else:
        some = "" if usable == len(rungs) else f"; {usable} can be taken"
        summary = f"{count(len(rungs), 'offer')} for *{name}*{within}, cheapest first{some}."
    blocks = [
        header(f"The ladder of {recipe.name}"),
        section(summary),
        section(listed(ladder.rungs(rungs, MAX_RUNGS))),
    ]
    if mends := ladder.mends(rungs):
        blocks.append(section(mends))
    if recipe.notes:
        blocks.append(section(listed(["*Not applied as written*", *notes(recipe)])))
    prices = f"Prices {escape(priced)}. " if priced else ""
    launch = command_text(Launch(recipe=asked.recipe or recipe.name, limits=asked.limits))
    blocks.append(context(f"{prices}Nothing was started; {code(launch)} starts it."))
    now = [command_button("Launch", launch)] if usable and is_short(launch) else []
    blocks.append(actions([*now, form_button(launch, "Change and launch…")]))
    return Message(summary, tuple(blocks))
