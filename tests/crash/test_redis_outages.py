"""Every process on a real Valkey that fails in turn, and workers that freeze: told where people are, and recovered."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.delaying_proxy import DelayingProxy
from tests.line import Line
from tests.patience import PATIENCE
from tests.person import GENERAL, Person, words
from tests.redis_faults import REFUSING, set_fault
from workers.deployment.events import LaunchIntended, MachineCreated
from workers.deployment.log import Log
from workers.deployment.state import fold

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

HELD = 8
"""Seconds for which each fault lasts; the first one lasts long enough for its channel to hear of it."""
TOLD = 75

FAULTS = {
    **{name: cause.removeprefix("the ") for name, (cause, _) in REFUSING.items()},
    "slow": "scaled from",
    "frozen": "does not respond",
    "away": "does not respond",
}
"""What is answered to a `scale` during each of them."""


class Outages(Line):
    """A line whose Redis can be slowed, frozen and killed, and refuse writes."""

    def __init__(self, folder, **environ):
        super().__init__(folder, MIXTRAL_CLOUDS="local", MIXTRAL_CONTROL_LEASE="3s", **environ)
        self.proxy = DelayingProxy(self.redis_port)
        self.env["REDIS_URL"] = f"redis://127.0.0.1:{self.proxy.port}/0"

    def __enter__(self):
        self.proxy.__enter__()
        return super().__enter__()

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.proxy.__exit__(*exc)

    def set(self, name, *, on):
        match name:
            case "slow":
                self.proxy.delay = 0.5 if on else 0.0
            case "frozen":
                os.kill(self.children.pid("valkey"), signal.SIGSTOP if on else signal.SIGCONT)
            case "away" if on:
                self.kill("valkey")
            case "away":
                self.wait(self._valkey_answers, 10, "Valkey")
            case _:
                set_fault(self.redis(), name, on=on)

    def state(self):
        log = Log(self.redis())
        id_ = log.names().get("fast")
        return fold(id_, log.read(id_)) if id_ else None

    def events(self, kind):
        return [e for e in Log(self.redis()).read(self.state().id) if isinstance(e, kind)]

    def check(self):
        argv = (sys.executable, "-m", "bot.cli", "check")
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False).stdout

    def pids(self):
        return {name: self.children.pid(name) for name in ("bot", "worker", "gateway")}


def replied(line, person, text, saying="", within=30 * PATIENCE):
    """The reply to a command, which contains `saying`: a reply to an earlier command may come as late as this one's."""
    before = len(person.ephemerals(GENERAL))
    person.command(GENERAL, text)

    def new():
        there = [words(m) for m in person.ephemerals(GENERAL)[before:]]
        return [w for w in there if "takes longer" not in w and "Its key" not in w]

    deadline = time.monotonic() + within
    while not (said := next((w for w in new() if saying in w), None)):
        assert time.monotonic() < deadline, f"no reply to {text} that says {saying!r}: {new()}\n{line.logs()}"
        time.sleep(0.1)  # and not `wait`, which would start a killed Valkey again
    return said


def settled(line, replicas):
    state = line.state()
    return state and len(state.ready) == len(line.machines()) == replicas


def launched(line, person):
    replied(line, person, "/mixtral launch scripted as fast")
    line.wait(lambda: settled(line, 1) and line.state().endpoint, 60, "the launch")


def of_kind(person, kind):
    return [words(m) for m in person.messages(GENERAL) if (m.get("metadata") or {}).get("event_type") == kind]


def test_each_outage_is_answered_with_its_cause_and_everything_goes_on_by_itself(tmp_path):
    with Outages(tmp_path) as line, Person(line.page) as robin:
        launched(line, robin)
        pids, wanted, bought = line.pids(), 1, 1
        for name, answer in FAULTS.items():
            line.set(name, on=True)
            replied(line, robin, f"/mixtral scale fast {3 - wanted}", answer)
            time.sleep(TOLD if name == "read-only" else HELD)
            line.set(name, on=False)
            with contextlib.suppress(AssertionError):  # the first ones may meet connections that wait
                while line.state().wanted == wanted:
                    replied(line, robin, f"/mixtral scale fast {3 - wanted}", within=30)
            wanted = 3 - wanted
            line.wait(lambda: settled(line, wanted), 90, f"{wanted} replicas after {name}")  # noqa: B023 - at once
            bought += wanted == 2
            assert len(line.events(LaunchIntended)) == len(line.events(MachineCreated)) == bought, name
        assert line.pids() == pids, "no process has ended"
        logs = {name: (tmp_path / f"{name}.log").read_text() for name in pids}
        assert {name: log[at - 300 :][:4000] for name, log in logs.items() if (at := log.find("Traceback")) >= 0} == {}
        failing, works = of_kind(robin, "mixtral_redis")
        assert "Redis is a read-only replica" in failing
        assert "Redis works again" in works
        assert len(of_kind(robin, "mixtral_card")) == 1


def freeze(line, number):
    os.killpg(os.getpgid(line.children.pid("worker")), number)


def test_frozen_workers_are_told_of_and_the_card_is_not_green_when_the_lease_has_passed(tmp_path):
    with Outages(tmp_path, MIXTRAL_LEASE="40s") as line, Person(line.page) as robin:
        launched(line, robin)
        freeze(line, signal.SIGSTOP)
        try:
            robin.wait_for_message(GENERAL, "No worker has answered since", timeout=100)
            robin.wait_for_message(GENERAL, "fast has no worker", timeout=30)
            assert "none answers since" in line.check()
            line.wait(lambda: not line.machines(), 120, "the end of the machine by itself")
            robin.wait_for_message(GENERAL, "its lease ran out", timeout=150)
            replied(line, robin, "/mixtral status", "No worker has answered since")
        finally:
            freeze(line, signal.SIGCONT)
        robin.wait_for_message(GENERAL, "A worker answers again", timeout=60)
        line.wait(lambda: settled(line, 1), 90, "another machine")
        assert len(of_kind(robin, "mixtral_workers")) == 2
        assert "ok worker               observes the machines" in line.check()
