"""A tiny Mixtral, launched by the bot through `vllm serve` on the CPU, from the command to a chat completion."""

import os
import shutil
import signal

import httpx
import pytest

from tests.line import Line
from tests.person import GENERAL, Person, words
from tests.vllm.fixtures import tiny_mixtral, vllm_home  # noqa: F401 - fixtures
from workers.clouds.local import machine_processes
from workers.clouds.local.driver import LocalDriver
from workers.clouds.local.machine_folder import MachineFolder
from workers.clouds.local.vllm_environment import WHOLE
from workers.serving.vllm_release import CPU

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

RECIPE = """
engine:
  kind: vllm
  model: {model}
  args: {{enforce-eager: null, dtype: float32, max-model-len: 512}}
resources: {{cpus: 1+, ports: 8000}}
service: {{readiness_probe: {{path: /health, initial_delay_seconds: 600}}}}
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory, vllm_home, tiny_mixtral):  # noqa: F811 - the fixtures
    folder = tmp_path_factory.mktemp("line")
    recipes = folder / "recipes"
    recipes.mkdir()
    (recipes / "tiny-mixtral.yaml").write_text(RECIPE.format(model=tiny_mixtral))
    (folder / "home").mkdir()
    (folder / "home" / "engines").symlink_to(vllm_home / "engines")
    with Line(folder, recipes=recipes) as line:
        yield line


@pytest.fixture
def robin(line):
    with Person(line.page) as person:
        yield person


def test_the_first_installation_is_told_on_the_card_and_stops_when_the_deployment_goes_down(line, robin):
    engines = line.home / "engines"
    shared = engines.readlink()
    engines.unlink()
    robin.command(GENERAL, "/mixtral launch tiny-mixtral as fresh")
    robin.wait_for_message(GENERAL, lambda m: "installing vLLM" in words(m) and "packages" in words(m), timeout=60)
    [sighting] = line.machines()
    folder = LocalDriver(line.home).machines / sighting.machine.token
    robin.end(GENERAL, "fresh")
    robin.wait_for(lambda _: not line.machines(), 30)
    robin.wait_for(lambda _: not machine_processes.of_machine(folder, None), 30)  # pip, which writes into the folder
    assert not (engines / CPU.name / WHOLE).exists()
    shutil.rmtree(engines)
    engines.symlink_to(shared)


def test_a_tiny_mixtral_is_launched_through_vllm_and_answers_a_chat(line, robin):
    robin.command(GENERAL, "/mixtral launch tiny-mixtral as tiny")
    told = robin.wait_for_ephemeral(lambda m: "mxk_" in words(m) and "fresh" not in words(m), timeout=300)
    key = key_in(words(told))
    [sighting] = line.machines()
    robin.wait_for_message(GENERAL, f"{line.gateway}/v1", timeout=60)
    chat = f"{line.gateway}/v1/chat/completions"

    body = {"model": "tiny", "messages": [{"role": "user", "content": "Name three condiments."}], "max_tokens": 8}
    assert httpx.post(chat, json=body, timeout=60).status_code == 401
    direct = f"{sighting.machine.address}/v1/chat/completions"
    assert httpx.post(direct, json=body, timeout=60).status_code == 401  # vLLM itself requires a key, too
    answer = httpx.post(chat, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    assert answer.json()["usage"]["completion_tokens"] == 8

    # vLLM's workers change their titles, which overwrites their environments. They are found and ended all the same.
    folder = LocalDriver(line.home).machines / sighting.machine.token
    session = MachineFolder(folder).started().pid
    assert len(machine_processes.of_machine(folder, session)) > len(machine_processes.of_machine(folder, None))
    robin.end(GENERAL, "tiny")
    robin.wait_for(lambda _: not machine_processes.of_machine(folder, session), 30)


def test_its_workers_do_not_outlive_a_machine_s_process_that_is_killed(line, robin):
    robin.command(GENERAL, "/mixtral launch tiny-mixtral as again")
    robin.wait_for_ephemeral(lambda m: "mxk_" in words(m) and "again" in words(m), timeout=300)
    [sighting] = line.machines()
    folder = LocalDriver(line.home).machines / sighting.machine.token
    session = MachineFolder(folder).started().pid
    os.kill(session, signal.SIGKILL)
    robin.wait_for(lambda _: not machine_processes.of_machine(folder, session), 30)
    robin.end(GENERAL, "again")
    robin.wait_for(lambda _: not line.machines(), 60)


def key_in(said):
    start = said.index("mxk_")
    return said[start : start + 36]
