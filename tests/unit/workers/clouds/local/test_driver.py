"""What is particular to machines that are processes here: crashes at any line, signals, ports, files."""

import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests import loopback
from tests.builders.machines import INSTALLATION, SECRETS, boot, request
from tests.patience import PATIENCE
from workers.clouds.driver import DriverError, Refused
from workers.clouds.local import machine, machine_processes
from workers.clouds.local.driver import LocalDriver
from workers.clouds.local.machine_folder import MachineFolder, take
from workers.machines import Presence, Token
from workers.placement.refusals import Scope
from workers.sandbox.valkey import free_port

TOKEN = Token("d-1-2")
KEY = SECRETS["VLLM_API_KEY"]


@pytest.fixture
def driver(tmp_path):
    driver = LocalDriver(tmp_path)
    yield driver
    for folder in driver.machines.glob("[!.]*"):
        driver.terminate(Token(folder.name))
        assert processes(driver, folder.name) == ()


def asked(driver, **changes):
    return request(TOKEN, driver.offers()[:1], **changes)


def processes(driver, token=TOKEN):
    return machine_processes.of_machine(driver.machines / token, None)


def of_process(pid, what):
    """The process's `cmdline` or `environ`; nothing once it has ended."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def engines(driver):
    commands = [of_process(pid, "cmdline") for pid in processes(driver)]
    return [command for command in commands if b"workers.serving." in command]


def runs(command):
    """Whether a process of this machine has this command line."""
    pids = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return any(of_process(pid, "cmdline") == command for pid in pids)


def folder(driver):
    return MachineFolder(driver.machines / TOKEN)


def sighting(driver):
    (only,) = driver.owned(INSTALLATION)
    return only


def comes(holds, seconds=10):
    deadline = time.monotonic() + seconds * PATIENCE
    while not (answer := holds()):
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.02)
    return answer


def ended(driver):
    return comes(lambda: (s := sighting(driver)).presence is Presence.ENDED and s)


def forked(act):
    """Run it in a process of its own; returns that process's id."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def in_a_child(act):
    """Run it in a process of its own to that process's end, however it ends."""
    os.waitpid(forked(act), 0)


CRASHES = {
    "before the folder": (LocalDriver, "_make", "before"),
    "after the folder": (LocalDriver, "_make", "after"),
    "with the request half written": (MachineFolder, "_write_once", "in"),
    "after the request": (MachineFolder, "keep_request", "after"),
    "before the process": (LocalDriver, "_spawn", "before"),
    "after the process": (LocalDriver, "_spawn", "after"),
    "before the answer": (LocalDriver, "_start", "after"),
}


