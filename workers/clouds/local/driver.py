"""The driver for this host. Each replica is a process with its own port, key, log and session."""

import errno
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryFile

from workers.clouds.driver import DriverError, Refused
from workers.clouds.local import host, machine_processes, nvidia
from workers.clouds.local.machine_folder import MachineFolder
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

START_WITHIN = timedelta(seconds=20)  # maximum wait for a machine's process
SPAWN_AGAIN_AFTER = timedelta(seconds=2)
END_WITHIN = timedelta(seconds=7)  # a machine gives its engine five seconds
LOOK_EVERY = timedelta(seconds=0.01)
KEEP_ENDED = timedelta(days=1)  # time for which an ended machine is listed
PRUNED = ".pruned-"  # begins the names of folders that are being removed
LONG_LINE = 1000  # bytes read from the end of a log for each line

logger = logging.getLogger(__name__)


class LocalDriver:
    """Machines as processes, kept in folders under MIXTRAL_HOME. Needs Linux."""

    cloud = "local"

    def __init__(self, home: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.machines = home.resolve() / "machines"
        self.environ = environ
        self._unreadable: set[Path] = set()
        """Folders that the last list could not read."""

    def status(self) -> CloudStatus:
        if not sys.platform.startswith("linux"):
            reason, mend = f"replicas as processes need Linux, not {sys.platform}", "Use a cloud, or a Linux host."
        else:
            try:
                self._make(self.machines)
                with TemporaryFile(dir=self.machines) as written:
                    written.write(b"yes")
            except OSError as error:
                reason = f"{self.machines} cannot be written ({error.strerror})"
                mend = "Free disk space or correct the permissions, or set MIXTRAL_HOME to a writable folder."
            else:
                return CloudStatus(cloud=self.cloud, usable=True)
        lists = sys.platform.startswith("linux")  # without room for another machine, those that run are looked after
        return CloudStatus(cloud=self.cloud, usable=False, reason=f"local: {reason}", mend=mend, lists=lists)

    def offers(self) -> tuple[Offer, ...]:
        memory = Decimal(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 2**30
        return host.offers(
            socket.gethostname().split(".")[0],
            vcpus=len(os.sched_getaffinity(0)),
            memory_gib=round(memory, 1),
            gpus=nvidia.installed(),
        )

    def create(self, request: MachineRequest, secrets: Mapping[str, str]) -> Machine:
        folder = self._folder(request.token)
        try:
            self._make(folder.path)
            folder.keep_request(request)
        except OSError as error:
            raise Refused(
                f"The machine's files cannot be written to {folder.path} ({error.strerror}). "
                "Free disk space or correct the permissions, or set MIXTRAL_HOME to a writable folder.",
                code=errno.errorcode.get(error.errno or 0, "OSError"),
                scope=Scope.CLOUD,
            ) from error
        if folder.request() != request:
            sentence = f"The token {request.token} was already used for another request."
            raise Refused(sentence, code="TokenMismatch", scope=Scope.BUG)
        self._start(folder, secrets)
        if refusal := folder.refusal():
            raise Refused(refusal.sentence, code=refusal.code, scope=refusal.scope)
        return _machine(folder, request)

    def find(self, token: Token, known: Whereabouts = ANYWHERE) -> Machine | None:  # noqa: ARG002 - there is one place
        folder = self._folder(token)
        request = folder.request()
        if request is None or not (_settled(folder) or folder.alive()) or folder.refusal():
            return None
        return _machine(folder, request)

    def place(self, offer: Offer) -> str:  # noqa: ARG002 - one host
        return ""

    def owned(self, installation: str, place: str = "") -> Listing:
        try:
            return Listing(sightings=tuple(self._owned(installation)))
        except OSError as error:
            why = f"{self.machines} cannot be read ({error.strerror})"
            return Listing(unlisted=(Unlisted(place=place, why=why),))

    def _owned(self, installation: str) -> Iterator[Sighting]:
        for left in self.machines.glob(f"{PRUNED}*"):
            shutil.rmtree(left, ignore_errors=True)
        unreadable = set()
        for path in sorted(self.machines.glob("[!.]*")):
            folder = MachineFolder(path)
            try:
                try:
                    request = folder.request()
                    if request is not None and request.installation == installation and self.find(request.token):
                        yield _sighting(folder, request)
                except DriverError as error:
                    unreadable.add(path)
                    if path not in self._unreadable:
                        logger.error("a machine is missing from the list: %s", error)  # noqa: TRY400 - the cause is told
                self._prune(folder)
            except FileNotFoundError:
                continue  # another process has pruned it
        self._unreadable = unreadable

    def end_of(self, machine: Machine) -> MachineEnd | None:  # noqa: ARG002 - ended ones are listed for a day
        return None

    def extend(self, token: Token, expires_at: datetime, known: Whereabouts = ANYWHERE) -> None:  # noqa: ARG002 - as above
        folder = self._folder(token)
        try:
            folder.extend(expires_at)
        except FileNotFoundError:  # ended and pruned long ago
            return
        except OSError as error:
            raise DriverError(
                f"{folder.path} cannot be written ({error.strerror}), so the lease of the machine is not extended. "
                "Free disk space or correct the permissions: it is tried again"
            ) from error

    def terminate(self, token: Token, known: Whereabouts = ANYWHERE) -> None:  # noqa: ARG002 - as above
        folder = self._folder(token)
        try:
            self._make(folder.path)
            folder.end("ended on request")
        except OSError as error:
            logger.warning("%s is ended without a tombstone, which could not be written: %s", token, error)
        kill_at = time.monotonic() + END_WITHIN.total_seconds()
        deadline = kill_at + END_WITHIN.total_seconds()
        asked = False
        # A free lock means that the machine's process has ended; its children may still run.
        while folder.alive() or _kill(folder):
            asked = asked or _ask_to_end(folder)
            if time.monotonic() > kill_at:
                _kill(folder)
            if time.monotonic() > deadline:
                raise DriverError(f"{token} still runs after SIGKILL. `fuser {folder.lock}` lists its processes.")
            time.sleep(LOOK_EVERY.total_seconds())

    def log(self, token: Token, lines: int, known: Whereabouts = ANYWHERE) -> str:  # noqa: ARG002 - as above
        end = self._folder(token).log_end(LONG_LINE * lines)
        return b"\n".join(end.splitlines()[-lines:]).decode(errors="replace")

    def _folder(self, token: Token) -> MachineFolder:
        if not token or "/" in token or token.startswith("."):
            raise Refused(f"{token!r} cannot be the name of a machine.", code="BadToken", scope=Scope.BUG)
        return MachineFolder(self.machines / token)

    def _make(self, folder: Path) -> None:
        self.machines.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)

    def _start(self, folder: MachineFolder, secrets: Mapping[str, str]) -> None:
        """Start the machine's process, unless another worker has. Raises DriverError."""
        now = spawn_at = time.monotonic()
        deadline = now + START_WITHIN.total_seconds()
        while not _settled(folder):
            now = time.monotonic()
            if now > deadline:
                raise DriverError(
                    f"The machine's process did not start. The end of its log: {self.log(Token(folder.path.name), 3)}"
                )
            if now >= spawn_at and not folder.alive():
                self._spawn(folder, secrets)
                spawn_at = now + SPAWN_AGAIN_AFTER.total_seconds()
            time.sleep(LOOK_EVERY.total_seconds())

    def _spawn(self, folder: MachineFolder, secrets: Mapping[str, str]) -> None:
        """Start a machine's process. Of several for one folder, all but the first end immediately."""
        package = {"PYTHONPATH": str(Path(__file__).parents[3]), machine_processes.MARK: str(folder.path)}
        try:
            with os.fdopen(os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)) as output:
                subprocess.run(  # noqa: S603 - our own module; returns once it has detached itself
                    (sys.executable, "-m", "workers.clouds.local.machine", str(folder.path)),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=host.handed_on(self.environ) | dict(secrets) | package,
                    cwd=folder.path,
                    timeout=START_WITHIN.total_seconds(),
                    check=True,
                )
        except (OSError, subprocess.SubprocessError) as error:
            if getattr(error, "returncode", 0) == -signal.SIGKILL:
                return  # a machine that has already expired ends every process with its mark, this one too
            raise DriverError(f"The machine's process cannot be started ({error}). See {folder.log}.") from error

    def _prune(self, folder: MachineFolder) -> None:
        if not folder.alive() and folder.touched_at() < datetime.now(UTC) - KEEP_ENDED:
            pruned = folder.path.rename(folder.path.with_name(f"{PRUNED}{folder.path.name}"))
            shutil.rmtree(pruned, ignore_errors=True)


