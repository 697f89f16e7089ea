"""The vLLM flags of every shipped recipe are accepted by the parser of the vLLM version that GPU machines run."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from recipes import loader
from tests.vllm.fixtures import HERE, python_of, vllm_home  # noqa: F401 - a fixture
from workers.serving import vllm
from workers.serving.boot import boot_of
from workers.serving.vllm_release import GPU

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

LOCK = HERE.parents[1] / "requirements" / "vllm-parser.txt"
SERVERS = {"vllm.entrypoints.openai.api_server", "serve"}


@pytest.fixture(scope="module")
def parse(vllm_home, tmp_path_factory):  # noqa: F811 - the fixture
    """Returns the parser's verdict on one command line."""
    beside = tmp_path_factory.mktemp("parser")
    pip = [python_of(vllm_home), "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--require-hashes"]
    subprocess.run([*pip, "--target", beside, "-r", LOCK], check=True)
    environ = os.environ | {"PYTHONPATH": str(beside), "VLLM_TARGET_DEVICE": "cpu", "VLLM_NO_USAGE_STATS": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([python_of(vllm_home), HERE / "parse.py"], env=environ, text=True, **pipes) as parser:

        def verdict(argv):
            parser.stdin.write(json.dumps(argv) + "\n")
            parser.stdin.flush()
            return next(json.loads(line) for line in parser.stdout if line.startswith("{"))

        yield verdict
        parser.stdin.close()


RECIPES = [loader.load(loader.find(name), {}) for name in loader.names()]


@pytest.mark.parametrize("gpus", [1, 2, 8])
@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.engine and r.engine.kind == "vllm"], ids=lambda r: r.name)
def test_the_flags_of_a_short_form_are_accepted(parse, recipe, gpus):
    argv = vllm.serve(boot_of(recipe, "mine"), executable="vllm", host="0.0.0.0", port=8000, gpus=gpus)
    read = parse(argv[1:])
    assert read["accepted"], read
    assert read["version"] == GPU.version
    assert read["model_tag"] == recipe.engine.model
    assert read["served_model_name"] == [recipe.engine.model, "mine"]
    assert (read["tensor_parallel_size"], read["host"], read["port"]) == (gpus, "0.0.0.0", 8000)


@pytest.mark.parametrize("recipe", [r for r in RECIPES if "vllm" in r.run], ids=lambda r: r.name)
def test_the_flags_in_a_run_script_are_accepted(parse, recipe):
    read = parse(["serve", *flags_in(recipe.run)])
    assert read["accepted"], read
    assert read["tensor_parallel_size"] == 4


def flags_in(script):
    """The arguments of vLLM's server in a script, for four GPUs."""
    script = script.replace("\\\n", " ").replace("$SKYPILOT_NUM_GPUS_PER_NODE", "4")
    line = next(line for line in script.splitlines() if SERVERS & set(line.split()))
    words = shlex.split(re.split(r"[|;>&]", line)[0])
    return words[next(n for n, word in enumerate(words) if word in SERVERS) + 1 :]


@pytest.mark.parametrize("flag", ["--tensor-paralel=2", "--max-model-len=many", "--no-such-flag"])
def test_a_flag_that_vllm_does_not_have_is_refused_by_name(parse, flag):
    read = parse(["serve", "m", flag])
    assert not read["accepted"]
    assert flag.partition("=")[0] in read["said"]


def test_both_kinds_of_recipe_are_among_the_shipped_ones():
    assert any(r.engine and r.engine.kind == "vllm" for r in RECIPES)
    assert any("vllm" in r.run for r in RECIPES)
    assert Path(LOCK).read_text().count(f"vllm=={GPU.version}") == 1
