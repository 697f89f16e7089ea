"""PURE: the types that the control loop and the drivers exchange: requests, machines, sightings and ends."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from msgspec import Struct

from workers.placement.offer import Offer

DISK_GIB = 256
"""Size of a cloud machine's boot disk unless the recipe gives another; SkyPilot's default. Mixtral 8x7B has 93 GB."""

Token = NewType("Token", str)
"""Identifies one attempt at a machine, permanently: a cloud makes at most one machine for a token."""


class Boot(Struct, frozen=True, kw_only=True):
    """What a machine starts after boot. Contains names of secrets, never a secret."""

    kind: str
    """The engine: `vllm`, `llamacpp`, `scripted`; or `script`, a recipe's own `setup` and `run`."""
    model: str
    served_names: tuple[str, ...]
    """Names under which clients may request the model; the test completion uses the first one."""
    args: dict[str, str | int | float | bool | None]
    """Flags of the engine, without dashes; None is a flag without a value."""
    port: int
    """The recipe's port; a driver that runs several replicas on one host may use another."""
    setup: str = ""
    run: str = ""
    envs: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    """Names of environment variables whose values are added at the call to the cloud."""
    initial_delay: timedelta = timedelta(seconds=1200)
    """Maximum time from the engine's start until it is ready."""
    image: str | None = None
    disk_gib: int | None = None
    disk_tier: str | None = None


class BootPhase(StrEnum):
    """What a machine does before its engine is ready, in the words of its console. It may leave phases out."""

    BOOTING = "booting"  # its operating system and the GPU driver
    INSTALLING = "installing"  # what its image lacks: Docker, the container toolkit; or the recipe's setup
    PULLING = "pulling"  # the container image
    LOADING = "loading"  # the engine was started: it downloads weights, loads them and compiles


class BootReport(Struct, frozen=True, kw_only=True):
    """What a machine has reported of its boot: the phase, and how much of it is done."""

    phase: BootPhase
    done: int = 0
    """Bytes; 0 if the machine does not count them."""
    total: int = 0
    """Bytes; 0 if it is unknown."""


class MachineRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The complete request of one attempt at a machine; it can be repeated identically."""

    token: Token
    installation: str
    deployment: str
    replica: int
    attempt: int
    offers: tuple[Offer, ...]
    """Alternatives that the driver may try in one call, in order of preference; never empty."""
    boot: Boot
    expires_at: datetime
    """When the machine ends itself, unless its lease is extended."""
    host: str = ""
    """The id of the worker host on which a `local` machine runs; empty for a cloud, and in logs of old versions."""
    boots_within: timedelta = timedelta()
    """Time that is added to the initial delay while the machine has reported no phase of its boot."""


class Machine(Struct, frozen=True, kw_only=True):
    """A machine that exists, as its cloud reports it."""

    token: Token
    id: str
    """The cloud's id of the machine, which a person can search for in its console."""
    cloud: str
    offer: Offer
    """The one of the request's offers that was taken."""
    address: str | None
    """`http://host:port`, without a path; None if the cloud has not assigned an address yet."""
    created_at: datetime


class Presence(StrEnum):
    RUNNING = "running"
    ENDED = "ended"
    PREEMPTED = "preempted"


class Sighting(Struct, frozen=True, kw_only=True):
    """A machine in a cloud's list, with the values of its tags. A missing tag is an empty string."""

    machine: Machine
    presence: Presence
    installation: str
    deployment: str
    replica: int
    attempt: int
    why: str = ""
    """How the machine ended, in a few words (`engine exited with status 1`); empty while it runs."""
    ended_at: datetime | None = None
    """When it ended, by its cloud; None while it runs, or if the cloud does not tell it."""
    progress: str = ""
    """What a running machine does before its engine is ready, in a few words."""


class Unlisted(Struct, frozen=True, kw_only=True):
    """A part of a cloud whose machines are missing from a list, or may be."""

    place: str
    """A region or a zone; empty for the whole cloud."""
    why: str


class Listing(Struct, frozen=True, kw_only=True):
    """The machines that a cloud listed. A machine that is missing has ended only if its place was listed."""

    sightings: tuple[Sighting, ...] = ()
    unlisted: tuple[Unlisted, ...] = ()

    def __iter__(self) -> Iterator[Sighting]:
        return iter(self.sightings)


class Whereabouts(Struct, frozen=True, kw_only=True):
    """What the log knows about the place of a machine. Empty fields are unknown."""

    region: str = ""
    zone: str = ""
    id: str = ""
    """The cloud's id of the machine."""


ANYWHERE = Whereabouts()


def whereabouts(machine: Machine) -> Whereabouts:
    return Whereabouts(region=machine.offer.region, zone=machine.offer.zone, id=machine.id)


class MachineEnd(Struct, frozen=True, kw_only=True):
    why: str
    preempted: bool
    ended_at: datetime | None = None
    """By its cloud; None if the cloud does not tell it."""