def crash(monkeypatch, where):
    owner, name, moment = CRASHES[where]
    original = getattr(owner, name)

    def crashing(self, *arguments):
        if moment == "in":
            (self.path / ".new-half").write_bytes(arguments[1][:20])
        if moment == "after":
            original(self, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(owner, name, crashing)


@pytest.mark.parametrize("where", CRASHES)
def test_whoever_asks_may_die_anywhere_and_asking_again_gives_one_machine(driver, monkeypatch, where):
    asked_for = asked(driver)
    with monkeypatch.context() as patch:
        crash(patch, where)
        in_a_child(lambda: driver.create(asked_for, SECRETS))
    found = driver.find(TOKEN)
    machine = driver.create(asked_for, SECRETS)
    assert found is None or found.token == machine.token
    comes(lambda: engines(driver))
    assert len(engines(driver)) == 1
    assert sighting(driver).presence is Presence.RUNNING


@pytest.mark.parametrize("where", CRASHES)
def test_whoever_asks_may_die_anywhere_and_what_came_of_it_can_be_ended(driver, monkeypatch, where):
    with monkeypatch.context() as patch:
        crash(patch, where)
        in_a_child(lambda: driver.create(asked(driver), SECRETS))
    driver.terminate(TOKEN)
    time.sleep(0.2)  # for a process that was only about to start
    assert processes(driver) == ()


@pytest.mark.parametrize("seed", range(12))
def test_a_machine_killed_at_any_moment_of_its_start_is_one_machine_or_none(driver, seed):
    asked_for = asked(driver)
    driver._make(driver.machines / TOKEN)
    folder(driver).keep_request(asked_for)
    in_a_child(lambda: driver._spawn(folder(driver), SECRETS))
    time.sleep(random.Random(seed).uniform(0, 0.15))
    machine_processes.kill(driver.machines / TOKEN, None)
    comes(lambda: not processes(driver))
    found = driver.find(TOKEN)
    driver.create(asked_for, SECRETS)
    if found is None:
        comes(lambda: engines(driver))
        assert len(engines(driver)) == 1
    else:
        assert ended(driver).why
        assert engines(driver) == []


def test_eight_processes_that_ask_at_once_get_one_machine(driver):
    asked_for = asked(driver)
    children = [forked(lambda: driver.create(asked_for, SECRETS)) for _ in range(8)]
    assert all(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 for pid in children)
    comes(lambda: engines(driver))
    assert len(engines(driver)) == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_create_and_a_terminate_at_once_leave_nothing_running(driver, seed):
    creator = forked(lambda: driver.create(asked(driver), SECRETS))
    time.sleep(random.Random(seed).uniform(0, 0.12))
    driver.terminate(TOKEN)
    os.waitpid(creator, 0)
    comes(lambda: not processes(driver))
    time.sleep(0.2)
    assert processes(driver) == ()


def test_an_engine_that_is_killed_is_seen_with_the_signal_s_name(driver):
    driver.create(asked(driver), SECRETS)
    comes(lambda: engines(driver))
    started = folder(driver).started()
    (engine,) = [pid for pid in processes(driver) if pid != started.pid]
    os.kill(engine, signal.SIGKILL)
    assert ended(driver).why == "engine was killed by SIGKILL"


def test_an_engine_that_dies_at_its_start_is_seen_with_its_status_and_last_words(driver):
    driver.create(asked(driver, boot=boot(args={"fail-start": "told to die"})), SECRETS)
    assert ended(driver).why == "engine exited with status 1"
    assert driver.log(TOKEN, 5) == "scripted: told to die"


def test_an_engine_does_not_outlive_its_machine_s_process(driver):
    driver.create(asked(driver), SECRETS)
    comes(lambda: engines(driver))
    os.kill(folder(driver).started().pid, signal.SIGKILL)
    comes(lambda: not processes(driver))
    assert ended(driver).why == "machine process is gone"


def test_a_machine_whose_folder_is_removed_ends_itself(driver):
    driver.create(asked(driver), SECRETS)
    comes(lambda: engines(driver))
    shutil.rmtree(driver.machines)
    comes(lambda: not processes(driver))


@pytest.fixture
def stubborn():
    """A script, and the command lines of what it starts: neither the process group nor the environment finds both."""
    number = random.SystemRandom().randrange(10**9)  # unlike those of others on this machine
    seconds = (f"300.{number:09}", f"301.{number:09}")
    script = "trap '' TERM HUP; setsid sleep {} & env -i sleep {} & while true; do sleep 1; done".format(*seconds)
    return script, [f"sleep\0{each}\0".encode() for each in seconds]


def test_what_a_script_leaves_in_the_background_is_ended_when_the_machine_s_process_is_killed(driver, stubborn):
    script, background = stubborn
    driver.create(asked(driver, boot=boot(kind="script", run=script, port=0)), SECRETS)
    comes(lambda: all(map(runs, background)))
    os.kill(folder(driver).started().pid, signal.SIGKILL)
    assert ended(driver).why == "machine process is gone"
    comes(lambda: not any(map(runs, background)))


def test_a_script_that_ignores_being_asked_is_killed_after_five_seconds(driver, stubborn):
    script, background = stubborn
    driver.create(asked(driver, boot=boot(kind="script", run=script, port=0)), SECRETS)
    comes(lambda: all(map(runs, background)))
    began = time.monotonic()
    driver.terminate(TOKEN)
    assert time.monotonic() - began > 4
    assert processes(driver) == ()


def test_a_recycled_process_id_is_left_alone(driver):
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        driver.create(asked(driver), SECRETS)
        driver.terminate(TOKEN)
        state = folder(driver).path / "machine.json"
        state.write_text(re.sub(r'"pid":\d+', f'"pid":{stranger.pid}', state.read_text()))
        driver.terminate(TOKEN)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_setup_runs_before_run_with_the_recipe_s_variables_and_secrets(driver):
    scripts = {
        "setup": 'echo "setup for $SKYPILOT_NUM_GPUS_PER_NODE GPUs"',
        "run": 'echo "$MODEL $SKYPILOT_NODE_RANK ${#VLLM_API_KEY}"; exec sleep 60',
        "envs": {"MODEL": "m"},
    }
    driver.create(asked(driver, boot=boot(kind="script", port=0, **scripts)), SECRETS)
    comes(lambda: driver.log(TOKEN, 10) == f"setup for 0 GPUs\nm 0 {len(KEY)}")
    assert sighting(driver).progress == ""


def test_a_setup_that_takes_long_is_told_as_progress_and_one_that_fails_ends_the_machine(driver, tmp_path):
    seen = tmp_path / "seen"
    slow = boot(kind="script", port=0, setup=f"while [ ! -e {seen} ]; do sleep 0.1; done; exit 3", run="echo never")
    driver.create(asked(driver, boot=slow), SECRETS)
    comes(lambda: sighting(driver).progress == "setup")
    seen.touch()
    assert ended(driver).why == "setup exited with status 3"
    assert "never" not in driver.log(TOKEN, 10)


def test_a_script_whose_port_is_taken_is_refused_with_the_mend(driver):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Refused, match=f"Port {port} is not free") as refused:
            driver.create(asked(driver, boot=boot(kind="script", run="true", port=port)), SECRETS)
    assert refused.value.scope is Scope.ZONE
    assert driver.find(TOKEN) is None


