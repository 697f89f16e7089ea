"""The real planner with the shipped prices, as a bot has it whose clouds can be used."""

from collections.abc import Sequence

from recipes.schema import Recipe
from tests.builders.offers import HERE
from workers.placement import catalog
from workers.placement.explain_empty import why_empty
from workers.placement.ladder import Ladder, Rung
from workers.placement.limits import Limits
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan

STATUSES = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp", "local")}


def planner() -> Ladder:
    """A ladder of this host, AWS and GCP."""
    offers = [*catalog.load(), HERE]

    def ladder(recipe: Recipe, limits: Limits) -> tuple[Sequence[Rung], str]:
        rungs = plan(recipe, offers, limits, statuses=STATUSES)
        return rungs, "" if rungs else why_empty(recipe, offers, limits)

    return ladder
