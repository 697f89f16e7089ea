"""The interface of the clouds' drivers, and their errors."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from msgspec import Struct

from workers.errors import WorkersError
from workers.machines import ANYWHERE, Listing, Machine, MachineEnd, MachineRequest, Token, Whereabouts
from workers.placement.offer import CloudStatus, Offer
from workers.placement.refusals import Refusal, Scope


class DriverError(WorkersError):
    """A call failed or got no answer. Whether it had an effect is unknown."""


class NoAnswer(DriverError):
    """A place gave no answer. Further calls about its machines would only wait for their timeouts."""


class Refused(WorkersError):
    """The cloud refused the request and made no machine. The message is the reason, for people."""

    def __init__(self, sentence: str, *, code: str, scope: Scope, refusals: tuple[Refusal, ...] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.scope = scope
        self.refusals = refusals
        """The refusal of each offer, if the call had several; empty if the message applies to all of them."""


class Ahead(Struct, frozen=True, kw_only=True):
    """What is requested if a cloud refuses a request."""

    ladder: tuple[Offer, ...]
    """The cloud's usable offers in the other places, in order."""
    request: MachineRequest | None = None
    """The next request, with the token that it will have; None if it is for another cloud, or unknown."""
    secrets: Mapping[str, str]


class Driver(Protocol):
    """One cloud. Calls may take seconds and may be repeated. All errors are DriverError or Refused.

    `known`: what the log contains about the machine's place. The driver asks elsewhere only if the place is unknown.
    """

    cloud: str

    def status(self) -> CloudStatus:
        """Whether machines can be requested; if not, why, and what to do. Makes no paid call."""
        ...

    def offers(self) -> tuple[Offer, ...]:
        """Offers that are not in the price table, such as the worker's own machine for `local`."""
        ...

    def create(self, request: MachineRequest, secrets: Mapping[str, str]) -> Machine:
        """Make the machine for the request's token, or return the existing one. Raises Refused, DriverError."""
        ...

    def find(self, token: Token, known: Whereabouts = ANYWHERE) -> Machine | None:
        """The machine of this token, running or not; None if there was never one. Raises DriverError."""
        ...

    def place(self, offer: Offer) -> str:
        """The part of the cloud that is listed separately: a region or a zone; empty if there are no parts."""
        ...

    def owned(self, installation: str, place: str = "") -> Listing:
        """The machines with this installation's tag, including ended ones that the cloud still lists.

        `place`: list only this part of the cloud. Raises nothing: what cannot be listed is in `Listing.unlisted`.
        """
        ...

    def end_of(self, machine: Machine) -> MachineEnd | None:
        """How a machine ended that the cloud no longer lists; None if that is unknown.

        Raises DriverError.
        """
        ...

    def extend(self, token: Token, expires_at: datetime, known: Whereabouts = ANYWHERE) -> None:
        """Set the machine's expiry. Raises DriverError."""
        ...

    def terminate(self, token: Token, known: Whereabouts = ANYWHERE) -> None:
        """End the machine of this token; return once the cloud has accepted. An ended machine is no error."""
        ...

    def log(self, token: Token, lines: int, known: Whereabouts = ANYWHERE) -> str:
        """The last lines of the machine's console; empty if there is none."""
        ...


@runtime_checkable
class PreparesLaunches(Protocol):
    """A driver with work to do in each place before it can launch there, and after it. Its methods raise nothing."""

    def expect(self, request: MachineRequest, ahead: Ahead) -> None:
        """What a refusal of `request` would lead to; called before `create`, which may prepare it meanwhile."""
        ...

    def hopeless(self, request: MachineRequest, ladder: Iterable[Offer]) -> tuple[Refusal, ...]:
        """Prepare launches of a refused request on other offers, in all their places at once.

        Returns why no launch can succeed in some of the places; each reason once.
        """
        ...

    def finish(self) -> None:
        """Remove what was prepared and not used, and wait for what was left to threads."""
        ...


def not_allowed(cloud: str) -> str:
    """Why this worker makes no call to a cloud, and the mend."""
    return f"This worker is not allowed to use {cloud}. Add {cloud} to MIXTRAL_CLOUDS, and restart the worker."
