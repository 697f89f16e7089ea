"""A deployment on the line whose engines can be killed and frozen."""

import contextlib
import os
import signal
from pathlib import Path

from tests.load import Target
from tests.person import GENERAL, words
from workers.clouds.local import machine_processes
from workers.clouds.local.machine_folder import MachineFolder
from workers.deployment.log import Log
from workers.deployment.state import fold


class House:
    """One deployment on the line, its log, and the processes of its engines."""

    def __init__(self, line, person, recipe="scripted", *, name="chaos", replicas=3):
        self.line = line
        self.person = person
        self.name = name
        self.log = Log(line.redis())
        person.command(GENERAL, f"/mixtral launch {recipe} as {name} --replicas {replicas}")
        self.id = line.wait(lambda: self.log.names().get(name), 20, "the deployment")
        self.wait(lambda state: len(state.ready) == replicas and state.endpoint, f"{replicas} ready")
        self.key = person.wait_for_ephemeral("mxk_", timeout=30)
        self.stopped = []

    def events(self):
        return self.log.read(self.id)

    def state(self):
        return fold(self.id, self.events())

    def wait(self, holds, what, seconds=60):
        return self.line.wait(lambda: holds(self.state()), seconds, what)

    def target(self):
        said = words(self.key)
        start = said.index("mxk_")
        return Target(url=self.line.gateway, key=said[start : start + 36], model=self.name)

    def engine(self, attempt):
        """The process id of a replica's engine, not of the machine's process around it."""
        folder = MachineFolder(self.line.home.resolve() / "machines" / attempt.request.token)
        for pid in machine_processes.of_machine(folder.path, folder.started().pid):
            with contextlib.suppress(OSError):  # a process that has ended meanwhile
                if b"workers.serving.scripted" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        raise AssertionError(f"{attempt.request.token} has no engine\n{self.line.logs()}")

    def kill(self, attempt):
        os.kill(self.engine(attempt), signal.SIGKILL)

    def freeze(self, attempt):
        self.stopped.append(self.engine(attempt))
        os.kill(self.stopped[-1], signal.SIGSTOP)

    def thaw(self):
        for pid in self.stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def scale(self, replicas):
        assert self.person.command(GENERAL, f"/mixtral scale {self.name} {replicas}")["acked"]
