"""What the control loop asks of a cloud, and what a cloud may answer."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType, Protocol

from msgspec import Struct

from workers.errors import WorkersError
from workers.placement.offer import CloudStatus, Offer

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


class Scope(StrEnum):
    """How much else a refusal rules out."""

    ZONE = "zone"  # this type and lifecycle in this zone
    REGION = "region"  # this family and lifecycle in this region
    GPU = "gpu"  # this GPU on the whole cloud
    CLOUD = "cloud"  # everything on this cloud
    BACK_OFF = "back off"  # nothing: asked too fast
    BUG = "bug"  # this one request: we asked for something malformed


class DriverError(WorkersError):
    """The cloud could not be asked, or gave no answer: nothing is known of the effect."""


class Refusal(Struct, frozen=True, kw_only=True):
    """One reason why one or more of a request's offers cannot be had now."""

    offers: tuple[Offer, ...]
    """Those of the request's offers that it was said of."""
    sentence: str
    """In plain words, without a full stop; an unknown code's own text."""
    code: str
    """As the cloud writes it."""
    scope: Scope
    lasts: timedelta
    """For how long it is worth believing."""
    zones_with_capacity: tuple[str, ...] = ()
    """Where the refusal itself said to try instead; AWS: zone ids."""


class Refused(WorkersError):
    """The cloud said no, and no machine was made: the message is its reason in plain words."""

    def __init__(self, sentence: str, *, code: str, scope: Scope, refusals: tuple[Refusal, ...] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.scope = scope
        self.refusals = refusals
        """What was said of which offer, where one call asked for several; empty: this was said of all."""


class End(Struct, frozen=True, kw_only=True):
    """How a machine ended."""

    why: str
    preempted: bool


class Driver(Protocol):
    """One cloud. Calls may take seconds; each may be repeated, and ends in its answer or in one of our errors."""

    cloud: str

    def status(self) -> CloudStatus:
        """Whether machines can be asked for here at all, and if not, why and what mends it. No paid call."""
        ...

    def offers(self) -> tuple[Offer, ...]:
        """What this cloud sells beyond the price table (the machine it runs on, for `local`)."""
        ...

    def create(self, request: MachineRequest, secrets: Mapping[str, str]) -> Machine:
        """Make the machine of this token, or return the one that exists. Raises Refused, DriverError."""
        ...

    def find(self, token: Token) -> Machine | None:
        """The machine of this token, running or not, or None if there never was one. Raises DriverError."""
        ...

    def owned(self, installation: str) -> Iterable[Sighting]:
        """Every machine that carries this installation's tag, ended ones while the cloud still lists them."""
        ...

    def end_of(self, machine: Machine) -> End | None:
        """How a machine ended that is listed no more, whoever saw it last; None where that is not told any more.

        Raises DriverError.
        """
        ...

    def extend(self, token: Token, expires_at: datetime) -> None:
        """Tell the machine that it may live until then."""
        ...

    def terminate(self, token: Token) -> None:
        """End the machine of this token and return when the cloud has taken the order; ended already is fine."""
        ...

    def log(self, token: Token, lines: int) -> str:
        """The last lines of what the machine printed, or an empty string."""
        ...
