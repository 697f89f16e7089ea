"""Decides which offers of a purchase the budgets allow, by the newest ledger."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfoNotFoundError

from msgspec.structs import replace
from redis import Redis

from workers.decision.budget import Purchase, owner_of_state, purchase, standings_of
from workers.deployment.ledger_reader import Ledger
from workers.deployment.state import Deployment
from workers.placement.offer import Offer
from workers.policy.stored import PolicyUnreadable, StoredPolicy


class PurchaseBudgets:
    """Reads the ledger only if the policy has budgets. Methods raise RedisError, PolicyUnreadable."""

    def __init__(self, redis: Redis) -> None:
        self._policy = StoredPolicy(redis)
        self._ledger = Ledger(redis, recent=True)

    def decide(
        self, state: Deployment, offers: Sequence[Offer], now: datetime, *, without: int = 0
    ) -> tuple[Purchase, str | None]:
        """What may be requested, and the newest entry of the ledger by which it was decided; None without a budget.

        `without`: number of an attempt whose reservation is left out.
        """
        budgets = self._policy.current_for_purchases().budgets
        if not budgets.limits:
            return Purchase(offers=tuple(offers)), None
        book, newest = self._ledger.newest()
        others = {key: one for key, one in book.reserved.items() if key != (state.id, without)}
        book = replace(book, reserved=others)
        try:
            standings = standings_of(owner_of_state(state), budgets, book, now)
        except ZoneInfoNotFoundError as error:
            cause = f"The host of this worker does not know the time zone {budgets.zone} of the budgets"
            raise PolicyUnreadable(cause, "Install its time zones (tzdata)") from error
        return purchase(offers, standings), newest
