"""PURE: what a cloud's machine is given to run at its boot, and how to read it again."""

import base64
import gzip
import re
import shlex
from collections.abc import Mapping
from importlib import resources

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from workers.machines import Boot, MachineRequest, Token
from workers.serving import vllm
from workers.serving.boot import KEY_VARIABLE
from workers.serving.console import STARTS_MOST, mark_of
from workers.serving.errors import ServingError
from workers.serving.vllm_release import GPU

LIMIT = 16384
"""Bytes of user data that EC2 takes."""
FIRST_LEASE = 120
"""Minutes that a machine lives which never learns its expiry."""
LASTING = 600
"""Seconds after which an engine that ends has not ended early; longer where it may take longer to be ready."""
HEADER = "# mixtral: "
RUN = "the recipe's run"
ENV = "  put env 600 "
DOCKER = "docker:"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WITH_CONDA = '. "$(dirname "$0")/conda.sh"\n'
STATIC = {
    name: resources.files("workers.serving").joinpath(f"{name}.sh").read_text(encoding="utf-8")
    for name in ("bootstrap", "deadman", "recipe", "conda")
}


def _packed(text: str) -> str:
    """What `base64 --decode | gzip --decompress` gives back; the same for the same."""
    return base64.encodebytes(gzip.compress(text.encode(), mtime=0)).decode()


PACKED_BOOTSTRAP = f"""\
eval "$(base64 --decode <<'END_OF_FILE' | gzip --decompress
{_packed(STATIC["bootstrap"])}END_OF_FILE
)"
"""


class Header(Struct, frozen=True, kw_only=True):
    """The line of a machine's user data that says what it is to serve. Holds no secret."""

    kind: str
    model: str
    served_names: tuple[str, ...]
    port: int
    token: Token
    args: dict[str, str | int | float | bool | None] = {}


class _File(Struct, frozen=True, kw_only=True):
    """A file that the script writes on the machine."""

    name: str
    text: str
    mode: str = "600"
    packed: bool = False


def user_data(request: MachineRequest, secrets: Mapping[str, str]) -> str:
    """A bash script of at most 16384 bytes, for EC2's user data and GCE's `startup-script`; the same for the same.

    It arms the machine's deadman, then serves the boot on all of the machine's interfaces. It runs as root, and may
    run again at every boot. Its progress are the lines of the console that begin with `mixtral` (console.py). An
    engine that ends is started again, and after STARTS_MOST early ends in a row no more. The tag (on GCE the metadata
    attribute) `mixtral-expiry` moves the machine's end: Unix seconds, or ISO 8601 with its zone.
    Raises ServingError where the boot cannot be served on a cloud's machine.
    """
    if not secrets.get(KEY_VARIABLE):
        raise ServingError(f"{KEY_VARIABLE} is not set, and an engine is never started without a key.")
    env = _File(name="env", text=_env(request, secrets))
    others = [_File(name="deadman.sh", text=STATIC["deadman"]), *_recipe(request.boot)]
    script = _script(request, secrets, [env, *others])
    if len(script.encode()) > LIMIT:
        script = _script(request, secrets, [env, *(replace(file, packed=True) for file in others)], packed=True)
    if len(script.encode()) <= LIMIT:
        return script
    raise ServingError(
        f"The recipe's scripts and variables come to {len(script.encode())} bytes when packed, and a cloud's machine "
        f"takes {LIMIT}. Shorten `setup` and `run`, for example by fetching what is long from where it is published."
    )


def header(user_data: str) -> Header | None:
    """What a script of ours says that it serves; None where it is none of ours."""
    first, _, rest = user_data.partition("\n")
    line, _, _ = rest.partition("\n")
    if not first.startswith("#!") or not line.startswith(HEADER):
        return None
    try:
        return msgspec.json.decode(line.removeprefix(HEADER), type=Header)
    except msgspec.MsgspecError:
        return None


