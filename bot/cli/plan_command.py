"""`mixtral-bot plan`: the ladder of a recipe, as a table for people or as JSON for programs; changes nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from recipes.loader import SUFFIXES, find, folders, load
from recipes.schema import Recipe, RecipeError
from workers.clouds.usability import statuses
from workers.errors import WorkersError
from workers.placement import shared_prices
from workers.placement.explain_empty import gaps, why_empty
from workers.placement.in_use import in_use
from workers.placement.ladder import Rung
from workers.placement.limits import Limits
from workers.placement.offer import Offer
from workers.placement.planner import plan
from workers.settings_table import CLOUDS

WITH_DRIVER = frozenset(CLOUDS)


def run(
    recipe_or_file: str,
    *,
    limits: Limits,
    as_json: bool,
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
) -> int:
    """Print the ladder, or to `err` why it is empty. Return 0; 2 if the recipe or an argument is invalid."""
    try:
        recipe = read(recipe_or_file, environ)
        prices = in_use(environ, shared_prices.of_environ(environ))
        offers = (*prices.offers, *_of_this_machine(environ))
        known = statuses(environ, drivers=WITH_DRIVER)
        rungs = plan(recipe, offers, limits, statuses=known)
        why = "" if rungs else why_empty(recipe, offers, limits)
    except (RecipeError, WorkersError) as error:
        print(f"mixtral-bot: {error}", file=err)
        return 2
    if as_json:
        print(json.dumps([as_row(rung) for rung in rungs], indent=2), file=out)
        for note in recipe.notes:
            print(f"note: line {note.line}: {note.field}: {note.meaning}", file=err)
    elif rungs:
        from bot.cli.plan_table import show  # noqa: PLC0415 - rich is not needed for JSON

        show(recipe, rungs, gaps(recipe, offers, rungs), dated=prices.dated, out=out)
    for ignored in prices.ignored:
        print(ignored, file=err)
    if why:
        print(why, file=err)
    return 0


def read(recipe_or_file: str, environ: Mapping[str, str]) -> Recipe:
    """Return a recipe by its name, or from a file if the argument looks like a path. Raises RecipeError."""
    path = Path(recipe_or_file).expanduser()
    named_as_file = path.suffix in SUFFIXES or len(path.parts) > 1
    if not named_as_file:
        path = find(recipe_or_file, folders(environ))
    return load(path, environ)


def as_row(rung: Rung) -> dict[str, Any]:
    """Return one rung as a JSON object with the documented fields; null where a value is unknown."""
    offer = rung.offer
    return {
        "cloud": offer.cloud or None,
        "region": offer.region or None,
        "zone": offer.zone or None,
        "instance_type": offer.instance_type or None,
        "accelerator": offer.accelerator,
        "count": offer.count,
        "spot": offer.spot,
        "usd_per_hour": None if offer.usd_per_hour is None else float(offer.usd_per_hour),
        "usable": rung.usable,
        "reason": rung.reason,
        "mend": rung.mend,
        "doubtful": offer.doubtful,
        "read_on": offer.read_on or None,
    }


def _of_this_machine(environ: Mapping[str, str]) -> tuple[Offer, ...]:
    chosen = environ.get("MIXTRAL_CLOUDS", "")
    if chosen and "local" not in [word.strip().lower() for word in chosen.split(",")]:
        return ()
    from workers.clouds.local.driver import LocalDriver  # noqa: PLC0415 - not needed without `local`

    return LocalDriver(Path(environ.get("MIXTRAL_HOME") or ".")).offers()
