"""Installs vLLM once into its own virtual environment: `python -m … HOME MACHINE`."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from workers.clouds.local.host import handed_on
from workers.clouds.local.machine_folder import MachineFolder, take
from workers.clouds.local.machine_processes import MARK
from workers.processes import die_with_parent
from workers.serving.errors import ServingError
from workers.serving.vllm_release import CPU, GPU, Count, Release, packages

WHOLE = "whole"
"""The file that is written last. An environment without it is incomplete, and is installed again."""
RELEASES = {release.name: release for release in (CPU, GPU)}


def main() -> None:
    home, machine = Path(sys.argv[1]), MachineFolder(Path(sys.argv[2]))
    try:
        install(RELEASES[home.name], home, machine)
    except ServingError as error:
        sys.exit(f"vllm: {error}")


def install(release: Release, home: Path, machine: MachineFolder) -> None:
    """Install the release in `home`, unless it is complete; one process at a time. Raises ServingError."""
    if (home / WHOLE).exists():
        return
    while (lock := take(home.with_name(f"{home.name}.lock"))) is None:
        _report(machine, release, "waiting for another replica that installs it")
        time.sleep(0.2)
    if (home / WHOLE).exists():
        return
    _check_room(release, home.parent)
    shutil.rmtree(home, ignore_errors=True)
    _report(machine, release, "creating a virtual environment")
    _run((sys.executable, "-m", "venv", str(home)), release, machine, lock, Count(total=None))
    for number, what in enumerate(release.installs, start=1):
        file = next((Path(word) for word in what if word.endswith(".txt")), None)
        _report(machine, release, f"part {number} of {len(release.installs)}")
        pip = (str(home / "bin" / "pip"), "install", "--no-input", "--no-compile", "--progress-bar", "off")
        count = Count(total=packages(file.read_text()) if file else None)
        _run((*pip, "--only-binary", ":all:", *what), release, machine, lock, count)
    if release.alias:
        alias(home, release.alias)
    (home / WHOLE).touch()


def alias(home: Path, version: str) -> None:
    """Register the package `vllm` in the environment, as an installed package without files."""
    (packages_,) = (home / "lib").glob("python*/site-packages")
    about = packages_ / f"vllm-{version}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    (about / "INSTALLER").write_text("mixtral-bot\n")
    (about / "RECORD").touch()


def _check_room(release: Release, folder: Path) -> None:
    free = shutil.disk_usage(folder).free / 2**30
    if free < release.needs_gib:
        earlier = sorted(one.name for one in folder.glob("vllm-*") if one.is_dir() and one.name not in RELEASES)
        mend = f" Remove folders of earlier releases that no replica uses: {', '.join(earlier)}." if earlier else ""
        raise ServingError(
            f"vLLM {release.version} needs {release.needs_gib} GiB under {folder}, and {free:.1f} GiB are free. "
            f"Free disk space, or set MIXTRAL_HOME to a folder on a larger disk.{mend}"
        )


def _run(argv: tuple[str, ...], release: Release, machine: MachineFolder, lock: int, count: Count) -> None:
    """Run a command; copy its output to the log and its count to the progress. Raises ServingError."""
    installer = os.getpid()
    with subprocess.Popen(  # noqa: S603 - venv and pip with constant arguments
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=handed_on(os.environ) | {MARK: str(machine.path)},  # without secrets and PYTHONPATH
        pass_fds=(lock,),  # the lock is held until the command has ended
        preexec_fn=lambda: die_with_parent(installer),  # noqa: PLW1509 - this process has one thread
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            before, count = str(count), count.after(line)
            if str(count) != before:
                _report(machine, release, str(count))
    if process.returncode:
        raise ServingError(
            f"vLLM {release.version} could not be installed: `{argv[0]} {argv[1]}` exited with status "
            f"{process.returncode}, for the reason above. Launch again to repeat the installation."
        )


def _report(machine: MachineFolder, release: Release, what: str) -> None:
    machine.report(f"installing vLLM {release.version}: {what}")


if __name__ == "__main__":
    main()
