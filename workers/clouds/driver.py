"""What the control loop asks of a cloud, and what a cloud may answer."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from workers.errors import WorkersError
from workers.machines import Machine, MachineEnd, MachineRequest, Sighting, Token
from workers.placement.offer import CloudStatus, Offer
from workers.placement.refusals import Refusal, Scope


class DriverError(WorkersError):
    """The cloud could not be asked, or gave no answer: nothing is known of the effect."""


class Refused(WorkersError):
    """The cloud said no, and no machine was made: the message is its reason in plain words."""

    def __init__(self, sentence: str, *, code: str, scope: Scope, refusals: tuple[Refusal, ...] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.scope = scope
        self.refusals = refusals
        """What was said of which offer, where one call asked for several; empty: this was said of all."""


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

    def end_of(self, machine: Machine) -> MachineEnd | None:
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
