"""docker-compose.yml, without Docker: what it starts, started natively, comes up and works."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.line import Line
from tests.person import GENERAL, Person, words
from workers.processes import Child
from workers.sandbox.valkey import valkey

COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())


class ComposedLine(Line):
    """The line, with the commands and the environment that the compose file gives its services."""

    def _start(self):
        services = COMPOSE["services"]
        self.children.start(composed_valkey(services["valkey"]["command"], self.redis_port, self.folder))
        self.wait(self._valkey_answers, 10, "Valkey")
        self.children.start(self.slack())
        self.wait(self.slack_answers, 20, "Slack")
        for name in ("bot", "worker"):
            asked = services[name]["environment"]
            assert set(asked) == {"REDIS_URL", "MIXTRAL_CLOUDS"}
            self.env["MIXTRAL_CLOUDS"] = "aws,gcp,local"  # as .env may say, for a box that has GPUs
            argv = (sys.executable, "-m", "bot.cli", *services[name]["command"])
            self.children.start(Child(name=name, argv=argv, env=self.env, log=self.folder / f"{name}.log"))
        self.wait(self.connected, 30, "the bot")


def composed_valkey(command, port, folder):
    """The server of the compose file, on this machine: its own options, and ours for where it runs."""
    native = valkey(port, folder / "valkey", folder / "valkey.log")
    options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder / "valkey"))
    return Child(name="valkey", argv=(native.argv[0], *command[1:], *options), env=native.env, log=native.log)


def test_what_the_compose_file_starts_launches_a_model(tmp_path):
    with ComposedLine(tmp_path) as line, Person(line.page) as robin:
        assert line.redis().config_get("append*")["appendfsync"] == "always"
        assert line.redis().info("persistence")["aof_enabled"]
        robin.command(GENERAL, "/mixtral launch scripted")
        robin.wait_for_message(GENERAL, lambda m: "/v1/chat/completions" in words(m), timeout=30)
        robin.command(GENERAL, "/mixtral down scripted")
        robin.wait_for(lambda _: not line.machines(), 30)


def test_local_is_off_in_compose_unless_asked_for():
    assert COMPOSE["services"]["worker"]["environment"]["MIXTRAL_CLOUDS"] == "${MIXTRAL_CLOUDS:-aws,gcp}"


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="`docker-compose` is not on this machine")
def test_docker_compose_accepts_the_file():
    import subprocess  # noqa: PLC0415 - for this one

    subprocess.run(["docker-compose", "config", "--quiet"], cwd=Path(__file__).parents[2], check=True)
