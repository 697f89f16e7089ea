"""The processes behind the EC2 stand-in's instances, and their ends."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from moto.core.types import Base64EncodedString
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance
from msgspec import Struct

from workers.sandbox.ec2.faults import ON_DEMAND, SPOT, Faults
from workers.sandbox.stand_in import Billed, Clock, Machines

EXPIRY = "mixtral-expiry"
LOOK_EVERY = 0.5  # seconds
FORGOTTEN_AFTER = timedelta(hours=1)
"""Time for which EC2 lists an instance after its end."""

PENDING, RUNNING, STOPPED, TERMINATED = (0, "pending"), (16, "running"), (80, "stopped"), (48, "terminated")

REASONS = {
    "preempt": ("Server.SpotInstanceTermination", "Spot instance termination"),
    "delete": ("Client.UserInitiatedShutdown", "User initiated shutdown"),
    "shut down": ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown"),
    "no room": ("Server.InsufficientInstanceCapacity", "There was insufficient capacity to launch"),
}

logger = logging.getLogger(__name__)


class Pool(Struct, frozen=True, kw_only=True):
    """The zone, type and lifecycle of a launch, which share one capacity."""

    region: str
    zone: str
    """A zone id."""
    name: str
    """The zone's name in this account."""
    type_: str
    spot: bool

    @property
    def lifecycle(self) -> str:
        return SPOT if self.spot else ON_DEMAND

    @property
    def about(self) -> dict[str, str]:
        """The fields of a fault that a launch in the pool is compared with."""
        return {"region": self.region, "instance_type": self.type_, "zone": self.zone, "lifecycle": self.lifecycle}


class Life(Struct, kw_only=True):
    """An instance and its machine."""

    instance: Any
    pool: Pool
    public: bool
    """Whether it gets a public address."""
    booted_at: float | None = None
    """By `time.monotonic`."""
    ended_at: datetime | None = None
    console: str = ""
    fate: tuple[float, str] | None = None
    """Seconds from boot to end, and a key of REASONS."""


class Lives:
    """The instances of one account. The caller of a method holds `lock`, unless its docstring excludes that."""

    def __init__(self, machines: Machines, account: str, faults: Faults, lock: threading.RLock, clock: Clock) -> None:
        self.machines = machines
        self._account = account
        self._faults = faults
        self._lock = lock
        self._clock = clock
        self.bill: list[Billed] = []
        """The machines that have ended."""
        self._lives: dict[str, Life] = {}
        self._stopping = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="ec2-lives").start()

    def start(self, instance: Instance, pool: Pool, user_data: Base64EncodedString | None, *, public: bool) -> None:
        """Boot a new instance in the background; it is pending, without an address, until that is done."""
        life = Life(instance=instance, pool=pool, public=public)
        for code, fate in (("preempted", "preempt"), ("deleted", "delete")):
            if fault := self._faults.silent(code, "CreateFleet", **pool.about):
                life.fate = (fault.seconds, fate)
        instance.launch_time = self._clock().astimezone(UTC).replace(microsecond=0, tzinfo=None)  # as moto has it
        self._lives[instance.id] = life
        _state(instance, PENDING)
        text = user_data.decode() if user_data else ""
        threading.Thread(target=self._boot, args=(life, text), daemon=True, name=f"boot-{instance.id}").start()

    def _boot(self, life: Life, user_data: str) -> None:
        """Called without the lock."""
        try:
            address = self.machines.boot(life.instance.id, user_data)
        except Exception:
            logger.exception("%s did not boot", life.instance.id)
            with self._lock:
                self.end(life.instance.id, "no room")
            return
        with self._lock:
            if life.ended_at is not None:
                self.machines.kill(life.instance.id)
                return
            life.booted_at = time.monotonic()
            life.instance.nics[0].public_ip = address if life.public else None
            _state(life.instance, RUNNING)

    def end(self, instance_id: str, how: str) -> None:
        """End an instance, unless it has ended; `how` is a key of REASONS."""
        life = self._lives.get(instance_id)
        if life is None or life.ended_at is not None:
            return
        life.ended_at = self._clock()
        with contextlib.suppress(Exception):  # the machine may have failed to boot
            life.console = self.machines.console(instance_id)
        self.machines.kill(instance_id)
        life.instance.terminate()
        stops = how == "shut down" and life.instance.instance_initiated_shutdown_behavior == "stop"
        _state(life.instance, STOPPED if stops else TERMINATED)
        life.instance.nics[0].public_ip = None
        code, words = REASONS[how]
        _tell_when(life.instance, how, life.ended_at)
        billed = Billed(
            machine=instance_id,
            zone=life.pool.zone,
            instance_type=life.pool.type_,
            spot=life.pool.spot,
            began=life.instance.launch_time.replace(tzinfo=UTC),
            ended=life.ended_at,
        )
        self.bill.append(billed)
        life.instance.state_reason.code, life.instance.state_reason.message = code, f"{code}: {words}"

    def console(self, instance_id: str) -> str:
        life = self._lives.get(instance_id)
        if life is None or life.ended_at is not None:
            return life.console if life else ""
        return self.machines.console(instance_id)

    def settle(self) -> None:
        """End instances that are expired, without a machine, or due by a fault; remove those that ended long ago."""
        now, today = time.monotonic(), self._clock()
        for id_, life in list(self._lives.items()):
            if life.ended_at is not None:
                if today - life.ended_at > FORGOTTEN_AFTER:
                    self._forget(id_)
            elif life.booted_at is not None:
                if life.fate and now - life.booted_at >= life.fate[0]:
                    self.end(id_, life.fate[1])
                elif not self.machines.alive(id_) or _expired(life.instance, today):
                    self.end(id_, "shut down")

    def named(self, word: str) -> str | None:
        """The id of the running instance with this id or a tag of this value, or None."""
        return next((id_ for id_, life in self._living() if word == id_ or word in _tags(life.instance).values()), None)

    def pools(self, region: str) -> list[Pool]:
        """The pool of each running instance of a region."""
        return [life.pool for _, life in self._living() if life.pool.region == region]

    def close(self) -> None:
        self._stopping.set()
        with self._lock:
            for id_, _ in self._living():
                self.machines.kill(id_)

    def _living(self) -> Iterator[tuple[str, Life]]:
        return ((id_, life) for id_, life in list(self._lives.items()) if life.ended_at is None)

    def _forget(self, instance_id: str) -> None:
        region = self._lives.pop(instance_id).pool.region
        reservations = ec2_backends[self._account][region].reservations
        for id_, reservation in list(reservations.items()):
            if any(instance.id == instance_id for instance in reservation.instances):
                del reservations[id_]

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            with self._lock:
                self.settle()


def _state(instance: Instance, state: tuple[int, str]) -> None:
    instance._state.code, instance._state.name = state  # noqa: SLF001 - moto has no public way to set other states


def _tell_when(instance: Instance, how: str, at: datetime) -> None:
    """As EC2 does: only an end by its API is told with its time, in GMT."""
    told = f"User initiated ({at.astimezone(UTC):%Y-%m-%d %H:%M:%S} GMT)" if how == "delete" else REASONS[how][0]
    instance._reason = told  # noqa: SLF001 - as above


def _tags(instance: Instance) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in instance.get_tags()}


def _expired(instance: Instance, now: datetime) -> bool:
    """Whether the instance has expired. Replaces the deadman, which sandbox machines do not run."""
    try:
        return msgspec.convert(_tags(instance)[EXPIRY], datetime) <= now
    except (KeyError, msgspec.ValidationError):
        return False