def environment(user_data: str) -> dict[str, str]:
    """The variables, with the secrets among them, that a script of ours gives to what it serves."""
    _, found, rest = user_data.partition(f"\n{ENV}")
    if not found:
        return {}
    lexer = shlex.shlex(rest, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = shlex.split(lexer.get_token() or "")
    return dict(word.split("=", 1) for word in words if "=" in word)


def _script(request: MachineRequest, secrets: Mapping[str, str], files: list[_File], *, packed: bool = False) -> str:
    boot = request.boot
    about = Header(
        kind=boot.kind,
        model=boot.model,
        served_names=boot.served_names,
        port=boot.port,
        token=request.token,
        args=boot.args,
    )
    counts = sorted({offer.count for offer in request.offers})
    wants_docker = bool(_image(boot)) or re.search(r"\bdocker\b", boot.setup + boot.run) is not None
    constants = {
        "kind": boot.kind,
        "what": boot.model if boot.kind != "script" else RUN,
        "engine": "the engine" if boot.kind != "script" else RUN,
        "image": _image(boot),
        "port": str(boot.port),
        "starts_most": str(STARTS_MOST),
        "lasting": str(max(LASTING, int(boot.initial_delay.total_seconds()))),
        "mark": mark_of(request.token, secrets[KEY_VARIABLE]),
        "counts": " ".join(map(str, counts)),
        "needs_docker": "yes" if wants_docker else "no",
    }
    names = " ".join(_variables(request, secrets))
    lines = [
        "#!/bin/bash",
        HEADER + msgspec.json.encode(about).decode(),
        "# shellcheck disable=SC2016,SC2329 # texts for other shells; functions that only other machines need",
        *(["# shellcheck disable=SC2034,SC2154 # the packed part takes these, and gives those"] if packed else []),
        'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"',
        f"shutdown -h +{FIRST_LEASE} # until the deadman below knows better",
        f"export MIXTRAL_CLOUD={shlex.quote(request.offers[0].cloud)}",
        *(f"{name}={shlex.quote(value)}" for name, value in constants.items()),
        f"names=({names})",
        "files() {",
        *(_written(file) for file in files),
        "}",
        "serve() {",
        *_serve(boot, counts),
        "}",
        PACKED_BOOTSTRAP if packed else STATIC["bootstrap"],
    ]
    return "\n".join(lines)


def _written(file: _File) -> str:
    if not file.packed:
        return f"  put {file.name} {file.mode} {shlex.quote(file.text)}"
    return f"  unpack {file.name} {file.mode} <<'END_OF_FILE'\n{_packed(file.text)}END_OF_FILE"


def _variables(request: MachineRequest, secrets: Mapping[str, str]) -> dict[str, str]:
    """The recipe's variables and secrets, and what SkyPilot sets beside the number of GPUs, which is counted there."""
    found = {
        "SKYPILOT_NUM_NODES": "1",
        "SKYPILOT_NODE_RANK": "0",
        "SKYPILOT_NODE_IPS": "127.0.0.1",
        "SKYPILOT_SETUP_NODE_RANK": "0",
        "SKYPILOT_SETUP_NODE_IPS": "127.0.0.1",
        "SKYPILOT_SERVE_REPLICA_ID": str(request.replica),
        "SKYPILOT_TASK_ID": request.token,
        **(vllm.QUIET if request.boot.kind == "vllm" else {}),
        **request.boot.envs,
        **secrets,
    }
    for name, value in found.items():
        if not NAME.fullmatch(name):
            raise ServingError(
                f"{name!r} cannot be the name of a variable: letters, digits and _ only, no digit first."
            )
        if "\0" in value:
            raise ServingError(f"The value of {name} holds a zero byte, which no variable can. Remove it.")
    return found


def _env(request: MachineRequest, secrets: Mapping[str, str]) -> str:
    found = _variables(request, secrets)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())


def _recipe(boot: Boot) -> list[_File]:
    """The recipe's own scripts, and what they lean on."""
    if boot.kind != "script":
        return []
    texts = {name: text for name, text in (("setup", boot.setup), ("run", boot.run)) if text.strip()}
    if "run" not in texts:
        raise ServingError("The recipe has neither an `engine` nor a `run` script, so that there is nothing to serve.")
    if "\0" in "".join(texts.values()):
        raise ServingError("The recipe's scripts hold a zero byte, which no script can. Remove it.")
    conda = any(re.search(r"\bconda\b", text) for text in texts.values())
    if conda:
        texts = {name: WITH_CONDA + text for name, text in texts.items()}
    ours = {"recipe": STATIC["recipe"]} | ({"conda": STATIC["conda"]} if conda else {})
    return [_File(name=f"recipe/{name}.sh", text=text, mode="644") for name, text in (ours | texts).items()]


def _image(boot: Boot) -> str:
    """The image of a container; empty where the boot runs on the machine itself."""
    if boot.image and boot.image.startswith(DOCKER):
        return boot.image.removeprefix(DOCKER)
    return f"vllm/vllm-openai:v{GPU.version}" if boot.kind == "vllm" else ""


def _serve(boot: Boot, counts: list[int]) -> list[str]:
    """The shell's lines that serve the boot, whichever of the offers was taken."""
    match boot.kind:
        case "vllm":
            if 0 in counts:
                raise ServingError("vLLM on a cloud needs a GPU: name one under `resources.accelerators`.")
            return ['  case "$gpus" in', *(f"    {n}) {shlex.join(_contained(boot, n))} ;;" for n in counts), "  esac"]
        case "script" if _image(boot):
            return ["  contain bash /mixtral/recipe.sh"]
        case "script":
            return ['  with_environment bash "$folder/recipe/recipe.sh"']
        case "scripted":
            return ['  say "the scripted engine answers in the sandbox only"', "  false"]
        case "llamacpp":
            raise ServingError(
                "The engine `llamacpp` runs on the worker's own machine only. Name `--clouds local`, or in the recipe "
                "the engine `vllm` or a `run` script."
            )
        case other:
            raise ServingError(
                f"There is no engine {other!r} for a cloud's machine: a recipe can name vllm or a `run`."
            )


def _contained(boot: Boot, gpus: int) -> tuple[str, ...]:
    return ("contain", *vllm.serve(boot, executable="vllm", host="0.0.0.0", port=boot.port, gpus=gpus))
