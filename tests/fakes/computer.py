"""A machine whose programs note their calls: docker, apt-get, nvidia-smi, systemctl and others are stand-ins."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.builders.machines import SECRETS, request
from tests.builders.offers import offer
from tests.patience import PATIENCE
from workers.machines import Boot, Token
from workers.serving.bootstrap import user_data
from workers.serving.console import Said, mark_of, read, unmarked

KEY = SECRETS["VLLM_API_KEY"]
# Notes its arguments and its environment; fails as many times as the file fail-<program>-<first argument> contains.
NOTING = """#!{python} -IS
import json, os, sys, time
from pathlib import Path
folder, name, words = Path({folder!r}), Path(sys.argv[0]).name, sys.argv[1:]
first = (words or [""])[0]

def given(file):
    return (folder / file).read_text() if (folder / file).exists() else ""

def reported(text, times=1):
    for _ in range(200):
        if given("state/boot.log").count(text) >= times:
            break
        time.sleep(0.05)

with (folder / "calls").open("a") as calls:
    print(json.dumps([name, words, dict(os.environ)]), file=calls)
if int(given(f"fail-{{name}}-{{first}}") or 0) > 0:
    (folder / f"fail-{{name}}-{{first}}").write_text(str(int(given(f"fail-{{name}}-{{first}}")) - 1))
    print(given(f"said-{{name}}-{{first}}"), file=sys.stderr)
    sys.exit(1)
match name, first:
    case "nvidia-smi", "--list-gpus":
        for n in range(int(given("gpus"))):
            print(f"GPU {{n}}: NVIDIA A100 (UUID: GPU-{{n}})")
        print(given("lost"))
    case "nvidia-smi", "--query-gpu=driver_version":
        print(given("driver"))
    case "nvidia-ctk", _:
        (folder / "nvidia").touch()
    case "docker", "info":
        print('{{"runc": {{}}, "nvidia": {{}}}}' if (folder / "nvidia").exists() else '{{"runc": {{}}}}')
    case "docker", "login":
        (folder / "password").write_text(sys.stdin.read())
    case "docker", "image":
        sys.exit(0 if (folder / "pulled").exists() else 1)
    case "docker", "manifest":
        print(given("manifest"))
    case "docker", "pull":
        (folder / "pulled").touch()
        for number in given("receives").split():
            (folder / "root/sys/class/net/eth0/statistics/rx_bytes").write_text(number)
            reported(f"progress pulling {{int(number) - 1000}} ")
    case "docker", "run":
        for number in given("downloads").split():
            before = given("state/boot.log").count("progress loading")
            (folder / "state/cache/huggingface/blob").write_bytes(b"." * int(number))
            reported("progress loading", before + 1)
    case "apt-get", _ if "install" in words:
        programs = {{"docker.io": "docker", "nvidia-container-toolkit=1.17.8-1": "nvidia-ctk", "mdadm": "mdadm"}}
        for program in filter(None, map(programs.get, words)):
            (folder / "bin" / program).symlink_to(folder / "noting")
    case "dpkg-query", _:
        print("1.17.8-1", end="")
    case "mount", _:
        with (folder / "mounts").open("a") as mounts:
            print(words[-1], file=mounts)
    case "mountpoint", _:
        sys.exit(0 if words[-1] in given("mounts").splitlines() else 1)
    case "blkid", _:
        print(given("labelled"))
        sys.exit(0 if given("labelled") else 2)
    case "systemctl", "enable":
        with (folder / "enabled").open("a") as enabled:
            print(*(word for word in words[1:] if not word.startswith("-")), sep="\\n", file=enabled)
    case "systemctl", "is-active":
        sys.exit(0 if words[-1] in given("active").splitlines() else 3)
