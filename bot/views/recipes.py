"""PURE: `/mixtral recipes`: what can be launched."""

from collections.abc import Iterable, Sequence

from bot.language.command import SLASH
from bot.slack.message import Message
from bot.views.amounts import count
from bot.views.blocks import actions, context, listed, section
from bot.views.command_button import form_button
from bot.views.escape import clip, code, escape, inert
from bot.views.offers import gpus
from recipes.schema import Recipe
from workers.serving.boot import boot_of

NOTHING = "There are no recipes. Put SkyPilot service YAML files into the folder that `MIXTRAL_RECIPES` names."

GPUS_SHOWN = 5
MAX_BROKEN = 2000
LINES_A_SECTION = 8
MAX_SHOWN = 24


def notes(recipe: Recipe) -> list[str]:
    """A line for each field of the recipe that has another effect than in its own format."""
    return [f"• {inert(note.field)}: {inert(note.meaning)}" for note in recipe.notes]


def recipes(known: Iterable[Recipe], broken: Sequence[str] = (), *, default: str = "") -> Message:
    """Name, model, GPUs and replicas of each; `broken`: a sentence for each file that cannot be read.

    `default`: the recipe of a launch that names none.
    """
    lines = [_line(recipe, default) for recipe in known]
    summary = f"{count(len(lines), 'recipe')} can be launched." if lines else NOTHING
    shown = lines[:MAX_SHOWN]
    blocks = [section(_spaced(shown[at : at + LINES_A_SECTION])) for at in range(0, len(shown), LINES_A_SECTION)]
    if not lines:
        blocks.append(section(NOTHING))
    if broken:
        wrong = [f"• {inert(clip(sentence, 300))}" for sentence in broken]
        blocks.append(section(listed(["*These files cannot be read*", *wrong], MAX_BROKEN)))
    left = f"… and {len(lines) - len(shown)} more. " if len(lines) > len(shown) else ""
    next_ = "`/mixtral launch RECIPE` starts one; `/mixtral plan RECIPE` shows its prices first."
    form = [actions([form_button(f"{SLASH} launch")])] if lines else []
    return Message(summary, (*blocks, context(f"{left}{next_}"), *form))


def needs(recipe: Recipe) -> str:
    """The GPUs that the recipe accepts, as alternatives."""
    kinds = list(dict.fromkeys(gpus(a.name, a.count) for r in recipe.resources for a in r.accelerators))
    if not kinds or any(not r.accelerators for r in recipe.resources):
        return "no GPU needed"
    more = [f"{len(kinds) - GPUS_SHOWN} more"] if len(kinds) > GPUS_SHOWN else []
    *first, last = [*kinds[:GPUS_SHOWN], *more]
    return f"{', '.join(first)} or {last}" if first else last


def _spaced(recipes_: Sequence[str]) -> str:
    """Recipes with a blank line between them."""
    return listed([*recipes_[:1], *(f"\n{recipe}" for recipe in recipes_[1:])])


def _line(recipe: Recipe, default: str) -> str:
    model = boot_of(recipe, recipe.name).model
    engine = recipe.engine.kind if recipe.engine else "its own script"
    named = f" {code(clip(model, 120))}" if model not in (recipe.name, engine) else ""
    replicas = f" · {count(recipe.replicas, 'replica')}" if recipe.replicas != 1 else ""
    secrets = f" · needs {', '.join(code(s) for s in recipe.secrets)}" if recipe.secrets else ""
    which = " (the default)" if recipe.name == default else ""
    return f"*{escape(recipe.name)}*{which}{named}\n{needs(recipe)} · {engine}{replicas}{secrets}"
