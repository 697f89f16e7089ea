"""Books the times at which machines ended, as the clouds tell them in their lists."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from workers.deployment.events import DeploymentId
from workers.deployment.ledger_reader import Ledger
from workers.machines import Listing, Sighting, Token

FORGOTTEN_AFTER = timedelta(hours=1)
"""Time after its last list after which a machine is forgotten. Whole clouds are listed every five minutes."""

logger = logging.getLogger(__name__)


class CloudEnds:
    """Where the control loop ends a machine, the ledger has our time of the end first, and the cloud's after a list."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = clock
        self._settled: dict[Token, datetime] = {}
        """When each machine whose end is booked by the cloud's time was last listed. Without it, the ledger is read
        again."""

    def settle(self, listing: Listing) -> None:
        """Book the ends in a list that the ledger lacks, or has by our clock.

        A failure is logged and does not stop the sweep, which ends machines; the next list repeats it.
        """
        now = self._now()
        self._settled = {token: at for token, at in self._settled.items() if abs(now - at) < FORGOTTEN_AFTER}
        try:
            for sighting in listing:
                if sighting.machine.token in self._settled or self._settle(sighting):
                    self._settled[sighting.machine.token] = now
        except RedisError as error:
            logger.warning("The ends of machines cannot be booked by their cloud's time: %s", error)

    def _settle(self, sighting: Sighting) -> bool:
        """Whether its end is booked."""
        ended, deployment = sighting.ended_at, DeploymentId(sighting.deployment)
        return ended is not None and self._ledger.settle(deployment, sighting.attempt, sighting.machine.id, ended)