def test_a_script_s_port_is_its_own_and_free_for_the_next_one_as_soon_as_it_has_ended(driver):
    port = free_port()
    serve = f"exec {sys.executable} -m http.server --bind 127.0.0.1 {port}"
    wanted = boot(kind="script", run=serve, port=port)
    for number in (1, 3):
        first, second = f"d-1-{number}", f"d-1-{number + 1}"
        driver.create(request(first, driver.offers()[:1], boot=wanted), SECRETS)
        comes(lambda: answers(port))  # and leaves the kernel something to remember
        with pytest.raises(Refused, match=f"Port {port} is not free"):
            driver.create(request(second, driver.offers()[:1], boot=wanted), SECRETS)
        driver.terminate(first)


def answers(port):
    try:
        return loopback.get(f"http://127.0.0.1:{port}/", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_a_flag_that_is_ours_is_refused_as_the_recipe_s_mistake(driver):
    with pytest.raises(Refused, match=r"`engine\.args\.port` cannot be set") as refused:
        driver.create(asked(driver, boot=boot(args={"port": 1})), SECRETS)
    assert refused.value.scope is Scope.BUG
    assert list(driver.owned(INSTALLATION)) == []


def test_a_gpu_that_is_not_here_is_refused(driver):
    (cpu,) = driver.offers()[:1]
    gpu = type(cpu)(**{name: getattr(cpu, name) for name in cpu.__struct_fields__} | {"accelerator": "X1", "count": 2})
    with pytest.raises(Refused, match="X1:2"):
        driver.create(request(TOKEN, [gpu]), SECRETS)


def test_a_port_is_nobody_else_s_while_the_machine_lives_and_free_afterwards(driver):
    machine = driver.create(asked(driver, boot=boot(args={"start-after": 60.0})), SECRETS)
    port = int(machine.address.rpartition(":")[2])
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    driver.terminate(TOKEN)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_the_key_stands_in_no_file_and_in_no_command_line(driver):
    driver.create(asked(driver), SECRETS)
    comes(lambda: engines(driver))
    commands = b" ".join(of_process(pid, "cmdline") for pid in processes(driver))
    assert b"workers.serving." in commands
    assert KEY.encode() not in commands
    assert all(KEY not in file.read_text() for file in folder(driver).path.iterdir())


def test_a_machine_sees_nothing_of_the_bot_s_own_secrets(tmp_path):
    environ = {**os.environ, "SLACK_BOT_TOKEN": "xoxb-secret", "AWS_SECRET_ACCESS_KEY": "s", "HF_TOKEN": "hf"}
    driver = LocalDriver(tmp_path, environ)
    driver.create(asked(driver), SECRETS)
    try:
        comes(lambda: engines(driver))
        seen = b"".join(of_process(pid, "environ") for pid in processes(driver))
    finally:
        driver.terminate(TOKEN)
    assert not any(name in seen for name in (b"SLACK_BOT_TOKEN", b"AWS_SECRET", b"HF_TOKEN"))
    assert KEY.encode() in seen


def test_others_on_the_machine_may_not_look_into_its_files(driver):
    driver.create(asked(driver), SECRETS)
    comes(lambda: engines(driver))  # until then it writes files, under temporary names first
    assert stat.S_IMODE(folder(driver).path.stat().st_mode) == 0o700
    assert stat.S_IMODE(driver.machines.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in folder(driver).path.iterdir())


def test_a_home_that_cannot_be_written_is_said_with_the_mend(tmp_path):
    (tmp_path / "machines").write_text("a file in the way")
    driver = LocalDriver(tmp_path)
    status = driver.status()
    assert not status.usable
    assert "cannot be written" in status.reason
    assert "MIXTRAL_HOME" in status.mend
    with pytest.raises(Refused, match="cannot be written") as refused:
        driver.create(asked(driver), SECRETS)
    assert refused.value.scope is Scope.CLOUD


def test_a_folder_that_cannot_be_read_hides_no_other_machine(driver, caplog):
    driver.create(asked(driver), SECRETS)
    broken = driver.machines / "broken"
    broken.mkdir()
    (broken / "request.json").write_text("{")
    assert sighting(driver).machine.token == TOKEN
    assert "missing from the list" in caplog.text
    with pytest.raises(DriverError, match=r"request\.json cannot be read"):
        driver.find("broken")


def test_a_machine_that_ended_a_day_ago_is_forgotten_with_its_files(driver):
    driver.create(asked(driver), SECRETS)
    driver.terminate(TOKEN)
    assert sighting(driver).presence is Presence.ENDED
    long_ago(folder(driver).path)
    list(driver.owned(INSTALLATION))
    assert list(driver.machines.glob(f"*{TOKEN}*")) == []


def long_ago(folder):
    """Date a folder and its files two days back."""
    moment = time.time() - 2 * 24 * 3600
    for path in (*folder.iterdir(), folder):
        os.utime(path, (moment, moment))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""], ids=["half", "no text", "empty"])
