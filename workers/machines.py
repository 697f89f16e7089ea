"""PURE: what passes between the control loop and the clouds: what is asked for, what exists, and how it ended."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from msgspec import Struct

from workers.placement.offer import Offer

Token = NewType("Token", str)
"""Names one attempt at a machine, for ever: the cloud gives one machine a token, however often it is asked."""


class Boot(Struct, frozen=True, kw_only=True):
    """What a machine starts once it is up. Holds names of secrets, never a secret."""

    kind: str
    """The engine: `vllm`, `llamacpp`, `scripted`; or `script`, a recipe's own `setup` and `run`."""
    model: str
    served_names: tuple[str, ...]
    """The names by which clients may ask for the model; the first is what the test completion uses."""
    args: dict[str, str | int | float | bool | None]
    """Flags of the engine, without dashes; null is a flag without a value."""
    port: int
    """The port that the recipe wants; a driver that shares one host among replicas may give another."""
    setup: str = ""
    run: str = ""
    envs: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    """Names of environment variables that are filled in at the call."""
    initial_delay: timedelta = timedelta(seconds=1200)
    """How long the engine may take from the machine's start until it is ready."""
    image: str | None = None
    disk_gib: int | None = None
    disk_tier: str | None = None


class MachineRequest(Struct, frozen=True, kw_only=True):
    """One attempt at a machine, whole and frozen, so that it can be asked again word for word."""

    token: Token
    installation: str
    deployment: str
    replica: int
    attempt: int
    offers: tuple[Offer, ...]
    """Alternatives that the driver may try in one call, in order of preference; never empty."""
    boot: Boot
    expires_at: datetime
    """When the machine ends itself unless the control plane has moved this further."""


class Machine(Struct, frozen=True, kw_only=True):
    """A machine that exists, as its cloud tells it."""

    token: Token
    id: str
    """The cloud's own name for it, as a person would search for it."""
    cloud: str
    offer: Offer
    """The one of the request's offers that was taken."""
    address: str | None
    """`http://host:port`, without a path; None until the cloud has given it one."""
    created_at: datetime


class Presence(StrEnum):
    """Whether a machine is still there."""

    RUNNING = "running"
    ENDED = "ended"
    PREEMPTED = "preempted"


class Sighting(Struct, frozen=True, kw_only=True):
    """A machine in a cloud's list, with what its tags say. Tags that are missing are empty strings."""

    machine: Machine
    presence: Presence
    installation: str
    deployment: str
    replica: int
    attempt: int
    why: str = ""
    """For a machine that ended: how, in a few words (`engine exited with status 1`)."""
    progress: str = ""
    """For a running one whose engine is not up: what it is busy with, in a few words."""


class MachineEnd(Struct, frozen=True, kw_only=True):
    """How a machine ended."""

    why: str
    preempted: bool
