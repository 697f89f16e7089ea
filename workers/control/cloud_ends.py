"""Books the times at which machines ended, as the clouds tell them in their lists."""

import logging

from redis.exceptions import RedisError

from workers.deployment.events import DeploymentId
from workers.deployment.ledger_reader import Ledger
from workers.machines import Listing, Sighting, Token

logger = logging.getLogger(__name__)


class CloudEnds:
    """Where the control loop ends a machine, the ledger has our time of the end first, and the cloud's after a list."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settled: set[Token] = set()
        """Machines whose end is booked by the cloud's time; the clouds list them for about an hour."""

    def settle(self, listing: Listing) -> None:
        """Book the ends in a list that the ledger lacks, or has by our clock.

        A failure is logged and does not stop the sweep, which ends machines; the next list repeats it.
        """
        try:
            for sighting in listing:
                if sighting.ended_at is not None and sighting.machine.token not in self._settled:
                    self._settle(sighting)
        except RedisError as error:
            logger.warning("The ends of machines cannot be booked by their cloud's time: %s", error)

    def _settle(self, sighting: Sighting) -> None:
        machine, deployment = sighting.machine, DeploymentId(sighting.deployment)
        if sighting.ended_at and self._ledger.settle(deployment, sighting.attempt, machine.id, sighting.ended_at):
            self._settled.add(machine.token)
