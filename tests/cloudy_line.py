"""The line of tests/line.py with the stand-ins of EC2 and GCE, configured as in the demo."""

import contextlib
import os
import signal
import sys
from functools import cached_property
from pathlib import Path

import httpx

from tests import loopback
from tests.line import Line
from tests.patience import PATIENCE
from tests.person import words
from workers.clouds.gcp.instance import name_of
from workers.deployment.log import Log
from workers.deployment.state import fold
from workers.machines import Presence
from workers.processes import Child
from workers.run import connect, drivers_of
from workers.sandbox.valkey import free_port, valkey
from workers.settings import from_environ

LAUNCHES = {"CreateFleet", "RunInstances", "instances.insert", "regionInstances.bulkInsert"}


class CloudyLine(Line):
    """A line whose machines belong to two stand-in clouds. No request leaves the computer."""

    def __init__(self, folder, *, engine="scripted", **environ):
        self.urls = {cloud: f"http://127.0.0.1:{free_port()}" for cloud in ("aws", "gcp")}
        clouds = {
            "MIXTRAL_CLOUDS": "aws,gcp",
            "MIXTRAL_ALLOW_CIDRS": "127.0.0.0/8",
            "AWS_ENDPOINT_URL": self.urls["aws"],
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "GOOGLE_CLOUD_PROJECT": "sandbox",
            "MIXTRAL_GCE_ENDPOINT": self.urls["gcp"],
            "MIXTRAL_SANDBOX_ENGINE": engine,
        }
        super().__init__(folder, **{**clouds, **environ})

    def _start(self):
        for name, cloud in (("ec2", "aws"), ("gce", "gcp")):
            options = ("--port", self.urls[cloud].rpartition(":")[2], "--folder", str(self.folder / name))
            self.children.start(self._child(name, (sys.executable, "-m", f"workers.sandbox.{name}.server", *options)))
        super()._start()
        self.wait(lambda: all(self._answers(url) for url in self.urls.values()), 30, "the clouds")

    @staticmethod
    def _answers(url):
        try:
            return loopback.get(f"{url}/sandbox/calls", timeout=2).is_success
        except httpx.HTTPError:
            return False

    # --- the clouds -----------------------------------------------------------

    def fault(self, cloud, **fault):
        loopback.post(f"{self.urls[cloud]}/sandbox/faults", json=fault, timeout=10).raise_for_status()

    def mend(self):
        for url in self.urls.values():
            loopback.delete(f"{url}/sandbox/faults", timeout=10).raise_for_status()

    def quota(self, cloud, **quota):
        loopback.post(f"{self.urls[cloud]}/sandbox/quotas", json=quota, timeout=10).raise_for_status()

    def forget_calls(self):
        for url in self.urls.values():
            loopback.delete(f"{url}/sandbox/calls", timeout=10).raise_for_status()

    def calls(self, cloud):
        return loopback.get(f"{self.urls[cloud]}/sandbox/calls", timeout=10).json()["calls"]

    def launches(self, cloud):
        """The launch calls that a cloud received, in order."""
        return [call for call in self.calls(cloud) if call.get("action", call.get("method")) in LAUNCHES]

    def end(self, machine, fate):
        """Preempt a machine (`preempt`) or delete it (`delete`) as its cloud does."""
        word = machine.token if machine.cloud == "aws" else name_of(machine.token)
        loopback.post(f"{self.urls[machine.cloud]}/sandbox/instances/{word}/{fate}", timeout=10).raise_for_status()

    def kill_engine(self, machine):
        """Kill the engine of a machine that keeps running."""
        host = httpx.URL(machine.address).host.encode()
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if b"workers.sandbox.engine" in (words := line.read_bytes().split(b"\0")) and host in words:
                    os.kill(int(line.parent.name), signal.SIGKILL)
                    return
        raise AssertionError(f"{machine.id} has no engine")

    # --- state of the clouds and the log -----------------------------------------

    def machines(self):
        """The running machines in the lists of the clouds."""
        found = [s for driver in self.drivers.values() for s in driver.owned(self.installation)]
        return [s for s in found if s.presence is Presence.RUNNING]

    @cached_property
    def drivers(self):
        return drivers_of(from_environ(self.env))

    def close(self):
        self.children.stop(grace=10)

    def deployment(self, name):
        log = Log(connect(self.env["REDIS_URL"]))
        id_ = log.names().get(name)
        return fold(id_, log.read(id_)) if id_ else None

    # --- processes ------------------------------------------------------------------

    def worker(self, **environ):
        """Restart the worker with other environment variables; None removes a variable."""
        env = {key: value for key, value in {**self.env, **environ}.items() if value is not None}
        argv = (sys.executable, "-m", "bot.cli", "worker")
        self._replace(Child(name="worker", argv=argv, env=env, log=self.folder / "worker.log"))

    def roll_back(self, folder):
        """Stop Valkey, replace its data, and start it again."""
        self._replace(valkey(self.redis_port, folder, self.folder / "valkey.log"))
        self.wait(self._valkey_answers, 10, "Valkey")

    def _replace(self, child):
        pid = self.children.pid(child.name)
        os.kill(pid, signal.SIGTERM)
        children = self.children._children
        at = next(i for i, one in enumerate(children) if one.name == child.name)
        self.children._running[child.name][0].wait(15 * PATIENCE)
        children[at] = child
        self.children._spawn(child)

    def said(self, name):
        """The log of a process."""
        return (self.folder / f"{name}.log").read_text(errors="replace")


def card_of(person, channel, name, *said, without=(), timeout=30):
    """Wait until the newest card of `name` contains `text`, and return the card."""

    def look(p):
        marked = [m for m in p.messages(channel) if (m.get("metadata") or {}).get("event_type") == "mixtral_card"]
        cards = [m for m in marked if titled(m, name)]
        fits = [m for m in cards[-1:] if all(s in words(m) for s in said) and not any(s in words(m) for s in without)]
        return fits[0] if fits else None

    return person.wait_for(look, timeout)


def titled(message, name):
    header = message["blocks"][0].get("text", {}).get("text", "")
    return f" {name} " in f"{header} "
