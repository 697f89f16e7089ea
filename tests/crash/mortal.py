"""Counts a worker's steps, so that tests can kill it before or after any of them."""

import gc
import os
import signal
import threading
import time
import traceback

import msgspec
from msgspec import Struct

from tests.patience import PATIENCE
from workers.deployment.log import Log

ASKED = ("create", "find", "owned", "extend", "terminate", "log")
"""The driver's methods that call the cloud."""

LOOKS = ("describe", "get", "list", "aggregated_list")
"""Calls on the wire without effect. A death around one equals a death around its neighbours."""


class Point(Struct, frozen=True):
    """The number of a step, and whether before or after it."""

    step: int
    side: str

    def __str__(self):
        return f"{self.side} step {self.step}"


class Steps:
    """The steps of one process. `point`: where the process dies; None: it does not."""

    def __init__(self, point=None):
        self.done = []
        self._point = point
        self._lock = threading.Lock()

    def __call__(self, label, do):
        with self._lock:
            number = len(self.done)
            self.done.append(label)
        self._reach(number, "before")
        try:
            return do()
        finally:
            self._reach(number, "after")

    def _reach(self, number, side):
        if self._point == Point(number, side):
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # other threads must not continue until the signal arrives


class MortalLog(Log):
    """A log whose appends are steps."""

    def __init__(self, redis, steps):
        super().__init__(redis)
        self._steps = steps

    def append(self, deployment, seen, events):
        label = f"append {' '.join(type(e).__name__ for e in events)}"
        return self._steps(label, lambda: super(MortalLog, self).append(deployment, seen, events))

    def close(self, deployment, name, seen, ended):
        return self._steps("close", lambda: super(MortalLog, self).close(deployment, name, seen, ended))


class MortalDriver:
    """A real driver whose calls are steps, and whose calls on the wire with an effect are steps, too."""

    def __init__(self, driver, steps):
        self._driver = driver
        self._steps = steps
        for how in ("call", "launch"):
            if hasattr(driver.api, how):
                setattr(driver.api, how, self._wire(getattr(driver.api, how)))

    def __getattr__(self, name):
        if name not in ASKED:
            return getattr(self._driver, name)
        call = getattr(self._driver, name)
        return lambda *given, **asked: self._steps(f"driver {name}", lambda: call(*given, **asked))

    def _wire(self, call):
        def stepped(*given, **asked):
            action = next(word for word in reversed(given) if isinstance(word, str))
            if action.startswith(LOOKS):
                return call(*given, **asked)
            return self._steps(f"wire {action}", lambda: call(*given, **asked))

        return stepped


class Child:
    """A process forked from this one, so that all modules are loaded."""

    def __init__(self, do):
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be(do, write)
        os.close(write)
        self._result = read
        self._status = None

    def kill(self):
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)

    def ended(self, within=60.0 * PATIENCE):
        """The child's result; None if it was killed. Raises the child's exception."""
        give_up_at = time.monotonic() + within
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > give_up_at:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"a worker did not end within {within} s")
            else:
                time.sleep(0.002)
        with os.fdopen(self._result, "rb") as stream:
            result = stream.read()
        if self._status == -signal.SIGKILL:
            return None
        if self._status:
            raise AssertionError(result.decode())
        return msgspec.json.decode(result)


def _be(do, write):
    code = 1
    gc.disable()  # avoids copying the parent's memory for a short life
    try:
        os.write(write, msgspec.json.encode(do()))
        code = 0
    except BaseException:  # noqa: BLE001 - sent to the parent, which raises it
        os.write(write, traceback.format_exc()[-8000:].encode())
    finally:
        os._exit(code)
