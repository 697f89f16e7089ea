"""How machines ended. GCE does not list deleted instances, so their last sightings are stored here."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from workers.clouds.driver import DriverError
from workers.clouds.gcp import instance as gcp_instance
from workers.clouds.gcp.client import GcpClient
from workers.machines import Machine, MachineEnd, MachineRequest, Presence, Sighting, Token

KEPT_FOR = timedelta(hours=1)
"""Time for which an ended machine is still listed; about the same as for ended instances of EC2."""

STOPPED_FOR = timedelta(minutes=10)
"""Time after which a stopped machine is deleted, because its disk costs."""

END_TOLD_WITHIN = timedelta(minutes=5)
"""Time after an end within which its operation is read again for the time of the end: a deletion takes a while."""

PREEMPTED = "compute.instances.preempted"
DELETED = "delete"
REASONS = {
    PREEMPTED: "preempted by GCP",
    DELETED: "deleted",
    "stop": "stopped",
    "suspend": "suspended",
    "compute.instances.guestTerminate": "shut down from inside",
    "compute.instances.hostError": "a failure of its host",
    "compute.instances.terminateOnHostMaintenance": "maintenance of its host",
    "compute.instances.repair.recreateInstance": "repaired by GCP",
}

logger = logging.getLogger(__name__)


class LastSighting(Struct, frozen=True, kw_only=True):
    """The last sighting of a machine."""

    sighting: Sighting
    zone: str
    number: str
    """GCE's numeric id, which is never reused; empty if unknown."""
    ended_at: datetime | None = None


