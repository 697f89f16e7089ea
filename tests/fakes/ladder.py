"""Tries the offers of a ladder in order, as the control loop does, with only a driver."""

from datetime import UTC, datetime

from recipes.loader import find, load
from tests.builders.machines import SECRETS, boot, request
from tests.builders.offers import ladder
from workers.clouds.driver import Ahead, Driver, PreparesLaunches, Refused
from workers.decision.mix import Lack, Mix, open_offers
from workers.deployment.events import OfferRefused
from workers.deployment.log import stamp
from workers.machines import Machine
from workers.placement import catalog
from workers.placement.ladder import Rung
from workers.placement.limits import Limits
from workers.placement.planner import plan

MOST_ATTEMPTS = 300


def rungs(cloud: str, *, spot: bool = False, recipe: str = "mixtral-8x7b-skypilot") -> tuple[Rung, ...]:
    """The usable rungs of a recipe on one cloud; by default, of SkyPilot's five candidates for Mixtral 8x7B."""
    planned = plan(load(find(recipe), {}), catalog.load(), Limits(spot=spot, clouds=(cloud,)))
    return ladder(*(rung.offer for rung in planned if rung.offer.usd_per_hour))


def climb(driver: Driver, *, spot: bool = False, port: int = 8000) -> tuple[Machine | None, list[Refused]]:
    """Try one batch of offers after another. Returns the machine, or None if all were refused, and the refusals."""
    try:
        return _climb(driver, spot=spot, port=port)
    finally:
        if isinstance(driver, PreparesLaunches):
            driver.finish()


def _climb(driver: Driver, *, spot: bool, port: int) -> tuple[Machine | None, list[Refused]]:
    usable = rungs(driver.cloud, spot=spot)
    answers: list[OfferRefused] = []
    refused: list[Refused] = []
    for number in range(1, MOST_ATTEMPTS):
        now = datetime.now(UTC)
        offers = open_offers(Lack.ANY, Mix(), rungs=usable, attempts=(), failures=(), refusals=answers, now=now)
        if not offers:
            return None, refused
        asked = request(f"d-1-{number}", offers, attempt=number, boot=boot(port=port, kind="vllm"))
        others = tuple(rung.offer for rung in usable if rung.offer.region != offers[0].region)
        if isinstance(driver, PreparesLaunches):
            driver.expect(asked, Ahead(ladder=others, secrets=SECRETS))
        try:
            return driver.create(asked, SECRETS), refused
        except Refused as error:
            refused.append(error)
            beside = driver.hopeless(asked, others) if isinstance(driver, PreparesLaunches) else ()
            said = (*error.refusals, *beside)
            answers.append(OfferRefused(**stamp(datetime.now(UTC)), attempt=number, refusals=said, beside=len(beside)))
    raise AssertionError(f"the ladder has not ended after {MOST_ATTEMPTS - 1} attempts")
