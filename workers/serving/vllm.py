"""PURE: the command and environment that serve a boot with vLLM."""

from workers.machines import Boot
from workers.serving.errors import ServingError
from workers.serving.flags import plain, written

ON_CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB of KV cache; the default is half of the memory
}
QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def serve(boot: Boot, *, executable: str, host: str, port: int, gpus: int) -> tuple[str, ...]:
    """The argv of `vllm serve`. The key is passed in VLLM_API_KEY, which `ps` does not show.

    Source: docs.vllm.ai, `vllm serve`. All of the machine's GPUs are used, by tensor parallelism unless the recipe
    sets it or other parallel sizes. Raises ServingError for reserved flags and invalid parallel sizes.
    """
    argv = [executable, "serve", boot.model, "--served-model-name", *boot.served_names]
    argv += ["--host", host, "--port", str(port)]
    given = {plain(name) for name in boot.args}
    if "tensor-parallel-size" not in given and "tp" not in given:
        argv += ["--tensor-parallel-size", str(tensor_parallel_size(boot, gpus))]
    return (*argv, *written(boot.args))


def tensor_parallel_size(boot: Boot, gpus: int) -> int:
    """Number of GPUs divided by the pipeline and data parallel sizes; 1 without GPUs. Raises ServingError."""
    if gpus == 0:
        return 1
    args = {plain(name): value for name, value in boot.args.items()}
    others = _number(args.get("pipeline-parallel-size", 1)) * _number(args.get("data-parallel-size", 1))
    if gpus % others:
        raise ServingError(
            f"{gpus} GPUs cannot be divided by {others}, the product of the recipe's pipeline and data parallel sizes."
        )
    return gpus // others


def _number(value: str | float | bool | None) -> int:
    try:
        number = int(value or 0)
    except ValueError:
        number = 0
    if number < 1:
        raise ServingError(f"A parallel size in `engine.args` is {value!r}. It must be a whole number of at least 1.")
    return number


def environment(gpus: int) -> dict[str, str]:
    """The environment of `vllm serve`, without the key."""
    return QUIET if gpus else QUIET | ON_CPU