class EndedMachines:
    """The last sightings of machines by this process. They are lost when the process ends."""

    def __init__(self, api: GcpClient) -> None:
        self._api = api
        self._seen: dict[Token, LastSighting] = {}

    def remember(self, found: Any) -> Sighting:
        """Store and return a sighting of the instance as running. If it has ended, `sightings` corrects that."""
        sighting = gcp_instance.sighting_of(found, Presence.RUNNING)
        token = sighting.machine.token
        known = self._seen.get(token)
        if known is None or known.ended_at is None or known.number != str(found.id):
            self._seen[token] = LastSighting(sighting=sighting, zone=gcp_instance.zone_of(found), number=str(found.id))
        return sighting

    def gone_already(self, request: MachineRequest, made_at: datetime) -> Machine:
        """The machine of an earlier successful launch whose instance no longer exists."""
        if known := self.machine(request.token):
            return known
        machine = gcp_instance.made_and_gone(request, made_at)
        sighting = Sighting(
            machine=machine,
            presence=Presence.ENDED,
            installation=request.installation,
            deployment=request.deployment,
            replica=request.replica,
            attempt=request.attempt,
            why="deleted",
        )
        self._seen[request.token] = LastSighting(
            sighting=sighting, zone=machine.offer.zone, number="", ended_at=datetime.now(UTC)
        )
        return machine

    def machine(self, token: Token) -> Machine | None:
        seen = self._seen.get(token)
        return seen.sighting.machine if seen else None

    def end_of(self, machine: Machine) -> MachineEnd | None:
        """Read from the operations of its zone, which GCE stores for days. Raises DriverError."""
        zone = machine.offer.zone
        target = f'targetLink eq ".*/zones/{zone}/instances/{machine.id}"'
        done = self._done(zone, target)
        kind = _decisive([op.operation_type for op in done])
        return MachineEnd(why=REASONS[kind], preempted=kind == PREEMPTED, ended_at=_end_told(done)) if kind else None

    def sightings(self, installation: str, found: list[Any], is_listed: Callable[[str], bool]) -> list[Sighting]:
        """Sightings of the instances that GCE lists for an installation, and of those that it no longer lists.

        `is_listed`: whether the list is complete for a zone. Without it, a machine that is missing may still run.
        """
        now = datetime.now(UTC)
        shown = [self._look(one, now) for one in found if _belongs(one, installation)]
        listed = {sighting.machine.token for sighting in shown}
        for token, seen in list(self._seen.items()):
            if token in listed or seen.sighting.installation != installation:
                continue
            if seen.ended_at is None and not is_listed(seen.zone):
                continue
            if _lacks_end(seen, now):
                seen = self._ended(token, seen, now)  # noqa: PLW2901 - the same machine, with its end
            if seen.ended_at is not None and now - seen.ended_at > KEPT_FOR:
                self._seen.pop(token, None)  # another list may have removed it
            else:
                shown.append(seen.sighting)
        return shown

    def _look(self, found: Any, now: datetime) -> Sighting:
        running = self.remember(found)
        token = running.machine.token
        if found.status in gcp_instance.ALIVE:
            return running
        seen = self._seen[token]
        if _lacks_end(seen, now):
            seen = self._ended(token, seen, now, found)
        if found.status == "TERMINATED" and seen.ended_at and now - seen.ended_at > STOPPED_FOR:
            self._delete(seen.zone, found.name)
        return seen.sighting

    def _delete(self, zone: str, name: str) -> None:
        """Delete a stopped machine. Errors are logged: the next list repeats it, and they concern no other machine."""
        logger.warning("deleting %s, which has stopped, because its disk costs", name)
        try:
            self._api.call_if_found("InstancesClient", "delete_unary", zone=zone, instance=name)
        except DriverError as error:
            logger.warning("%s cannot be deleted: %s", name, error)

    def _ended(self, token: Token, seen: LastSighting, now: datetime, stopped: Any = None) -> LastSighting:
        """Determine and store how a machine ended. `stopped`: the instance, if it still exists."""
        done = self._operations(seen)
        if seen.ended_at is not None and not done:
            return seen  # the operations could not be read again
        kind = _decisive([op.operation_type for op in done])
        why = REASONS.get(kind, "the machine no longer exists" if stopped is None else "stopped")
        if stopped is not None and not kind and gcp_instance.expired(stopped, now):
            why = "expired"
        sighting = msgspec.structs.replace(
            seen.sighting,
            presence=Presence.PREEMPTED if kind == PREEMPTED else Presence.ENDED,
            why=why,
            progress="",
            ended_at=_time(stopped.last_stop_timestamp if stopped is not None else "") or _end_told(done),
        )
        self._seen[token] = msgspec.structs.replace(seen, sighting=sighting, ended_at=seen.ended_at or now)
        return self._seen[token]

    def _operations(self, seen: LastSighting) -> list[Any]:
        """The operations on the machine, newest first; empty if they cannot be read."""
        try:
            return self._done(seen.zone, f"targetId = {seen.number}")
        except DriverError as error:
            logger.warning("why %s ended cannot be read: %s", seen.sighting.machine.id, error)
            return []

    def _done(self, zone: str, filter_: str) -> list[Any]:
        """The operations that match, newest first. Raises DriverError."""
        done = self._api.call("ZoneOperationsClient", "list", zone=zone, filter=filter_)
        return sorted(done, key=lambda op: op.insert_time, reverse=True)


def _decisive(kinds: list[str]) -> str:
    """The operation type that ended the machine, from `kinds` (newest first); empty if there is none."""
    return PREEMPTED if PREEMPTED in kinds else next((kind for kind in kinds if kind in REASONS), "")


def _end_told(done: list[Any]) -> datetime | None:
    """When the first operation that ends a machine was done: a stopped one is deleted later. None if none is done."""
    ends = [_time(op.end_time) for op in done if op.operation_type in REASONS and not op.error.errors]
    return min((end for end in ends if end), default=None)


def _lacks_end(seen: LastSighting, now: datetime) -> bool:
    """Whether it is not known yet how the machine ended, or when."""
    if seen.ended_at is None:
        return True
    return bool(seen.number) and seen.sighting.ended_at is None and now - seen.ended_at < END_TOLD_WITHIN


def _time(text: str) -> datetime | None:
    """A time of GCE in UTC; None if it is empty."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _belongs(found: Any, installation: str) -> bool:
    """Whether the metadata confirms the installation: the label that was searched may be a digest."""
    return gcp_instance.metadata_value(found, gcp_instance.INSTALLATION) in ("", installation)
