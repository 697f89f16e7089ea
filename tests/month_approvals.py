"""Launches of the simulated month that wait for an approval: asked and decided by the commands of the bot."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace
from redis import Redis

from bot.commands import approving, launch_handler
from bot.commands.context import Caller
from bot.commands.errors import CommandError, Unapproved
from bot.commands.recipe_catalog import RecipeCatalog
from bot.language.command import Launch
from bot.language.direct_request import DirectRequest
from bot.language.grammar import parse
from recipes.schema import Recipe
from tests.fakes.office import Office
from workers.api import Deployments
from workers.deployment.state import Deployment
from workers.placement.ladder import Ladder
from workers.policy.approvals import Approvals
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

ASKER, APPROVER = "U1", "U5"
THRESHOLD = Decimal(8)
"""USD per hour: above one replica, and below two."""
EXPIRES = timedelta(hours=24)
APPROVED, DENIED, EXPIRED = "approved", "denied", "expired"
REASON = "Use the deployment that runs already."


class _OneRecipe(RecipeCatalog):
    """The month's recipe, which has its port and the accelerators that are sold."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__((), {}, recipe.name)
        self._only = recipe

    def complete(self, name, env):
        return self._only


class ApprovedLaunches:
    """Made and decided on a virtual clock. Safe to use from one thread."""

    def __init__(self, redis: Redis, recipe: Recipe, ladder: Ladder, channel: str, clock: Callable[[], datetime]):
        approvals = Approvals(usd_per_hour=THRESHOLD, approvers=(APPROVER,), expires=EXPIRES)
        StoredPolicy(redis).put(Policy(approvals=approvals))
        self._deployments = Deployments(redis, lambda _: None, {}, clock=clock)
        self._channel = channel
        self._context = replace(
            Office(redis).context,
            deployments=self._deployments,
            recipes=_OneRecipe(recipe),
            ladder=ladder,
            now=clock,
        )
        self.requests: dict[str, str] = {}
        """The id of each request, by the name of the deployment."""
        self.refused: dict[str, str] = {}
        """The last refusal of a press, by the name of the deployment."""

    def planned(self, at: datetime):
        """(when, what): the three requests at the same time, and their presses."""
        for name in (APPROVED, DENIED, EXPIRED):
            yield at, lambda n=name: self._ask(n)
        yield at + timedelta(hours=2), lambda: self._deny(DENIED)
        yield at + timedelta(hours=3, minutes=10), lambda: self._approve(APPROVED)
        for name in (APPROVED, DENIED):
            yield at + timedelta(hours=5), lambda n=name: self._approve(n)
        yield at + EXPIRES + timedelta(minutes=10), lambda: self._approve(EXPIRED)

    def running(self) -> list[Deployment]:
        return self._deployments.all()

    def request(self, name: str) -> DirectRequest:
        found = self._context.direct_requests.get(self.requests[name])
        assert found is not None
        return found

    def _ask(self, name: str) -> None:
        command = parse(f"launch as {name} --replicas 2 --for 6h")
        assert isinstance(command, Launch)
        try:
            launch_handler.launch(command, self._caller(ASKER, f"ask {name}"), self._context)
        except Unapproved:
            [id_] = [one.id for one in self._context.direct_requests.all() if one.name == name]
            self.requests[name] = id_

    def _approve(self, name: str) -> None:
        pressed = self._caller(APPROVER, f"approve {name} {self._context.now()}")
        try:
            approving.approve(self.requests[name], pressed, self._context)
        except CommandError as error:
            self.refused[name] = error.sentence

    def _deny(self, name: str) -> None:
        approving.deny(self.requests[name], REASON, self._caller(APPROVER, f"deny {name}"), self._context)

    def _caller(self, user: str, once: str) -> Caller:
        return Caller(team="T1", channel=self._channel, user=user, once=once)


def dearest(billed) -> Decimal:
    """The most USD per hour that the machines of a bill cost at one time."""
    changes = {one.began for one, _ in billed} | {at for _, prices in billed for at, _ in prices}
    return max(
        sum((_price(prices, now) for one, prices in billed if one.began <= now < one.ended), Decimal(0))
        for now in changes
    )


def _price(prices, now: datetime) -> Decimal:
    return [price for at, price in prices if at <= now.astimezone(UTC)][-1]
