"""A cloud whose machines are directories in a folder: the example of docs/how-to/write-a-cloud-driver.md."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from shutil import rmtree
from typing import TypeVar
from uuid import uuid4

import msgspec

from workers import machines
from workers.clouds.driver import DriverError, Refused
from workers.machines import ANYWHERE, Token, Whereabouts
from workers.placement.offer import CloudStatus, Offer
from workers.placement.refusals import Scope

T = TypeVar("T")
CLOUD = "folder"
OFFER = Offer(
    cloud=CLOUD, region="", zone="", instance_type="dir", accelerator=None, count=0, spot=False, usd_per_hour=Decimal(0)
)


class FolderDriver:
    """`machines/TOKEN/` is a machine, `ended/TOKEN` has the reason of its end, `making/` has incomplete files."""

    cloud = CLOUD

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.machines, self.ended, self.making = folder / "machines", folder / "ended", folder / "making"
        self.clock = clock
        with _translated():
            for part in (self.machines, self.ended, self.making):
                part.mkdir(parents=True, exist_ok=True)

    def status(self) -> CloudStatus:
        return CloudStatus(cloud=CLOUD, usable=True)

    def offers(self) -> tuple[Offer, ...]:
        return (OFFER,)

    def create(self, request: machines.MachineRequest, secrets: Mapping[str, str]) -> machines.Machine:  # noqa: ARG002 (nothing runs)
        machine = machines.Machine(
            token=request.token,
            id=f"{CLOUD}/{request.token}",
            cloud=CLOUD,
            offer=request.offers[0],
            address=f"http://{request.token}.invalid:{request.boot.port}",
            created_at=self.clock(),
        )
        with _translated():
            made = self.making / uuid4().hex
            made.mkdir()
            for name, value in (("request", request), ("machine", machine), ("expires_at", request.expires_at)):
                (made / name).write_bytes(msgspec.json.encode(value))
            (made / "log").touch()
            try:
                made.rename(self.machines / request.token)
            except OSError:  # another call has made it
                rmtree(made)
            if self._read(request.token, "request", machines.MachineRequest) != request:
                raise Refused("The token belongs to another request.", code="TokenInUse", scope=Scope.BUG)
            return self._read(request.token, "machine", machines.Machine)

    def find(self, token: Token, known: Whereabouts = ANYWHERE) -> machines.Machine | None:  # noqa: ARG002 (there is one place)
        with _translated():
            return self._read(token, "machine", machines.Machine) if (self.machines / token).exists() else None

    def place(self, offer: Offer) -> str:  # noqa: ARG002 (there is one place)
        return ""

    def owned(self, installation: str, place: str = "") -> machines.Listing:
        try:
            with _translated():
                sightings = [self._sighting(Token(path.name)) for path in sorted(self.machines.iterdir())]
        except DriverError as error:
            return machines.Listing(unlisted=(machines.Unlisted(place=place, why=str(error)),))
        return machines.Listing(sightings=tuple(one for one in sightings if one.installation == installation))

    def end_of(self, machine: machines.Machine) -> machines.MachineEnd | None:
        with _translated():
            why = self._why_ended(machine.token)
        return None if why is None else machines.MachineEnd(why=why, preempted=False)

    def extend(self, token: Token, expires_at: datetime, known: Whereabouts = ANYWHERE) -> None:  # noqa: ARG002 (as above)
        with _translated():
            if (self.machines / token).exists() and self._why_ended(token) is None:
                self._written(msgspec.json.encode(expires_at)).replace(self.machines / token / "expires_at")

    def terminate(self, token: Token, known: Whereabouts = ANYWHERE) -> None:  # noqa: ARG002 (as above)
        with _translated():
            if self._why_ended(token) is None:
                self.end(token, "terminated")

    def end(self, token: Token, why: str) -> None:
        """Write the tombstone, whether or not there is a machine. The first reason is kept."""
        with _translated():
            written = self._written(why.encode())
            with suppress(FileExistsError):
                (self.ended / token).hardlink_to(written)
            written.unlink()

    def log(self, token: Token, lines: int, known: Whereabouts = ANYWHERE) -> str:  # noqa: ARG002 (as above)
        with _translated():
            file = self.machines / token / "log"
            return "\n".join(deque(file.read_text().splitlines(), maxlen=lines)) if file.exists() else ""

    def _sighting(self, token: Token) -> machines.Sighting:
        request, why = self._read(token, "request", machines.MachineRequest), self._why_ended(token)
        return machines.Sighting(
            machine=self._read(token, "machine", machines.Machine),
            presence=machines.Presence.RUNNING if why is None else machines.Presence.ENDED,
            installation=request.installation,
            deployment=request.deployment,
            replica=request.replica,
            attempt=request.attempt,
            why=why or "",
        )

    def _why_ended(self, token: Token) -> str | None:
        """None for a running machine. A passed expiry becomes a tombstone, so that `extend` cannot undo it."""
        tombstone = self.ended / token
        if not tombstone.exists():
            if not (self.machines / token).exists() or self.clock() < self._read(token, "expires_at", datetime):
                return None
            self.end(token, "expired")
        return tombstone.read_text()

    def _read(self, token: Token, file: str, kind: type[T]) -> T:
        return msgspec.json.decode((self.machines / token / file).read_bytes(), type=kind)

    def _written(self, content: bytes) -> Path:
        """A complete file in `making/`, to be moved to its place."""
        path = self.making / uuid4().hex
        path.write_bytes(content)
        return path


@contextmanager
def _translated() -> Iterator[None]:
    """Translate errors of the file system into DriverError: the cloud gave no answer."""
    try:
        yield
    except (OSError, msgspec.MsgspecError) as error:
        raise DriverError(f"The folder cloud gave no answer: {error}.") from error
