"""Climbs a ladder as the control loop does, with a driver alone."""

from datetime import UTC, datetime
from types import SimpleNamespace

from recipes.loader import find, load
from tests.builders.machines import SECRETS, boot, request
from workers.clouds.driver import Refused
from workers.placement import catalog
from workers.placement.mix import Lack, Mix, open_offers
from workers.placement.planner import plan

MOST_ATTEMPTS = 300


def rungs(cloud, *, spot=False):
    """Those of Mixtral 8x7B's five candidates on one cloud, usable ones."""
    recipe = load(find("mixtral-8x7b"), {})
    planned = plan(recipe, catalog.load(), spot=spot, clouds=(cloud,))
    return [SimpleNamespace(offer=rung.offer, usable=True) for rung in planned if rung.offer.usd_per_hour]


def climb(driver, *, spot=False, port=8000):
    """Ask for one batch of offers after another; the machine, or None where all refused, and the refusals."""
    ladder, refusals, refused = rungs(driver.cloud, spot=spot), [], []
    for number in range(1, MOST_ATTEMPTS):
        known = {"attempts": (), "failures": (), "refusals": refusals, "now": datetime.now(UTC)}
        offers = open_offers(Lack.ANY, Mix(), rungs=ladder, **known)
        if not offers:
            return None, refused
        asked = request(f"d-1-{number}", offers, attempt=number, boot=boot(port=port, kind="vllm"))
        try:
            return driver.create(asked, SECRETS), refused
        except Refused as error:
            refused.append(error)
            refusals.append(SimpleNamespace(at=datetime.now(UTC), refusals=error.refusals))
    raise AssertionError("the ladder has no end")
