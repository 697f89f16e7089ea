"""`mixtral-bot demo`: runs stand-ins for Slack, AWS and GCP, the bot, a worker, the gateway and Valkey until Ctrl-C."""

import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN
from workers.clouds.local.driver import LocalDriver
from workers.machines import Presence
from workers.processes import Child, Children
from workers.sandbox import shortages
from workers.sandbox.valkey import free_port, valkey
from workers.settings import installation_of

NOTICE = (
    "This is a sandbox on your own machine: Slack, AWS and GCP are stand-ins, and nothing is billed. "
    "SmolLM2-135M, a real but tiny model, answers in place of Mixtral: expect wrong answers."
)
NOT_PASSED_ON = ("SLACK_", "MIXTRAL_", "REDIS_", "AWS_", "GOOGLE_", "CLOUDSDK_")
"""Prefixes of variables that could make the sandbox reach real services."""

GATEWAY_PORT = 8000
"""The gateway's port, if it is free."""

START_WITHIN = 60.0
"""Maximum time for one part of the sandbox to start, in seconds."""

CLI = (sys.executable, "-m", "bot.cli")

LEASE = "2m"
"""Time after which the engines end themselves if this program is killed."""


def run(port: int, environ: Mapping[str, str]) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP, then end all processes and remove all files; return the exit status."""
    out = Console(highlight=False)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="mixtral-demo-") as folder:
        home = Path(folder)
        env, page = _environment(home, port, environ)
        children = Children()
        try:
            with out.status("Starting …") as status:
                for name, child, url in _children(home, env, page):
                    status.update(f"Starting {name} …")
                    children.start(child)
                    _wait_for(child, url, stop)
                status.update("Waiting for the bot to connect …")
                _wait_until_connected(page, children, stop)
            _set_shortages(env)
            _welcome(out, page, home)
            while not stop.is_set():
                children.restart_the_dead()
                time.sleep(0.2)
        except StartFailed as failed:
            if not stop.is_set():
                out.print(f"[bold red]mixtral-bot demo:[/] {failed}")
                return 1
        finally:
            out.print("Ending the sandbox …")
            children.stop()
            _end_machines(home)
    return 0


class StartFailed(Exception):
    """A part of the sandbox did not start; the message names it and contains the end of its log."""


def _environment(home: Path, port: int, environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    chosen = port if _is_free(port) else free_port()
    page = f"http://127.0.0.1:{chosen}"
    gateway = GATEWAY_PORT if _is_free(GATEWAY_PORT) else free_port()
    passed_on = {k: v for k, v in environ.items() if not k.startswith(NOT_PASSED_ON)}
    return passed_on | {
        "SLACK_API_URL": f"{page}/api/",
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "REDIS_URL": f"redis://:{secrets.token_hex(16)}@127.0.0.1:{free_port()}/0",
        "MIXTRAL_HOME": str(home),
        "MIXTRAL_CLOUDS": "aws,gcp,local",
        "MIXTRAL_GATEWAY_BIND": f"127.0.0.1:{gateway}",
        "MIXTRAL_GATEWAY_URL": f"http://127.0.0.1:{gateway}",
        "MIXTRAL_ALLOW_CIDRS": "127.0.0.0/8",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "GOOGLE_CLOUD_PROJECT": "sandbox",
        "MIXTRAL_GCE_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "MIXTRAL_RECIPES": environ.get("MIXTRAL_RECIPES", ""),
        "MIXTRAL_LEASE": LEASE,
        "MIXTRAL_PRICES_EVERY": "off",  # the stand-ins' prices are those of the package
        "HF_HUB_OFFLINE": "1",  # the stand-ins serve a small model from the disk, whatever a recipe names
        "PYTHONUNBUFFERED": "1",
    }, page


def _children(home: Path, env: Mapping[str, str], page: str) -> list[tuple[str, Child, str]]:
    """The parts in the order of their start, each with the address at which it answers if others depend on it."""
    port = page.rsplit(":", 1)[1]
    redis = urlsplit(env["REDIS_URL"])
    server = (sys.executable, "-m", "bot.sandbox.server", "--port", port, "--notice", NOTICE)
    aws, gcp = env["AWS_ENDPOINT_URL"], env["MIXTRAL_GCE_ENDPOINT"]
    data = valkey(redis.port or 0, home / "valkey", home / "valkey.log", redis.password or "")
    return [
        ("Valkey", data, env["REDIS_URL"]),
        ("the Slack stand-in", _child("slack", server, home, env), f"{page}/page/state"),
        ("the AWS stand-in", _cloud("ec2", aws, home, env), f"{aws}/sandbox/calls"),
        ("the GCP stand-in", _cloud("gce", gcp, home, env), f"{gcp}/sandbox/calls"),
        ("the bot", _child("bot", (*CLI, "run"), home, env), ""),
        ("the worker", _child("worker", (*CLI, "worker"), home, env), ""),
        ("the gateway", _child("gateway", (*CLI, "gateway"), home, env), f"{env['MIXTRAL_GATEWAY_URL']}/health"),
    ]


def _child(name: str, argv: tuple[str, ...], home: Path, env: Mapping[str, str]) -> Child:
    return Child(name=name, argv=argv, env=env, log=home / f"{name}.log")


def _cloud(name: str, url: str, home: Path, env: Mapping[str, str]) -> Child:
    folder = home / name
    folder.mkdir(mode=0o700)
    port = str(urlsplit(url).port)
    argv = (sys.executable, "-m", f"workers.sandbox.{name}.server", "--port", port, "--folder", str(folder))
    return _child(name, argv, home, env)


def _set_shortages(env: Mapping[str, str]) -> None:
    """Make the clouds refuse the cheapest offers."""
    for url, faults in (
        (env["AWS_ENDPOINT_URL"], shortages.EC2),
        (env["MIXTRAL_GCE_ENDPOINT"], shortages.GCE),
    ):
        for fault in faults:
            httpx.post(f"{url}/sandbox/faults", json=fault, timeout=10).raise_for_status()


def _answers(url: str) -> bool:
    from redis import Redis  # noqa: PLC0415 - a slow import, which runs while Valkey starts
    from redis.exceptions import RedisError  # noqa: PLC0415 - see above

    try:
        return bool(Redis.from_url(url).ping()) if url.startswith("redis:") else httpx.get(url, timeout=2).is_success
    except (RedisError, httpx.HTTPError):
        return False


def _wait_for(child: Child, url: str, stop: threading.Event) -> None:
    """Return when the child answers at its address, if it has one. Raises StartFailed."""
    deadline = time.monotonic() + START_WITHIN
    while url and not _answers(url):
        if stop.is_set() or time.monotonic() > deadline:
            raise StartFailed(f"{child.name} did not start.\n{_tail(child.log)}")
        time.sleep(0.05)


def _wait_until_connected(page: str, children: Children, stop: threading.Event) -> None:
    deadline = time.monotonic() + START_WITHIN
    while not httpx.get(f"{page}/page/state", timeout=5).json()["socket"]["connected"]:
        children.restart_the_dead()
        if stop.is_set() or time.monotonic() > deadline:
            raise StartFailed("the bot did not connect to the Slack stand-in.")
        time.sleep(0.1)


def _welcome(out: Console, page: str, home: Path) -> None:
    out.print()
    out.print(f"  [bold]The sandbox is up:[/]  [link={page}]{page}[/link]")
    out.print()
    out.print("  In the page, type  [bold]/mixtral launch[/],")
    out.print("  then  [bold]/mixtral ask Name three condiments.[/]")
    out.print(f"  Logs: {home}/*.log   End: Ctrl-C")
    out.print()


def _end_machines(home: Path) -> None:
    driver = LocalDriver(home)
    for sighting in driver.owned(installation_of(home, {})):
        if sighting.presence is Presence.RUNNING:
            driver.terminate(sighting.machine.token)


def _is_free(port: int) -> bool:
    import socket  # noqa: PLC0415 - used only here

    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return s.connect_ex(("127.0.0.1", port)) != 0


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return os.linesep.join(lines[-10:])
