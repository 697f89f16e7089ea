"""A disk that is full: a sentence with the mend where people are, no machine lost, and no hand needed afterwards."""

import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO

import pytest
from msgspec.structs import replace

from bot.cli import transfer_command
from tests.builders.machines import SECRETS, request
from tests.builders.offers import HERE
from tests.contract.test_control_loop import Loop
from tests.contract.test_drivers import comes, running
from tests.fakes import disk as disks
from tests.patience import PATIENCE
from workers.clouds.driver import DriverError, Refused
from workers.clouds.local.driver import LocalDriver
from workers.clouds.local.expiry import Expiry
from workers.clouds.local.machine import MustEnd, run
from workers.clouds.local.machine_folder import MachineFolder
from workers.deployment.events import MachineGone
from workers.machines import Presence
from workers.placement.catalog import COLUMNS, PricesError
from workers.placement.offer import CloudStatus
from workers.placement.prices import write
from workers.serving.steps import BootStep
from workers.settings import SettingsError, host_of, kept

FULL = "No space left on device|File too large"


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request, tmp_path, monkeypatch):
    if request.param == "limit":
        monkeypatch.setattr("subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    with disks.disk(tmp_path / "disk") as it:
        monkeypatch.undo()
        yield it


def test_a_local_machine_is_listed_and_ended_and_its_lease_is_extended_as_soon_as_there_is_room(disk):
    driver = LocalDriver(disk.folder)
    asked = request("t-1", driver.offers()[:1])
    driver.create(asked, SECRETS)
    comes(lambda: running(driver))
    later = asked.expires_at + timedelta(hours=9)
    with disk.full():
        status = driver.status()
        assert (status.usable, status.lists) == (False, True)
        assert "Free disk space" in (status.mend or "")
        assert len(running(driver)) == 1
        with pytest.raises(DriverError, match=f"({FULL}).*lease of the machine is not extended.*Free disk space"):
            driver.extend(asked.token, later)
        with pytest.raises(Refused, match=f"({FULL}).*Free disk space"):
            driver.create(request("t-2", driver.offers()[:1]), SECRETS)
        assert len(running(driver)) == 1
        assert MachineFolder(driver.machines / "t-1").expires_at() in (None, asked.expires_at)
    driver.extend(asked.token, later)
    assert MachineFolder(driver.machines / "t-1").expires_at() == later
    with disk.full():
        driver.terminate(asked.token)
        assert running(driver) == []
    [ended] = [s for s in driver.owned(asked.installation) if s.machine.token == "t-1"]
    assert ended.presence is Presence.ENDED


def test_a_step_of_a_machine_runs_without_its_report_and_a_script_that_cannot_be_written_ends_it(disk):
    folder, expiry = MachineFolder(disk.folder / "t-1"), Expiry(request("t-1", [HERE]).expires_at)
    folder.path.mkdir()
    step = BootStep(name="run", argv=("true",))
    with disk.full(), pytest.raises(MustEnd, match="exited with status 0"):
        run(step, folder, expiry, (), last=True)
    written = replace(step, argv=("bash", str(folder.path / "run.sh")), script="true\n" * 999)
    with disk.full(), pytest.raises(MustEnd, match=FULL):
        run(written, folder, expiry, (), last=True)


def test_the_files_of_an_installation_are_written_whole_or_not_at_all(disk):
    with disk.full():
        for write_one in (lambda: kept(disk.folder, "installation", "i-1"), lambda: host_of(disk.folder)):
            with pytest.raises(SettingsError, match=f"cannot be written .({FULL}).*Free disk space"):
                write_one()
    assert [path.name for path in disk.folder.iterdir()] == []
    assert kept(disk.folder, "installation", "i-1") == "i-1"
    assert host_of(disk.folder) == host_of(disk.folder)


def test_an_export_that_does_not_fit_leaves_no_part_of_it(disk, redis, tmp_path):
    redis.set("mixtral:installation", "i-1")
    file, err = disk.folder / "export", StringIO()
    with disk.full():
        assert transfer_command._export(redis, file, StringIO(), err, with_keys=True) == 1
    assert "cannot be written" in err.getvalue()
    assert not file.exists()
    assert transfer_command._export(redis, file, StringIO(), err, with_keys=True) == 0


def test_prices_that_do_not_fit_leave_the_earlier_ones(disk):
    text = ",".join(COLUMNS) + "\n"
    file = disk.folder / "prices.csv"
    with disk.full(), pytest.raises(PricesError, match="Free disk space"):
        write(file, text)
    assert [path.name for path in disk.folder.iterdir()] == []


@pytest.fixture
def loop(redis, monkeypatch):
    return Loop(redis, monkeypatch)


def test_a_machine_that_ends_while_its_disk_is_full_is_noticed(loop, monkeypatch):
    id_ = loop.launch()
    loop.settle()
    full = CloudStatus(cloud="fake", usable=False, reason="local: full", mend="Free disk space.", lists=True)
    monkeypatch.setattr(loop.cloud, "status", lambda: full)
    loop.cloud.end(loop.state(id_).attempts[0].request.token)
    loop.settle(6)
    assert [type(event) for event in loop.log.read(id_)].count(MachineGone) == 1


def test_a_worker_starts_on_a_full_disk_with_a_sentence_and_not_with_a_traceback(disk, valkey_url, redis):
    environ = {"PATH": os.environ["PATH"], "MIXTRAL_HOME": str(disk.folder), "REDIS_URL": valkey_url}
    with disk.full():
        ended = subprocess.run(
            [sys.executable, "-m", "bot.cli", "worker"],
            env=environ | {"MIXTRAL_CLOUDS": "local", "TMPDIR": str(disk.folder)},
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )
    assert ended.returncode == 2, ended.stderr
    assert "Free disk space" in ended.stderr
    assert "Traceback" not in ended.stderr
