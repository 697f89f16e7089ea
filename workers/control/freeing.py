"""Frees names whose log is gone, once no machine of theirs can run any more."""

import logging
from datetime import datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError

from workers.deployment.ledger import Book
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import START, Log
from workers.deployment.orphans import Orphans

logger = logging.getLogger(__name__)

LEASES = 2
"""Time without a log after which a name is freed, in leases. Nobody extends the leases of its machines, which end
themselves within 1.5 leases.
"""


class NameFreeing:
    """Until then the name is reported as lost, since its machines may run and cost money."""

    def __init__(self, redis: Redis, log: Log, machine_lease: timedelta) -> None:
        self._log = log
        self._orphans = Orphans(redis)
        self._after = LEASES * machine_lease

    def look(self, ledger: Ledger, now: datetime) -> None:
        """Free what can be freed. `ledger`: completed, so that it has the ends of the machines without a log."""
        names = self._log.names()
        gone = {name: id_ for name, id_ in names.items() if self._log.version(id_) == START}
        if not gone:
            return
        try:
            book, seen = ledger.book(), {orphan.deployment for orphan in self._orphans.running(now)}
        except RedisError as error:
            logger.warning("Names without a log cannot be freed: %s", error)
            return
        for name, id_ in gone.items():
            if id_ not in seen and is_over(book, id_, now - self._after) and self._log.free(id_, name):
                logger.warning("%s is free again: its log is gone, and none of its machines can still run", name)


def is_over(book: Book, deployment: str, since: datetime) -> bool:
    """Whether nothing of the deployment has existed since a time, by the ledger; False if the ledger has none of it."""
    owner = next((owner for id_, owner in book.owners.items() if id_ == deployment), None)
    uses = [use for (id_, _), use in book.uses.items() if id_ == deployment]
    reserved = any(id_ == deployment for id_, _ in book.reserved)
    ended = [use.ended for use in uses]
    if owner is None or reserved or owner.at >= since:
        return False
    return all(end is not None and end < since for end in ended)
