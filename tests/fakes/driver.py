"""A cloud in memory that keeps the drivers' contract, with a clock and refusals that tests set."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from msgspec.structs import replace

from tests.builders.offers import offer
from workers.clouds.driver import DriverError, Refused
from workers.machines import (
    ANYWHERE,
    Listing,
    Machine,
    MachineEnd,
    MachineRequest,
    Presence,
    Sighting,
    Token,
    Unlisted,
    Whereabouts,
)
from workers.placement.offer import CloudStatus, Offer
from workers.placement.refusals import Scope


class FakeDriver:
    """Machines as entries of a dict. Drivers that share one object see the same cloud."""

    def __init__(
        self,
        cloud: str = "fake",
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        offers: tuple[Offer, ...] = (),
    ) -> None:
        self.cloud = cloud
        self.clock = clock
        self.calls: list[tuple[str, Token | str | None]] = []
        self.refuse: Callable[[Offer], Refused | None] = lambda _: None
        """Called for every offer of a request, in order. The first offer that it does not refuse gets the machine."""
        self.unreachable = False
        self.failing: dict[str, DriverError] = {}
        """By region: the error of each call about its machines."""
        self.lose_answers = False
        """Calls take effect and then raise, as when the connection breaks before the answer."""
        self.forgets_tokens = False
        """A repeated create makes a further machine, as a cloud does once its memory of the token has ended."""
        self.twins: list[Sighting] = []
        """Second machines of tokens that have one, as calls of two workers may make them."""
        self.bought: list[Token] = []
        """The token of each machine that was made."""
        self.ends: dict[Token, MachineEnd] = {}
        """How ended machines that are no longer listed ended."""
        self.told_ends: dict[Token, datetime] = {}
        """When machines ended by the clock of the cloud, as far as it tells."""
        self.secrets: dict[Token, dict[str, str]] = {}
        self.requests: dict[Token, MachineRequest] = {}
        self._offers = offers or (offer(f"{cloud} here-1", gpu=""),)
        self._machines: dict[Token, Machine] = {}
        self._expiry: dict[Token, datetime] = {}
        self._ended: dict[Token, tuple[Presence, str]] = {}
        self._logs: dict[Token, list[str]] = {}
        self._lock = threading.RLock()

    def status(self) -> CloudStatus:
        return CloudStatus(cloud=self.cloud, usable=True)

    def offers(self) -> tuple[Offer, ...]:
        return self._offers

    def create(self, request: MachineRequest, secrets: Mapping[str, str]) -> Machine:
        with self._lock:
            self._call("create", request.token)
            if self.requests.setdefault(request.token, request) != request:
                raise Refused("The token names another request.", code="TokenMismatch", scope=Scope.BUG)
            if request.token not in self._machines or self.forgets_tokens:
                self._machines[request.token] = self._made(request)
                self.bought.append(request.token)
                self._expiry[request.token] = request.expires_at
                self.secrets[request.token] = dict(secrets)
                self._logs[request.token] = ["the machine is up"]
            self._answer()
            return self._machines[request.token]

    def find(self, token: Token, known: Whereabouts = ANYWHERE) -> Machine | None:
        self._call("find", token)
        self._reach(token)
        return self._machines.get(token)

    def place(self, offer: Offer) -> str:
        return offer.region

    def owned(self, installation: str, place: str = "") -> Listing:
        with self._lock:
            try:
                self._call("owned", installation)
            except DriverError as error:
                return Listing(unlisted=(Unlisted(place=place, why=str(error)),))
            found = (
                self._sighting(token, request)
                for token, request in self.requests.items()
                if request.installation == installation and token in self._machines
            )
            seen = tuple(s for s in (*found, *self.twins) if place in ("", s.machine.offer.region))
            failed = {region: error for region, error in self.failing.items() if place in ("", region)}
            return Listing(
                sightings=tuple(s for s in seen if s.machine.offer.region not in failed),
                unlisted=tuple(Unlisted(place=region, why=str(error)) for region, error in failed.items()),
            )

    def end_of(self, machine: Machine) -> MachineEnd | None:
        return self.ends.get(machine.token)

    def extend(self, token: Token, expires_at: datetime, known: Whereabouts = ANYWHERE) -> None:
        self._call("extend", token)
        self._reach(token)
        if token in self._expiry:
            self._expiry[token] = expires_at
        self._answer()

    def terminate(self, token: Token, known: Whereabouts = ANYWHERE) -> None:
        self._call("terminate", token)
        self._reach(token)
        if any(twin.machine.id == known.id for twin in self.twins):
            self.twins = [replace(twin, presence=Presence.ENDED, why="deleted") for twin in self.twins]
            return
        self._ended.setdefault(token, (Presence.ENDED, "ended on request"))
        self._answer()

    def log(self, token: Token, lines: int, known: Whereabouts = ANYWHERE) -> str:
        self._call("log", token)
        self._reach(token)
        return "\n".join(self._logs.get(token, [])[-lines:])

    # What tests do to machines, and ask about them.

    def expiry(self, token: Token) -> datetime:
        return self._expiry[token]

    def end(self, token: Token, why: str = "engine exited with status 1", presence: Presence = Presence.ENDED) -> None:
        self._ended.setdefault(token, (presence, why))

    def twin(self, token: Token) -> None:
        """Make a second machine of the token's request."""
        sighting = self._sighting(token, self.requests[token])
        machine = replace(sighting.machine, id=f"{sighting.machine.id}-twin")
        self.twins.append(replace(sighting, machine=machine))

    def print(self, token: Token, *lines: str) -> None:
        self._logs[token].extend(lines)

    def running(self) -> list[Token]:
        return [token for token, request in self.requests.items() if self._is_running(token, request)]

    def _made(self, request: MachineRequest) -> Machine:
        refusals = []
        for one in request.offers:
            refused = self.refuse(one)
            if refused is None:
                return Machine(
                    token=request.token,
                    id=f"{self.cloud}-{request.token}",
                    cloud=self.cloud,
                    offer=one,
                    address=f"http://{self.cloud}.invalid:{request.boot.port}",
                    created_at=self.clock(),
                )
            refusals.append(refused)
        del self.requests[request.token]
        raise refusals[0]

    def _sighting(self, token: Token, request: MachineRequest) -> Sighting:
        running = self._is_running(token, request)
        presence, why = (Presence.RUNNING, "") if running else self._ended.get(token, (Presence.ENDED, "expired"))
        return Sighting(
            machine=self._machines[token],
            presence=presence,
            installation=request.installation,
            deployment=request.deployment,
            replica=request.replica,
            attempt=request.attempt,
            why=why,
            ended_at=None if running else self.told_ends.get(token),
        )

    def _is_running(self, token: Token, request: MachineRequest) -> bool:
        return token in self._machines and token not in self._ended and self._expiry[token] > self.clock()

    def _call(self, name: str, about: Token | str | None) -> None:
        self.calls.append((name, about))
        if self.unreachable:
            raise DriverError(f"{self.cloud} does not answer.")

    def _reach(self, token: Token) -> None:
        machine = self._machines.get(token)
        if machine is not None and (error := self.failing.get(machine.offer.region)):
            raise error

    def _answer(self) -> None:
        if self.lose_answers:
            raise DriverError(f"The connection to {self.cloud} broke before its answer.")
