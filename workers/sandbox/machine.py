"""The stand-in for a rented machine: a real engine on a loopback address of its own, started from its user data."""

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
from workers.serving.boot import KEY_VARIABLE
from workers.serving.bootstrap import Header, environment, header
from workers.serving.console import STARTS_MOST, again, line, mark_of, no_more
from workers.serving.flags import written

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""Stands in for whatever model is asked for."""
ENGINE_VARIABLE = "MIXTRAL_SANDBOX_ENGINE"
ADDRESSES = 250 * 250
TRIES = 100
LOOK_EVERY = 0.1
PAUSE = 10.0
LASTING = 600.0
LINGER = 600.0
"""Seconds, as in `bootstrap.sh`."""


class MachinesFull(WorkersError):
    """The sandbox runs as many engines as it may."""


class _Machine(Struct, kw_only=True):
    """One machine: its engine's process, and the socket that holds its address for it."""

    start: "Callable[[], subprocess.Popen[bytes]]"
    mark: str
    address: str
    reserved: socket.socket
    process: "subprocess.Popen[bytes]"
    started_at: float
    starts: int = 1
    early: int = 0
    next_at: float | None = None
    """When an engine that ended is started again; None: it runs, or is not started again."""
    ends_at: float | None = None
    """When the machine ends, having given up."""


class Machines:
    """All machines of one stand-in. Needs Linux, which answers on every address of 127/8."""

    def __init__(
        self,
        folder: Path,
        *,
        boot_delay: timedelta = timedelta(),
        most: int = 8,
        network: str = "127.1",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`boot_delay` is how long a machine takes until its engine starts; `most` engines run at once."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._boot_delay = boot_delay
        self._most = most
        self._network = network
        self._environ = environ
        self._machines: dict[str, _Machine] = {}
        self._lock = threading.Lock()
        self._next = secrets.randbelow(ADDRESSES)
        # Engines die with the thread that started them, so that no server's short-lived thread may.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="machines")
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._keep, name="machines' engines", daemon=True)
        self._watch.start()

    def boot(self, id_: str, user_data: str) -> str:
        """Start what the user data says; the machine's address, without a port. Asked again it is the same machine.

        Returns at once; the engine answers later. User data that is none of ours makes a machine that serves nothing.
        Raises MachinesFull.
        """
        with self._lock:
            if id_ in self._machines:
                return self._machines[id_].address
            if sum(machine.process.poll() is None for machine in self._machines.values()) >= self._most:
                raise MachinesFull(
                    f"The sandbox runs {self._most} engines at most on this computer, and all are taken: "
                    "end a deployment, or scale one down."
                )
            about = header(user_data)
            address, reserved = self._reserve(about.port if about else 0)
            variables = environment(user_data)
            start = partial(self._start, id_, address, about, variables)
            self._log(id_).unlink(missing_ok=True)
            process = self._starter.submit(start, self._boot_delay).result()
            began = time.monotonic() + self._boot_delay.total_seconds()
            self._machines[id_] = _Machine(
                start=partial(start, timedelta()),
                mark=mark_of(about.token, variables.get(KEY_VARIABLE, "")) if about else "",
                address=address,
                reserved=reserved,
                process=process,
                started_at=began,
            )
            return address

    def kill(self, id_: str) -> None:
        """End the machine at once, as a cloud does that takes it back; ended already is fine."""
        with self._lock:
            machine = self._machines.pop(id_, None)
        if machine is not None:
            with suppress(ProcessLookupError):
                os.killpg(machine.process.pid, signal.SIGKILL)
            machine.process.wait()
            machine.reserved.close()

    def alive(self, id_: str) -> bool:
        """Whether the machine was booted, and neither killed nor ended by itself; its engine may have ended."""
        with self._lock:
            machine = self._machines.get(id_)
        return machine is not None and (machine.ends_at is None or time.monotonic() < machine.ends_at)

    def engine(self, id_: str) -> int | None:
        """The process id of the machine's engine, for those who want to kill it; None if it ended."""
        with self._lock:
            machine = self._machines.get(id_)
        return machine.process.pid if machine is not None and machine.process.poll() is None else None

    def console(self, id_: str) -> str:
        """What the machine printed so far, also after its end; empty for one that never was."""
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
        """Start an engine again that has ended, until it has ended early too often."""
        status = machine.process.poll()
        if status is None or machine.ends_at is not None:
            return
        if machine.next_at is None:
            machine.early = machine.early + 1 if now - machine.started_at < LASTING else 0
            status = status if status >= 0 else 128 - status  # as a shell has it
            if machine.early >= STARTS_MOST:
                machine.ends_at = now + LINGER
                self._say(id_, machine, no_more("the engine", status, machine.early))
            else:
                machine.next_at = now + PAUSE * (machine.early + 1)
                self._say(id_, machine, again("the engine", status, machine.starts, datetime.now(UTC)))
        elif now >= machine.next_at:
            machine.process = self._starter.submit(machine.start).result()
            machine.starts, machine.started_at, machine.next_at = machine.starts + 1, now, None

    def _say(self, id_: str, machine: _Machine, what: str) -> None:
        with self._log(id_).open("a") as log:
            log.write(line(machine.mark, what))

    def _log(self, id_: str) -> Path:
        return self._folder / f"{quote(id_, safe='')}.log"

    def _reserve(self, port: int) -> tuple[str, socket.socket]:
        """An address whose port is nobody's while the socket lives: bound, never listening; the engine binds beside."""
        for _ in range(TRIES):
            self._next = (self._next + 1) % ADDRESSES
            address = f"{self._network}.{self._next // 250 + 1}.{self._next % 250 + 1}"
            reserved = socket.socket()
            try:
                reserved.bind((address, port))
            except OSError:
                reserved.close()
                continue
            # Only now, so that another stand-in's bind fails.
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            return address, reserved
        raise MachinesFull(
            f"Port {port} is taken on every loopback address that was tried. End what listens on 0.0.0.0:{port}, or "
            "give the recipe another port."
        )

    def _start(
        self, id_: str, address: str, about: Header | None, variables: Mapping[str, str], delay: timedelta
    ) -> "subprocess.Popen[bytes]":
        own = handed_on(self._environ) | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
        with os.fdopen(os.open(self._log(id_), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            return subprocess.Popen(  # noqa: S603 - ourselves
                (sys.executable, "-m", "workers.sandbox.engine", *self._words(address, about, delay)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=own | {KEY_VARIABLE: variables.get(KEY_VARIABLE, "")},
                process_group=0,  # a Ctrl-C at the terminal is for the stand-in, which ends them in order
            )

    def _words(self, address: str, about: Header | None, delay: timedelta) -> list[str]:
        """The command line of the engine's process: whose child it is, its delay, what to run and how."""
        words = [str(os.getpid()), str(delay.total_seconds())]
        if about is None:
            return words
        scripted = "scripted" in {about.kind, self._environ.get(ENGINE_VARIABLE)}
        words += ["scripted" if scripted else "llamacpp", "--model", about.model if scripted else MODEL]
        words += ["--served-model-name", *about.served_names, "--host", address, "--port", str(about.port)]
        return [*words, *(written(about.args) if about.kind == "scripted" else ())]
