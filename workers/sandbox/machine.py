"""Stand-ins for rented machines: each is a real engine on its own loopback address, started from user data."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from workers.clouds.local.host import handed_on
from workers.errors import WorkersError
from workers.machines import BootPhase
from workers.serving.boot import KEY_VARIABLE
from workers.serving.bootstrap import Header, environment, header
from workers.serving.console import MAX_STARTS, again, line, mark_of, no_more, phase
from workers.serving.flags import written

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""Served in place of any requested model."""
ENGINE_VARIABLE = "MIXTRAL_SANDBOX_ENGINE"
ADDRESSES = 250 * 250
TRIES = 100
LOOK_EVERY = 0.1  # seconds
PAUSE = 10.0
LASTING = 600.0
LINGER = 600.0
"""Seconds, these three with the values of `bootstrap.sh`."""


class MachinesFull(WorkersError):
    """The sandbox runs its maximum number of engines, or has no free address."""


class _Machine(Struct, kw_only=True):
    """One machine: its engine's process, and the socket that reserves its address."""

    start: "Callable[[], subprocess.Popen[bytes]]"
    mark: str
    address: str
    reserved: socket.socket
    process: "subprocess.Popen[bytes]"
    started_at: float
    loading: bool = False
    """Whether its console reports the start of the engine."""
    starts: int = 1
    early: int = 0
    next_at: float | None = None
    """When the ended engine is restarted; None if it runs, or is not restarted."""
    ends_at: float | None = None
    """When the machine ends after too many early ends of its engine; None otherwise."""