def _settled(folder: MachineFolder) -> bool:
    """Whether the machine has started, ended or been refused. If not, it may be started again."""
    return folder.started() is not None or folder.ended() is not None or folder.refusal() is not None


def _machine(folder: MachineFolder, request: MachineRequest) -> Machine:
    started = folder.started()
    return Machine(
        token=request.token,
        id=request.token,
        cloud=LocalDriver.cloud,
        offer=started.offer if started else request.offers[0],
        address=started.address if started else None,
        created_at=folder.made_at(),
    )


def _sighting(folder: MachineFolder, request: MachineRequest) -> Sighting:
    _clean_up(folder)
    alive = folder.alive()
    return Sighting(
        machine=_machine(folder, request),
        presence=Presence.RUNNING if alive else Presence.ENDED,
        installation=request.installation,
        deployment=request.deployment,
        replica=request.replica,
        attempt=request.attempt,
        why="" if alive else folder.ended() or "machine process is gone",
        progress=folder.progress() if alive else "",
    )


def _clean_up(folder: MachineFolder) -> None:
    """If the machine's process was killed, kill its children: without it the engine would not end at its expiry."""
    started = folder.started()
    if started is None or folder.ended() is not None or machine_processes.belongs(started.pid, folder.path):
        return
    if not _kill(folder):
        folder.end("machine process is gone")


def _ask_to_end(folder: MachineFolder) -> bool:
    started = folder.started()
    if started is None or not machine_processes.belongs(started.pid, folder.path):
        return False
    with suppress(ProcessLookupError):
        os.kill(started.pid, signal.SIGTERM)
    return True


def _kill(folder: MachineFolder) -> bool:
    started = folder.started()
    return machine_processes.kill(folder.path, started.pid if started else None)
