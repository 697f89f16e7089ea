"""docker-compose.yml, without Docker: what it starts, started natively, comes up and works."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.composed import COMPOSE, GATEWAY_FOLDER, SERVICES, composed_environment, composed_haproxy, composed_valkey
from tests.line import Line
from tests.person import GENERAL, Person, words
from workers.deployment.events import TestCompletionAnswered
from workers.deployment.log import Log
from workers.processes import Child

ADDED = {
    "MIXTRAL_CLOUDS",
    "MIXTRAL_HAPROXY",
    "MIXTRAL_HTTP_HOST",
    "MIXTRAL_POLICY",
    "MIXTRAL_TLS_CERT",
    "MIXTRAL_TLS_KEY",
}
PLACED = {
    "REDIS_URL",
    "MIXTRAL_GATEWAY_URL",
    "MIXTRAL_GATEWAY_INTERNAL_URL",
    "MIXTRAL_GATEWAY_BIND",
    "MIXTRAL_GATEWAY_FOLDER",
}
"""What is elsewhere on this machine: the line says where."""


PUBLIC = "http://models.example.com:8000"
"""The address that people see: no process here gets there."""


class ComposedLine(Line):
    """The line, with the commands and the environment that the compose file gives its services."""

    def __init__(self, folder):
        super().__init__(folder)
        self.gateway_folder = Path(tempfile.mkdtemp(prefix="gw-"))  # short: sockets live in it
        self.env |= {
            "MIXTRAL_CLOUDS": "aws,gcp,local",  # as .env may say, for a box that has GPUs
            "MIXTRAL_GATEWAY_FOLDER": str(self.gateway_folder),
            "MIXTRAL_GATEWAY_INTERNAL_URL": self.gateway,
            "MIXTRAL_GATEWAY_URL": PUBLIC,
            "MIXTRAL_ALLOW_CIDRS": "127.0.0.0/8",  # without it the public address is looked up
        }

    def _start(self):
        self.children.start(composed_valkey(self.redis_port, self.folder))
        self.wait(self._valkey_answers, 10, "Valkey")
        self.children.start(self.slack())
        self.wait(self.slack_answers, 20, "Slack")
        self.children.start(composed_haproxy(self.gateway_folder, self.folder / "haproxy.log"))
        for name in ("bot", "worker", "gateway"):
            asked = composed_environment(name)
            assert set(asked) <= PLACED | ADDED
            plain = {k: v for k, v in asked.items() if k not in PLACED and "$" not in v}
            argv = (sys.executable, "-m", "bot.cli", *SERVICES[name]["command"])
            self.children.start(Child(name=name, argv=argv, env=self.env | plain, log=self.folder / f"{name}.log"))
        self.wait(self.connected, 30, "the bot")
        self.wait(self.gateway_answers, 20, "the gateway")

    def close(self):
        super().close()
        shutil.rmtree(self.gateway_folder, ignore_errors=True)


def test_what_the_compose_file_starts_launches_a_model_that_answers_through_haproxy(tmp_path):
    with ComposedLine(tmp_path) as line, Person(line.page) as robin:
        assert line.redis().config_get("append*")["appendfsync"] == "always"
        assert line.redis().info("persistence")["aof_enabled"]
        robin.command(GENERAL, "/mixtral launch scripted")
        card = robin.wait_for_message(GENERAL, lambda m: "/v1/chat/completions" in words(m), timeout=30)
        assert PUBLIC in words(card)
        line.wait(lambda: answered(line, "scripted"), 30, "the test completion, through the address inside")
        robin.command(GENERAL, "/mixtral ask Name three condiments.")
        # By these words: the card's curl has the question, too, and the card the test completion.
        asked = robin.wait_for_message(GENERAL, "asks *scripted*")["ts"]
        robin.wait_for_message(GENERAL, lambda m: "comes from a script" in words(m), thread_ts=asked, timeout=30)
        robin.end(GENERAL, "scripted")
        robin.wait_for(lambda _: not line.machines(), 30)


def answered(line, name):
    log = Log(line.redis())
    return any(isinstance(event, TestCompletionAnswered) for event in log.read(log.names()[name]))


def test_local_is_off_in_compose_unless_asked_for():
    assert composed_environment("worker")["MIXTRAL_CLOUDS"] == "${MIXTRAL_CLOUDS:-aws,gcp}"


def test_the_gateway_and_haproxy_share_a_folder_and_a_user_and_haproxy_alone_is_public():
    gateway, haproxy = SERVICES["gateway"], SERVICES["haproxy"]
    assert f"gateway:{GATEWAY_FOLDER}" in gateway["volumes"]
    assert haproxy["volumes"] == [f"gateway:{GATEWAY_FOLDER}"]
    assert composed_environment("gateway")["MIXTRAL_GATEWAY_FOLDER"] == GATEWAY_FOLDER
    assert composed_environment("gateway")["MIXTRAL_HAPROXY"] == "attached"
    uid = haproxy["user"].partition(":")[0]
    assert f"--uid {uid} " in (Path(__file__).parents[2] / "Dockerfile").read_text()
    assert f"uid={uid}," in COMPOSE["volumes"]["gateway"]["driver_opts"]["o"]
    public = composed_environment("gateway")["MIXTRAL_GATEWAY_BIND"].rpartition(":")[2]
    assert haproxy["ports"][0].endswith(f":{public}")
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["haproxy"]


def test_the_bot_reads_the_policy_that_this_host_names():
    inside = composed_environment("bot")["MIXTRAL_POLICY"].removeprefix("${MIXTRAL_POLICY:+").removesuffix("}")
    assert f"${{MIXTRAL_POLICY:-/dev/null}}:{inside}:ro" in SERVICES["bot"]["volumes"]
    assert set(SERVICES["worker"]["volumes"]) <= set(SERVICES["bot"]["volumes"])


def test_the_bot_and_the_worker_reach_the_gateway_inside():
    for name in ("bot", "worker"):
        assert composed_environment(name)["MIXTRAL_GATEWAY_URL"] == "${MIXTRAL_GATEWAY_URL:-http://localhost:8000}"
        inside = composed_environment(name)["MIXTRAL_GATEWAY_INTERNAL_URL"]
        assert inside == "${MIXTRAL_GATEWAY_INTERNAL_URL:-http://haproxy:8000}"


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="`docker-compose` is not on this machine")
def test_docker_compose_accepts_the_file():
    subprocess.run(["docker-compose", "config", "--quiet"], cwd=Path(__file__).parents[2], check=True)