def test_a_folder_that_cannot_be_read_is_told_once_and_forgotten_after_a_day(driver, caplog, content):
    driver._make(driver.machines)
    broken = driver.machines / "broken"
    for _ in range(2):
        broken.mkdir()
        (broken / "request.json").write_bytes(content)
        caplog.clear()
        for _ in range(3):
            assert list(driver.owned(INSTALLATION)) == []
        assert len(caplog.records) == 1
        assert "broken" in caplog.text
        assert broken.exists()
        long_ago(broken)
        for _ in range(2):
            assert list(driver.owned(INSTALLATION)) == []
            assert list(driver.machines.iterdir()) == []


def test_a_folder_that_cannot_be_read_is_kept_while_its_machine_runs(driver):
    broken = driver.machines / "broken"
    driver._make(broken)
    (broken / "request.json").write_text("{")
    lock = take(broken / "lock")
    long_ago(broken)
    list(driver.owned(INSTALLATION))
    assert broken.exists()
    os.close(lock)
    list(driver.owned(INSTALLATION))
    assert not broken.exists()


def test_what_was_left_of_a_folder_that_was_being_removed_is_removed(driver):
    left = driver.machines / ".pruned-x"
    driver._make(left)
    (left / "machine.log").write_text("much")
    list(driver.owned(INSTALLATION))
    assert not left.exists()


def test_a_token_cannot_lead_out_of_the_folder(driver):
    for token in ("", "../x", ".hidden", "a/b"):
        with pytest.raises(Refused):
            driver.find(token)


def test_a_request_that_has_expired_already_starts_no_engine(driver):
    driver.create(asked(driver, expires_at=datetime.now(UTC) - timedelta(seconds=1)), SECRETS)
    assert ended(driver).why.startswith("expired at")
    assert driver.log(TOKEN, 5) == ""


