"""Fixtures of the vLLM tests: a home with the engine installed once per run, and a tiny Mixtral."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from workers.clouds.local.machine_folder import MachineFolder
from workers.clouds.local.vllm_environment import install
from workers.serving.vllm_release import CPU

HERE = Path(__file__).parent


def python_of(home):
    """The Python interpreter of the engine's environment."""
    return home / "engines" / CPU.name / "bin" / "python"


@pytest.fixture(scope="session")
def vllm_home(tmp_path_factory):
    """A MIXTRAL_HOME with vLLM in it. MIXTRAL_TEST_VLLM_HOME names one to keep between runs."""
    kept = os.environ.get("MIXTRAL_TEST_VLLM_HOME")
    home = Path(kept) if kept else tmp_path_factory.getbasetemp() / "vllm-home"
    machine = MachineFolder(home / "installs")
    machine.path.mkdir(parents=True, exist_ok=True)
    (home / "engines").mkdir(exist_ok=True)
    install(CPU, home / "engines" / CPU.name, machine)
    yield home
    if not kept:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_mixtral(vllm_home):
    """A checkpoint of Mixtral's architecture with random weights."""
    folder = vllm_home / "tiny-mixtral"
    subprocess.run([python_of(vllm_home), HERE / "tiny_mixtral.py", folder], check=True)
    return folder
