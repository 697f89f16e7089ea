"""Schedules the end of what runs when a budget with `then: stop` is used up: once in each of its windows."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from redis import Redis

from workers.decision.budget import BudgetStanding, all_standings, is_of, is_to_stop, owner_of_state
from workers.decision.end_time import BY_BUDGET, NOTICE
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId, EndScheduled, EventId
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log
from workers.deployment.snapshot import ids_in
from workers.deployment.state import Deployment
from workers.policy.budgets import Then
from workers.policy.stored import StoredPolicy

LOOK_EVERY = timedelta(seconds=10)
"""Interval between two looks: each adds up every machine of the window."""


class BudgetStops:
    """Part of the sweeper. The end is announced 15 minutes before, and a person can keep the deployment."""

    def __init__(self, redis: Redis, log: Log) -> None:
        self._policy = StoredPolicy(redis)
        self._ledger = Ledger(redis)
        self._log = log
        self._scheduled: set[EventId] = set()
        """Those of the budgets that are used up now. If it is lost, the logs are read again."""
        self._looked_at: datetime | None = None

    def look(self, states: Iterable[Deployment], now: datetime) -> None:
        """Raises RedisError."""
        if self._looked_at is not None and abs(now - self._looked_at) < LOOK_EVERY:
            return
        self._looked_at = now
        budgets = self._policy.current().budgets
        stops = any(budget.then is Then.STOP for budget in budgets.limits)
        standings = all_standings(budgets, self._ledger.book(), now) if stops else ()
        stopping = [standing for standing in standings if is_to_stop(standing, now + NOTICE)]
        all_due: set[EventId] = set()
        for state in states if stopping else ():
            due = [standing for standing in stopping if is_of(standing, owner_of_state(state))]
            all_due |= {event_id(state.id, standing) for standing in due}
            if due and state.usd_per_hour and not is_ending(state):
                self._schedule(state, due, now)
        self._scheduled &= all_due

    def _schedule(self, state: Deployment, due: Sequence[BudgetStanding], now: datetime) -> None:
        """The ids of the events show in the log that it was done, also after a person has kept the deployment.

        Each limit that is used up has its event, so that one who keeps it keeps it from all of them.
        """
        until = now + NOTICE
        if state.until is not None and state.until <= until:
            return
        ids = {event_id(state.id, standing) for standing in due} - self._scheduled
        if ids:
            before = set(ids_in(self._log.read(state.id))) & ids
            self._scheduled |= before
            events = [EndScheduled(event_id=id_, at=now, until=until, by="") for id_ in sorted(ids - before)]
            if events:
                self._log.append(state.id, state.version, events)


def event_id(deployment: DeploymentId, standing: BudgetStanding) -> EventId:
    """Of the event that ends a deployment by a budget: the same in a whole window."""
    return EventId(f"{BY_BUDGET}{deployment}-{standing.key}")