class Machines:
    """All machines of one stand-in. Requires Linux, which accepts connections on all of 127/8."""

    def __init__(
        self,
        folder: Path,
        *,
        boot_delay: timedelta = timedelta(),
        most: int = 8,
        network: str = "127.1",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`boot_delay` is the time from a boot to the engine's start; at most `most` engines run."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._boot_delay = boot_delay
        self._most = most
        self._network = network
        self._environ = environ
        self._machines: dict[str, _Machine] = {}
        self._lock = threading.Lock()
        self._next = secrets.randbelow(ADDRESSES)
        # An engine ends with the thread that started it, so a server's short-lived threads must not start it.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="machines")
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._keep, name="machines' engines", daemon=True)
        self._watch.start()

    def boot(self, id_: str, user_data: str) -> str:
        """Start a machine with this user data; return its address, without a port. A second call returns the same.

        Does not wait for the engine. With user data that is not this project's, the machine serves nothing.
        Raises MachinesFull.
        """
        with self._lock:
            if id_ in self._machines:
                return self._machines[id_].address
            if sum(machine.process.poll() is None for machine in self._machines.values()) >= self._most:
                raise MachinesFull(
                    f"The sandbox runs at most {self._most} engines on this computer, and all are in use. "
                    "End a deployment, or scale one down."
                )
            about = header(user_data)
            address, reserved = self._reserve(about.port if about else 0)
            variables = environment(user_data)
            start = partial(self._start, id_, address, about, variables)
            self._log(id_).unlink(missing_ok=True)
            process = self._starter.submit(start, self._boot_delay).result()
            began = time.monotonic() + self._boot_delay.total_seconds()
            machine = self._machines[id_] = _Machine(
                start=partial(start, timedelta()),
                mark=mark_of(about.token, variables.get(KEY_VARIABLE, "")) if about else "",
                address=address,
                reserved=reserved,
                process=process,
                started_at=began,
            )
            self._write(id_, machine, phase(BootPhase.BOOTING))
            return address

    def kill(self, id_: str) -> None:
        """End the machine immediately, as in a preemption; does nothing if it has ended."""
        with self._lock:
            machine = self._machines.pop(id_, None)
        if machine is not None:
            with suppress(ProcessLookupError):
                os.killpg(machine.process.pid, signal.SIGKILL)
            machine.process.wait()
            machine.reserved.close()

    def alive(self, id_: str) -> bool:
        """Whether the machine was booted and has not ended; its engine may have ended."""
        with self._lock:
            machine = self._machines.get(id_)
        return machine is not None and (machine.ends_at is None or time.monotonic() < machine.ends_at)

    def engine(self, id_: str) -> int | None:
        """The process id of the machine's engine; None if it does not run."""
        with self._lock:
            machine = self._machines.get(id_)
        return machine.process.pid if machine is not None and machine.process.poll() is None else None

    def console(self, id_: str) -> str:
        """The machine's output so far, even after its end; empty if it was never booted."""
        try:
            return self._log(id_).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        """End all machines."""
        self._closed.set()
        self._watch.join()
        for id_ in tuple(self._machines):
            self.kill(id_)
        self._starter.shutdown()

    def _keep(self) -> None:
        while not self._closed.wait(LOOK_EVERY):
            with self._lock:
                for id_, machine in self._machines.items():
                    self._look(id_, machine, time.monotonic())

    def _look(self, id_: str, machine: _Machine, now: float) -> None:
        """Report the start of the engine, and restart one that has ended, unless it has ended early too often."""
        if not machine.loading and now >= machine.started_at:
            machine.loading = True
            self._write(id_, machine, phase(BootPhase.LOADING))
        status = machine.process.poll()
        if status is None or machine.ends_at is not None:
            return
        if machine.next_at is None:
            machine.early = machine.early + 1 if now - machine.started_at < LASTING else 0
            status = status if status >= 0 else 128 - status  # a signal, as a shell reports it
            if machine.early >= MAX_STARTS:
                machine.ends_at = now + LINGER
                self._write(id_, machine, no_more("the engine", status, machine.early))
            else:
                machine.next_at = now + PAUSE * (machine.early + 1)
                self._write(id_, machine, again("the engine", status, machine.starts, datetime.now(UTC)))
        elif now >= machine.next_at:
            machine.process = self._starter.submit(machine.start).result()
            machine.starts, machine.started_at, machine.next_at = machine.starts + 1, now, None

    def _write(self, id_: str, machine: _Machine, what: str) -> None:
        with self._log(id_).open("a") as log:
            log.write(line(machine.mark, what))

    def _log(self, id_: str) -> Path:
        return self._folder / f"{quote(id_, safe='')}.log"

    def _reserve(self, port: int) -> tuple[str, socket.socket]:
        """Reserve the port on a new address with a socket that is bound and never listens; the engine binds it too."""
        for _ in range(TRIES):
            self._next = (self._next + 1) % ADDRESSES
            address = f"{self._network}.{self._next // 250 + 1}.{self._next % 250 + 1}"
            reserved = socket.socket()
            try:
                reserved.bind((address, port))
            except OSError:
                reserved.close()
                continue
            # Set after the bind, so that another stand-in's bind fails.
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            return address, reserved
        raise MachinesFull(
            f"Port {port} is in use on every loopback address that was tried. End what listens on 0.0.0.0:{port}, or "
            "set another port in the recipe."
        )

    def _start(
        self, id_: str, address: str, about: Header | None, variables: Mapping[str, str], delay: timedelta
    ) -> "subprocess.Popen[bytes]":
        own = handed_on(self._environ) | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
        with os.fdopen(os.open(self._log(id_), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            return subprocess.Popen(  # noqa: S603 - this package
                (sys.executable, "-m", "workers.sandbox.engine", *self._arguments(address, about, delay)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=own | {KEY_VARIABLE: variables.get(KEY_VARIABLE, "")},
                process_group=0,  # Ctrl-C must reach only the stand-in, which ends its engines in order
            )

    def _arguments(self, address: str, about: Header | None, delay: timedelta) -> list[str]:
        """The arguments of `workers.sandbox.engine`: parent's process id, delay in seconds, engine, its arguments."""
        arguments = [str(os.getpid()), str(delay.total_seconds())]
        if about is None:
            return arguments
        scripted = "scripted" in {about.kind, self._environ.get(ENGINE_VARIABLE)}
        arguments += ["scripted" if scripted else "llamacpp", "--model", about.model if scripted else MODEL]
        arguments += ["--served-model-name", *about.served_names, "--host", address, "--port", str(about.port)]
        return [*arguments, *(written(about.args) if about.kind == "scripted" else ())]
