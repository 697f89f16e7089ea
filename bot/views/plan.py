"""PURE: `/mixtral plan`: the ladder of a recipe, without a launch."""

from collections.abc import Sequence

from bot.slack.message import Message
from bot.views import ladder
from bot.views.amounts import count
from bot.views.blocks import context, header, listed, section
from bot.views.escape import escape, inert
from recipes.schema import Recipe
from workers.placement.ladder import Rung

MAX_RUNGS = 20


def plan(recipe: Recipe, rungs: Sequence[Rung], priced: str | None = None) -> Message:
    """The offers in the order in which they would be tried. `priced`: the source and time of the prices."""
    name = escape(recipe.name)
    usable = sum(r.usable for r in rungs)
    if not rungs:
        summary = f"No machine in the price table satisfies *{name}* with these limits."
    elif not usable:
        summary = f"{count(len(rungs), 'offer')} for *{name}*, none of which can be taken here yet."
    else:
        some = "" if usable == len(rungs) else f"; {usable} can be taken"
        summary = f"{count(len(rungs), 'offer')} for *{name}*, cheapest first{some}."
    blocks = [header(f"The ladder of {recipe.name}"), section(summary)]
    if rungs:
        blocks.append(section(listed(ladder.rungs(rungs, MAX_RUNGS))))
    if mends := ladder.mends(rungs):
        blocks.append(section(mends))
    if recipe.notes:
        notes = [f"• {inert(note.field)}: {inert(note.meaning)}" for note in recipe.notes]
        blocks.append(section(listed(["*Not applied as written*", *notes])))
    prices = f"Prices {escape(priced)}. " if priced else ""
    blocks.append(context(f"{prices}Nothing was started; `/mixtral launch {name}` starts it."))
    return Message(summary, tuple(blocks))
