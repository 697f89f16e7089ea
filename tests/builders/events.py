"""Builder of a log's first event."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from recipes.schema import Recipe
from tests.builders.recipes import SCRIPTED
from workers.deployment.events import Place, Requested
from workers.deployment.log import stamp
from workers.placement.limits import Limits

BEGIN = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
PLACE = Place(team="T0SANDBOX01", channel="C0GENERAL01", user="U0ROBIN0001")
KEY = "mxk_ExampleExampleExampleExample1234"


def requested(name: str = "m", recipe: Recipe = SCRIPTED, **changes: Any) -> Requested:
    """A request for one replica, at the current time and without limits; `changes` are fields of Requested."""
    plain = Requested(**stamp(datetime.now(UTC)), name=name, recipe=recipe, replicas=1, place=PLACE, limits=Limits())
    return replace(plain, **changes)
