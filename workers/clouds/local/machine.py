"""The process of a local machine: runs the steps of its boot and ends with the engine."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from workers.clouds.local import machine_processes, nvidia
from workers.clouds.local.expiry import Expiry
from workers.clouds.local.machine_folder import MachineFolder, NeverMade, Started, take
from workers.errors import WorkersError
from workers.placement.offer import Offer
from workers.placement.refusals import Scope
from workers.processes import die_with_parent
from workers.serving.steps import BootStep, Workplace, steps

HOST = "127.0.0.1"
GRACE = timedelta(seconds=5)  # between SIGTERM and SIGKILL
LOOK_EVERY = timedelta(seconds=0.25)
LOG_LIMIT = 50_000_000
"""Size in bytes at which the log begins anew; as many bytes of the older log are kept. As on a cloud's machine."""
SIGNALS = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class NotHereError(WorkersError):
    """The host has no free GPU or port for the machine."""


class MustEnd(Exception):
    """The machine has to end. The message is the reason."""


def main() -> None:
    folder = MachineFolder(Path(sys.argv[1]))
    if os.fork():
        os._exit(0)  # so that the driver does not have to wait for a child
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, SIGNALS)
    lock = take(folder.lock)
    if lock is not None and folder.ended() is None and folder.refusal() is None and folder.started() is None:
        live(folder, lock)


def live(folder: MachineFolder, lock: int) -> None:
    """Run the machine: from the lock to the tombstone."""
    request = folder.request()
    if request is None:
        return
    try:
        offer, gpus = choose(request.offers, folder.path.parent.parent / "gpus")
        port = reserve(request.boot.port if request.boot.kind == "script" else 0, folder.path.parent.parent / "ports")
        number = port.getsockname()[1]
        place = Workplace(
            folder=folder.path,
            engines=folder.path.parent.parent / "engines",
            python=sys.executable,
            host=HOST,
            port=number,
            gpus=tuple(gpus),
        )
        plan = steps(request.boot, place)
    except WorkersError as error:
        folder.refuse(NeverMade(sentence=str(error), code=type(error).__name__, scope=scope_of(error)))
        return
    folder.start(Started(address=f"http://{HOST}:{number}", pid=os.getpid(), offer=offer))
    expiry = Expiry(request.expires_at)
    try:
        for step in plan:
            run(step, folder, expiry, (lock, *gpus.values()), last=step is plan[-1])
    except MustEnd as end:
        with suppress(OSError):  # deleted, or the disk is full: what is left of the machine ends all the same
            folder.end(str(end))
    machine_processes.kill(folder.path, os.getpid())


def scope_of(error: WorkersError) -> Scope:
    return Scope.ZONE if isinstance(error, NotHereError) else Scope.BUG


def choose(offers: tuple[Offer, ...], locks: Path) -> tuple[Offer, dict[int, int]]:
    """The first offer whose GPUs are free, and the locks by GPU index. Raises NotHereError."""
    here = nvidia.installed() if any(offer.accelerator for offer in offers) else ()
    for offer in offers:
        held: dict[int, int] = {}
        for gpu in here:
            if gpu.name == offer.accelerator and len(held) < offer.count:
                descriptor = take(locks / str(gpu.index))
                if descriptor is not None:
                    held[gpu.index] = descriptor
        if len(held) == offer.count:
            return offer, held
        for descriptor in held.values():
            os.close(descriptor)
    wanted = ", ".join(f"{offer.accelerator}:{offer.count}" for offer in offers)
    raise NotHereError(f"No {wanted} is free on this machine. End a deployment that uses one, or choose another cloud.")


def _not_free(port: int, why: str | None) -> NotHereError:
    return NotHereError(
        f"Port {port or 'of any number'} is not free on this machine ({why}). "
        "A recipe's own `run` script uses a fixed port: end what uses it, or change `ports` and the script."
    )


def reserve(wanted: int, locks: Path) -> socket.socket:
    """Reserve a port (0: any) by a bound socket that does not listen; the engine binds to the same port.

    A port other than 0 is also locked while this process runs. The socket is shared because an exclusive bind would
    fail for a minute after an engine used the port, while the kernel keeps its connections. Raises NotHereError.
    """
    reserved = socket.socket()
    if wanted:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if take(locks / str(wanted)) is None:
            raise _not_free(wanted, "another machine uses it")
    try:
        reserved.bind((HOST, wanted))
    except OSError as error:
        raise _not_free(wanted, error.strerror) from error
    # Set after the bind, so that the kernel chooses a free port.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


def run(step: BootStep, folder: MachineFolder, expiry: Expiry, keep: tuple[int, ...], *, last: bool) -> None:
    """Run one step until it ends. Raises MustEnd if the machine has to end."""
    check(folder, expiry, None)
    with suppress(OSError):  # on a full disk, nobody is told what is done
        folder.report("" if last else step.name)
    try:
        if step.script is not None:
            Path(step.argv[-1]).write_text(step.script)
        process = subprocess.Popen(  # noqa: S603 - argv is from `steps`; a recipe's script is meant to run
            step.argv,
            stdin=subprocess.DEVNULL,
            env=environment(step, os.environ),
            cwd=folder.path,
            process_group=0,
            pass_fds=keep,
            preexec_fn=partial(_become_engine, os.getpid()),  # noqa: PLW1509 - this process has one thread
        )
    except OSError as error:
        raise MustEnd(f"{step.name} could not be started: {error}") from error
    try:
        while process.poll() is None:
            received = signal.sigtimedwait(SIGNALS, LOOK_EVERY.total_seconds())
            check(folder, expiry, received.si_signo if received else None)
            with suppress(OSError):  # deleted: the next check ends the machine
                folder.trim_log(LOG_LIMIT)
    except MustEnd:
        stop(process)
        raise
    if last or process.returncode:
        raise MustEnd(f"{step.name} {how(process.returncode)}")


def environment(step: BootStep, own: Mapping[str, str]) -> dict[str, str]:
    """The machine's environment, which contains the secrets, and the step's."""
    return {name: value for name, value in own.items() if name != "PYTHONPATH" or step.ours} | step.environment


def check(folder: MachineFolder, expiry: Expiry, received: int | None) -> None:
    """Raise MustEnd if the machine was ended, has expired or received a signal."""
    if (why := folder.ended()) is not None:
        raise MustEnd(why)
    if not folder.path.exists():
        raise MustEnd("its folder was deleted")
    if expiry.has_passed(folder.expires_at(), datetime.now(UTC), time.monotonic()):
        raise MustEnd(f"expired at {expiry.at:%Y-%m-%d %H:%M:%S} UTC: its expiry was not extended")
    if received in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
        raise MustEnd(f"machine process received {signal.Signals(received).name}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the step's processes, and SIGKILL to those that run longer than GRACE."""
    deadline = time.monotonic() + GRACE.total_seconds()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    while process.poll() is None and time.monotonic() < deadline:
        signal.sigtimedwait({signal.SIGCHLD}, LOOK_EVERY.total_seconds())
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def how(status: int) -> str:
    """A return code of subprocess, for people."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"


def _become_engine(machine: int) -> None:
    """Bind the child to the machine's process, and unblock its signals. Runs between fork and exec."""
    die_with_parent(machine)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


if __name__ == "__main__":
    main()