"""
PROGRAMS = (
    *("docker", "nvidia-smi", "nvidia-ctk", "shutdown", "systemctl", "setsid", "curl", "wget", "apt-get", "dpkg"),
    *("apt-cache", "dpkg-query", "mount", "mountpoint", "mkfs.ext4", "mdadm", "blkid"),
)


class Computer:
    """A machine that can be booted, and what it did. It has AWS's image: driver, Docker and toolkit; no systemd."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.programs = folder / "bin"
        self.programs.mkdir()
        program = folder / "noting"
        program.write_text(NOTING.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        for name in PROGRAMS:
            (self.programs / name).symlink_to(program)
        (folder / "nvidia").touch()
        (folder / "home").mkdir()
        (self.root / "sys/class/net/eth0/statistics").mkdir(parents=True)
        self.has(driver="580.126.09", gpus="8")
        self.path = f"{self.programs}:{os.environ['PATH']}"
        self.console = ""
        self._running: list[subprocess.Popen[bytes]] = []

    def has(self, **texts: str) -> None:
        """Texts that its programs print."""
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def fail(self, program: str, argument: str, times: int, saying: str = "") -> None:
        """The program's next calls with this first argument fail."""
        self.has(**{f"fail-{program}-{argument}": str(times), f"said-{program}-{argument}": saying})

    def lack(self, *programs: str) -> None:
        """Remove programs, those of the test's own computer too."""
        tools = self.folder / "tools"
        tools.mkdir()
        for place in map(Path, os.environ["PATH"].split(":")):
            for program in place.iterdir() if place.is_dir() else ():
                if program.name not in programs and not (tools / program.name).exists():
                    (tools / program.name).symlink_to(program)
        for name in programs:
            (self.programs / name).unlink(missing_ok=True)
        self.path = f"{self.programs}:{tools}"

    def put(self, program: str, text: str) -> None:
        """Add or replace a program."""
        (self.programs / program).unlink(missing_ok=True)
        (self.programs / program).write_text(text)
        (self.programs / program).chmod(0o755)

    def with_systemd(self) -> None:
        for name in ("run", "etc"):
            (self.root / name / "systemd/system").mkdir(parents=True)

    def boot(
        self,
        asked: Boot,
        *counts: int,
        cloud: str = "aws",
        lasting: float = 600,
        settings: Mapping[str, str] | None = None,
        **secrets: str,
    ) -> str:
        """Run the user data as at a machine's first boot; returns what it wrote, without its mark."""
        offers = [offer(f"{cloud} here-1", gpu=f"A100:{n}" if n else "") for n in counts or (8,)]
        (self.folder / "user-data").write_text(user_data(request("t-1", offers, boot=asked), SECRETS | secrets))
        self._settings = {"MIXTRAL_LASTING_SECONDS": str(lasting), **(settings or {})}
        return self._run("bash", str(self.folder / "user-data"))

    def start_units(self) -> str:
        """Start the enabled units in their order, as systemd does at every boot; returns what the last one wrote."""
        (self.folder / "active").write_text("")
        names = (self.folder / "enabled").read_text().split() if (self.folder / "enabled").exists() else []
        texts = {name: (self.root / "etc/systemd/system" / name).read_text() for name in dict.fromkeys(names)}
        before = {
            name: {other for other in texts if name in _list(texts[other], "Before") or other in _list(text, "After")}
            for name, text in texts.items()
        }
        ordered = sorted(texts, key=lambda name: len(before[name]))
        return "".join(self._start(name, texts[name]) for name in ordered)

    def serve(self) -> str:
        """Run the copy that the unit runs; returns what it wrote."""
        return self._run("bash", str(self.folder / "state/boot"), "serve")

    def end(self) -> None:
        """End what runs in the background."""
        for process in self._running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running = []

    def told(self) -> Said:
        """What the console parser reads from its output."""
        return read(self.console, mark_of(Token("t-1"), KEY))

    def calls(self, program: str) -> list[tuple[list[str], dict[str, str]]]:
        """Each call's arguments and environment."""
        return [(argv, environment) for name, argv, environment in self.noted() if name == program]

    def words(self, program: str) -> list[str]:
        """Each call's arguments, quoted for a shell."""
        return [shlex.join(argv) for argv, _ in self.calls(program)]

    def noted(self) -> list[tuple[str, list[str], dict[str, str]]]:
        """All calls so far: program, arguments and environment."""
        noted = self.folder / "calls"
        whole, _, _ = noted.read_text().rpartition("\n") if noted.exists() else ("", "", "")  # one may be being written
        return [tuple(json.loads(line)) for line in whole.splitlines()]

    def _start(self, name: str, text: str) -> str:
        command = _list(text, "ExecStart")
        given = dict(pair.split("=", 1) for pair in _list(text, "Environment"))
        said = ""
        if "always" in _list(text, "Restart"):
            before = len(self.calls("shutdown"))
            environment = self._environment() | given
            self._running.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
            )
            deadline = time.monotonic() + 10 * PATIENCE
            while len(self.calls("shutdown")) == before:
                assert time.monotonic() < deadline, f"{name} arms nothing"
                time.sleep(0.02)
        else:
            said = self._run(*command, **given)
        with (self.folder / "active").open("a") as active:
            active.write(f"{name}\n{name.removesuffix('.service')}\n")
        return said

    def _run(self, *command: str, **given: str) -> str:
        done = subprocess.run(
            command, env=self._environment() | given, capture_output=True, text=True, timeout=60 * PATIENCE, check=False
        )
        assert done.stderr == ""
        self.console = done.stdout
        return unmarked(done.stdout)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": self.path,
            "HOME": str(self.folder / "home"),
            "MIXTRAL_FOLDER": str(self.folder / "state"),
            "MIXTRAL_ROOT": str(self.root),
            "MIXTRAL_METADATA_URL": "http://127.0.0.1:9",
            "MIXTRAL_PATIENCE_SECONDS": "5",
            "MIXTRAL_PAUSE_SECONDS": "0",
            "MIXTRAL_LINGER_SECONDS": "0",
            **self._settings,
        }


def _list(unit: str, key: str) -> list[str]:
    """The words of a unit's setting."""
    return " ".join(re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)).split()
