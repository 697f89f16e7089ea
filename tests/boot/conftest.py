"""The guests' disks, built once per recipe, the registry that they pull from, and the machines."""

import hashlib
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.boot.metadata import PORT as METADATA_PORT
from tests.boot.registry import PORT as REGISTRY_PORT
from tests.boot.registry import Registry
from tests.boot.rented import rented

RECIPE = Path(__file__).with_name("rootfs.sh")
CACHE = Path(os.environ.get("MIXTRAL_BOOT_CACHE") or Path(__file__).parents[2] / ".cache" / "boot")
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "docker-registry": "docker-registry",
}
"""What the layer runs, and the Debian package of each."""
PORTS = (METADATA_PORT, REGISTRY_PORT)
STORIES = {}


def missing():
    """Why guests cannot be booted here; empty if they can."""
    if os.geteuid() != 0:
        return "needs root: it builds disks with mmdebstrap, and serves port 80 of loopback"
    if absent := [package for program, package in PROGRAMS.items() if not shutil.which(program)]:
        return f"needs Debian's packages {' '.join(absent)}"
    if used := [port for port in PORTS if _is_used(port)]:
        return f"needs port {' and port '.join(map(str, used))} of loopback, which another program has"
    return ""


def _is_used(port):
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def disks():
    if why := missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    folder = CACHE / hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:16]
    if not (folder / "complete").exists():
        began = time.monotonic()
        shutil.rmtree(CACHE, ignore_errors=True)  # disks of earlier recipes
        folder.mkdir(parents=True)
        with (folder / "build.log").open("wb") as log:
            subprocess.run(["bash", str(RECIPE), str(folder)], stdout=log, stderr=log, check=True)
        (folder / "complete").touch()
        STORIES["disks"] = [f"{time.monotonic() - began:5.0f} s  built"]
    return folder


@pytest.fixture(scope="session")
def registry(disks, tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry"))
    registry.start()
    try:
        registry.push(disks / "engine.tar")
        yield registry
    finally:
        registry.stop()


@pytest.fixture(scope="session")
def renting(disks, registry, tmp_path_factory):
    """A context in which one machine is rented: `renting("aws", "docker.img")`."""

    @contextmanager
    def one(cloud, disk, title, **guest):
        folder = tmp_path_factory.mktemp("guest")
        with rented(cloud, disks, folder, disk=disk, **guest) as (machine, metadata):
            try:
                yield machine, metadata
            finally:
                STORIES[title] = machine.story
                if kept := os.environ.get("MIXTRAL_BOOT_CONSOLES"):
                    Path(kept).mkdir(parents=True, exist_ok=True)
                    (Path(kept) / f"{title}.log").write_text(machine.guests.console(""))

    return one


def pytest_terminal_summary(terminalreporter):
    """What happened on each guest: seconds from its request, seconds of the processor, and what."""
    for title, lines in STORIES.items():
        terminalreporter.write_line(f"\n{title}")
        for line in lines:
            terminalreporter.write_line(f"  {line}")
