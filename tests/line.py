"""The whole product on loopback: Valkey, the Slack stand-in, bot, worker and gateway, controlled by tests."""

import os
import signal
import sys
import time
from pathlib import Path

import httpx
from redis import Redis
from redis.exceptions import RedisError

from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN
from tests import loopback
from tests.patience import PATIENCE
from workers.clouds.local.driver import LocalDriver
from workers.machines import Presence
from workers.processes import Child, Children
from workers.sandbox.valkey import free_port, valkey
from workers.settings import installation_of

HERE = Path(__file__).parent


class Line:
    """Every process that handles a person's command, each started as a process of its own."""

    def __init__(self, folder, *, recipes=HERE / "recipes", slack=None, **environ):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.redis_port = free_port()
        self.slack_port = free_port()
        self.gateway_port = free_port()
        self.gateway = f"http://127.0.0.1:{self.gateway_port}"
        self.page = f"http://127.0.0.1:{self.slack_port}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLACK_", "MIXTRAL_", "REDIS_", "AWS_"))}
        self.env = kept | {
            "SLACK_API_URL": f"{self.page}/api/",
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "MIXTRAL_HOME": str(self.home),
            "MIXTRAL_RECIPES": str(recipes),
            "MIXTRAL_LEASE": "5m",
            "MIXTRAL_PRICES_EVERY": "off",
            "MIXTRAL_GATEWAY_BIND": f"127.0.0.1:{self.gateway_port}",
            "MIXTRAL_GATEWAY_URL": self.gateway,
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
            **environ,
        }
        self.slack_options = ("--rate-scale", "100", "--retry-scale", "0.02") if slack is None else slack
        self.children = Children()

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        cli = (sys.executable, "-m", "bot.cli")
        self.children.start(valkey(self.redis_port, self.folder / "valkey", self.folder / "valkey.log"))
        self.wait(self._valkey_answers, 10, "Valkey")
        self.children.start(self.slack())
        self.wait(self.slack_answers, 20, "Slack")
        self.children.start(self._child("bot", (*cli, "run")))
        self.children.start(self._child("worker", (*cli, "worker")))
        self.children.start(self._child("gateway", (*cli, "gateway")))
        self.wait(self.connected, 30, "the bot")
        self.wait(self.gateway_answers, 20, "the gateway")

    def slack(self):
        """The command that starts the Slack stand-in."""
        server = (sys.executable, "-m", "bot.sandbox.server", "--port", str(self.slack_port), *self.slack_options)
        return self._child("slack", server)

    def close(self):
        self.children.stop(grace=10)
        driver = LocalDriver(self.home)
        for sighting in driver.owned(self.installation):
            driver.terminate(sighting.machine.token)

    def kill(self, name):
        """SIGKILL a child by name."""
        os.kill(self.children.pid(name), signal.SIGKILL)

    @property
    def installation(self):
        return installation_of(self.home, {})

    def machines(self):
        """The running machines of this installation, from the local driver's list."""
        return [s for s in LocalDriver(self.home).owned(self.installation) if s.presence is Presence.RUNNING]

    def redis(self):
        return Redis(port=self.redis_port)

    def connected(self):
        return self.slack_answers() and loopback.get(f"{self.page}/page/state").json()["socket"]["connected"]

    def wait(self, holds, seconds, what):
        """Poll until `holds()` is truthy; return its value. Restarts dead children. A timeout raises with the logs."""
        deadline = time.monotonic() + seconds * PATIENCE
        while not (answer := holds()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s for {what}\n{self.logs()}")
            self.children.restart_the_dead()
            time.sleep(0.05)
        return answer

    def logs(self, lines=40):
        """The last lines of all logs, for the message of a failed test."""
        parts = []
        for log in sorted(self.folder.glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {log.name}", *tail]))
        return "\n".join(parts)

    def _child(self, name, argv):
        return Child(name=name, argv=argv, env=self.env, log=self.folder / f"{name}.log")

    def _valkey_answers(self):
        try:
            return self.redis().ping()
        except RedisError:
            return False

    def gateway_answers(self):
        try:
            return loopback.get(f"{self.gateway}/health", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def slack_answers(self):
        try:
            return loopback.get(f"{self.page}/page/state", timeout=5).is_success
        except httpx.HTTPError:
            return False