class Jumping(datetime):
    """The clock of a host: ahead by the hours in a file. Notes in another one that it was read."""

    hours: Path

    @classmethod
    def now(cls, tz=None):
        with cls.hours.with_name("looks").open("a") as looks:
            looks.write(".")
        return datetime.now(tz) + timedelta(hours=float(cls.hours.read_text()))


@contextmanager
def living(driver, monkeypatch, changed, **fields):
    """A machine whose process has other globals, by name."""
    driver._make(driver.machines / TOKEN)
    folder(driver).keep_request(asked(driver, **fields))

    def live():
        os.setsid()
        os.environ.update(SECRETS | {machine_processes.MARK: str(folder(driver).path)})
        signal.pthread_sigmask(signal.SIG_SETMASK, machine.SIGNALS)
        output = os.open(folder(driver).log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name, value in changed.items():
            monkeypatch.setattr(machine, name, value)
        machine.live(folder(driver), take(folder(driver).lock))

    pid = forked(live)
    try:
        yield
    finally:
        machine_processes.kill(folder(driver).path, pid)
        os.waitpid(pid, 0)


def test_a_machine_outlives_a_jump_of_the_host_s_clock_over_its_expiry(driver, tmp_path, monkeypatch):
    Jumping.hours = tmp_path / "hours"
    Jumping.hours.write_text("0")
    looks = tmp_path / "looks"
    tomorrow = datetime.now(UTC) + timedelta(hours=24)
    with living(driver, monkeypatch, {"datetime": Jumping}, expires_at=tomorrow):
        comes(lambda: engines(driver) and looks.exists())
        Jumping.hours.write_text("30")
        before = looks.stat().st_size
        comes(lambda: looks.stat().st_size > before + 3 or folder(driver).ended())
        assert folder(driver).ended() is None
        assert engines(driver)
        driver.extend(TOKEN, datetime.now(UTC) + timedelta(hours=29))  # an hour ago by the host's clock
        comes(lambda: (folder(driver).ended() or "").startswith("expired at"))


def test_the_log_of_a_machine_is_bounded_and_its_last_lines_are_read_from_both_parts(driver, tmp_path, monkeypatch):
    older, go = folder(driver).path / "machine.log.1", tmp_path / "go"
    lines = "for n in $(seq 101 250); do echo line $n; done"  # 1,350 bytes
    script = f"{lines}; while [ ! -e {older} ]; do sleep 0.1; done; echo begun; until [ -e {go} ]; do sleep 0.1; done"
    script += f"; {lines}; exec sleep 300"
    with living(driver, monkeypatch, {"LOG_LIMIT": 1000}, boot=boot(kind="script", run=script, port=0)):
        comes(lambda: driver.log(TOKEN, 1) == "begun")
        assert driver.log(TOKEN, 3) == "line 249\nline 250\nbegun"
        assert older.stat().st_size + folder(driver).log.stat().st_size < 2000
        go.touch()
        comes(lambda: folder(driver).log.stat().st_size == 0)
        assert driver.log(TOKEN, 2) == "line 249\nline 250"
        assert older.stat().st_size == 1000
        assert stat.S_IMODE(older.stat().st_mode) == 0o600


def test_the_log_is_trimmed_although_its_older_part_cannot_be_written(driver):
    driver._make(driver.machines / TOKEN)
    folder(driver).log.write_text("x" * 2000)
    (folder(driver).path / "machine.log.1").mkdir()
    folder(driver).trim_log(2001)
    assert folder(driver).log.stat().st_size == 2000
    folder(driver).trim_log(2000)
    assert folder(driver).log.stat().st_size == 0


def test_a_process_that_cannot_be_started_is_an_error_without_an_effect(driver, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(DriverError, match="cannot be started"):
        driver.create(asked(driver), SECRETS)
    monkeypatch.undo()
    assert driver.find(TOKEN) is None
    assert sys.executable != "/nowhere/python"


def test_whether_its_folder_can_be_written_is_tried_without_a_trace(driver):
    assert driver.status().usable
    assert list(driver.machines.iterdir()) == []
