"""The commands and environments of docker-compose.yml's services, adapted to run without Docker."""

import shlex
from pathlib import Path

import yaml

from workers.gateway.haproxy import binary
from workers.processes import Child
from workers.sandbox.valkey import valkey

COMPOSE = yaml.safe_load((Path(__file__).parents[1] / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
GATEWAY_FOLDER = "/gateway"


def composed_valkey(port, folder):
    """The command of the compose file's Valkey: its own options, then those for this folder and port."""
    native = valkey(port, folder / "valkey", folder / "valkey.log")
    options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder / "valkey"))
    argv = (native.argv[0], *SERVICES["valkey"]["command"][1:], *options)
    return Child(name="valkey", argv=argv, env=native.env, log=native.log)


def composed_haproxy(folder, log):
    """HAProxy's command in the compose file, with another folder."""
    shell, flag, script = SERVICES["haproxy"]["command"]
    script = script.replace(f"{GATEWAY_FOLDER}/", f"{folder}/").replace(
        "exec haproxy ", f"exec {shlex.quote(str(binary()))} "
    )
    return Child(name="haproxy", argv=(shell, flag, script), env={"PATH": "/usr/bin:/bin"}, log=log)


def composed_environment(service):
    """The environment that the compose file sets for a service; `${NAME:-default}` is not expanded."""
    return dict(SERVICES[service]["environment"])
