"""The sandbox's machines are real enough: booted from real user data, they answer, keep their key, and die."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tests import loopback
from tests.builders.machines import SECRETS, boot, request
from tests.patience import PATIENCE
from tests.unit.workers.serving.test_bootstrap import gpus
from workers.machines import BootPhase, BootReport, Token
from workers.sandbox import machine
from workers.sandbox.machine import Machines, MachinesFull
from workers.sandbox.valkey import free_port
from workers.serving.bootstrap import user_data
from workers.serving.console import mark_of, read
from workers.serving.probe import completion, key_is_enforced

KEY = SECRETS["VLLM_API_KEY"]
MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
NAMES = (MIXTRAL, "mixtral")
READY_WITHIN = 60
SCRIPTED = {"MIXTRAL_SANDBOX_ENGINE": "scripted"}


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def machines(tmp_path):
    machines = Machines(tmp_path, most=4, environ=os.environ | SCRIPTED)
    yield machines
    machines.close()


def text(port, **changes):
    asked = boot(**{"kind": "vllm", "model": MIXTRAL, "served_names": NAMES, "port": port} | changes)
    return user_data(request("t-1", [gpus(8)], boot=asked), SECRETS)


def healthy(url):
    try:
        return loopback.get(f"{url}/health", trust_env=False, timeout=2).is_success
    except httpx.TransportError:
        return False


def wait(holds, why="it did not come to pass"):
    deadline = time.monotonic() + READY_WITHIN * PATIENCE
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


def told(machines):
    return read(machines.console("i-1"), mark_of(Token("t-1"), KEY))


def booted(machines, id_, port, **changes):
    url = f"http://{machines.boot(id_, text(port, **changes))}:{port}"
    wait(lambda: healthy(url), machines.console(id_))
    return url


def test_a_machine_told_to_serve_mixtral_answers_under_its_names_by_a_real_small_model(tmp_path, port):
    machines = Machines(tmp_path)
    try:
        url = booted(machines, "i-1", port)
        for name in NAMES:
            assert completion(url, KEY, model=name, prompt="My favourite condiment is").text
        assert asyncio.run(key_is_enforced(url))
        assert "mixtral: starting the engine llamacpp" in machines.console("i-1")
    finally:
        machines.close()


def test_the_scripted_engine_takes_its_place_where_it_is_asked_for(machines, port):
    url = booted(machines, "i-1", port)
    assert "script" in completion(url, KEY, model="mixtral", prompt="Hi").text
    assert asyncio.run(key_is_enforced(url))


def test_a_boot_of_the_scripted_engine_keeps_its_arguments(tmp_path, port):
    machines = Machines(tmp_path)
    try:
        url = booted(machines, "i-1", port, kind="scripted", args={"text": "mustard"})
        assert "mustard" in completion(url, KEY, model="mixtral", prompt="Hi").text
    finally:
        machines.close()


def test_each_machine_has_an_address_of_its_own_on_one_port(machines, port):
    urls = [booted(machines, f"i-{n}", port) for n in range(3)]
    assert len(set(urls)) == 3
    assert all(url.startswith("http://127.1.") for url in urls)


def test_two_stand_ins_never_share_an_address(tmp_path, port):
    both = [Machines(tmp_path / name, environ=os.environ | SCRIPTED) for name in "ab"]
    for machines in both:
        machines._next = 7
    try:
        addresses = {machines.boot(f"i-{n}", text(port)) for machines in both for n in range(2)}
        assert len(addresses) == 4
    finally:
        for machines in both:
            machines.close()


def test_asked_again_it_is_the_same_machine(machines, port):
    assert machines.boot("i-1", text(port)) == machines.boot("i-1", text(port))


def test_a_killed_machine_answers_no_more_and_its_console_can_still_be_read(machines, port):
    url = booted(machines, "i-1", port)
    assert machines.alive("i-1")
    machines.kill("i-1")
    machines.kill("i-1")
    assert not machines.alive("i-1")
    assert not healthy(url)
    assert "mixtral: starting the engine" in machines.console("i-1")


def test_a_machine_starts_its_engine_again_and_tells_of_it(machines, port):
    url = booted(machines, "i-1", port)
    engine = machines.engine("i-1")
    os.kill(engine, signal.SIGKILL)
    wait(lambda: machines.engine("i-1") not in (None, engine))
    wait(lambda: healthy(url))
    restarted = told(machines).restarted
    assert (restarted.start, restarted.how) == (1, "the engine was killed by SIGKILL")
    assert abs(datetime.now(UTC) - restarted.at) < timedelta(minutes=1)


def test_an_engine_that_never_starts_is_given_up_and_its_console_says_why(machines, port, monkeypatch):
    monkeypatch.setattr(machine, "PAUSE", 0.01)
    machines.boot("i-1", text(port, kind="scripted", args={"fail-start": "no such weights"}))
    wait(lambda: told(machines).gave_up)
    assert machines.alive("i-1"), "it lingers for ten minutes"
    assert machines.console("i-1").count("scripted: no such weights") == 3
    assert told(machines).gave_up == "the engine exited with status 1 at each of its last 3 starts"
    monkeypatch.setattr(machine, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + machine.LINGER))
    assert not machines.alive("i-1"), "nobody ends it, so it ends itself"


def test_user_data_that_is_none_of_ours_makes_a_machine_that_serves_nothing(machines):
    assert machines.boot("i-1", "#!/bin/bash\necho hello\n").startswith("127.1.")
    wait(lambda: "contains nothing to serve" in machines.console("i-1"))
    assert machines.alive("i-1")


def test_it_boots_for_as_long_as_it_is_told(tmp_path, port):
    machines = Machines(tmp_path, boot_delay=timedelta(seconds=3), environ=os.environ | SCRIPTED)
    try:
        started = time.monotonic()
        machines.boot("i-1", text(port))
        assert told(machines).boot == BootReport(phase=BootPhase.BOOTING)
        booted(machines, "i-1", port)
        assert time.monotonic() - started >= 3
        wait(lambda: told(machines).boot == BootReport(phase=BootPhase.LOADING))
    finally:
        machines.close()


def test_one_too_many_is_refused_until_another_ends(machines, port):
    for n in range(4):
        machines.boot(f"i-{n}", text(port))
    with pytest.raises(MachinesFull, match="at most 4 engines"):
        machines.boot("i-4", text(port))
    assert not machines.alive("i-4")
    machines.kill("i-0")
    machines.boot("i-4", text(port))


def test_threads_that_come_and_go_may_boot_and_kill_machines(machines, port):
    def live(n):
        address = machines.boot(f"i-{n}", text(port))
        thread_of_a_request = threading.Thread(target=machines.boot, args=(f"i-{n}", text(port)))
        thread_of_a_request.start()
        thread_of_a_request.join()
        return address

    with ThreadPoolExecutor(4) as threads:
        addresses = list(threads.map(live, range(4)))
    assert len(set(addresses)) == 4
    # Those threads are gone; the engines are not.
    for address in addresses:
        wait(lambda url=f"http://{address}:{port}": healthy(url))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(machines.kill, [f"i-{n}" for n in range(4)]))
    assert not any(healthy(f"http://{address}:{port}") for address in addresses)


def test_its_key_is_in_no_command_line_and_no_log(machines, port):
    booted(machines, "i-1", port)
    pid = machines.engine("i-1")
    assert KEY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert KEY not in machines.console("i-1")


def test_an_id_that_looks_like_a_path_stays_in_the_folder(machines, tmp_path, port):
    machines.boot("../../i-1", text(port))
    wait(lambda: "stand-in" in machines.console("../../i-1"))
    assert [path.parent for path in tmp_path.rglob("*.log")] == [tmp_path]


def test_the_engines_die_with_the_stand_in(tmp_path, port):
    (tmp_path / "user-data").write_text(text(port))
    program = (
        "import sys, time; from pathlib import Path; from workers.sandbox.machine import Machines\n"
        "folder = Path(sys.argv[1]); machines = Machines(folder)\n"
        "print(machines.boot('i-1', (folder / 'user-data').read_text()), flush=True); time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ | SCRIPTED) as stand_in:
        url = f"http://{stand_in.stdout.readline().strip()}:{port}"
        wait(lambda: healthy(url))
        stand_in.kill()
    wait(lambda: not healthy(url))
