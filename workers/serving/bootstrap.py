"""PURE: generates the user data that a cloud's machine runs at boot, and parses it."""

import base64
import gzip
import re
import shlex
from collections.abc import Mapping
from importlib import resources

import msgspec
from msgspec import Struct

from workers.machines import Boot, MachineRequest, Token
from workers.serving import vllm
from workers.serving.boot import KEY_VARIABLE
from workers.serving.console import MAX_STARTS, mark_of
from workers.serving.errors import ServingError
from workers.serving.vllm_release import GPU, MIN_DRIVER

LIMIT = 16384
"""Maximum size of EC2's user data, in bytes."""
FIRST_LEASE = 120
"""Minutes from boot to shutdown, unless the machine reads its expiry."""
LASTING = 600
"""An engine that ends within this time, in seconds, has ended early. If the initial delay is longer, it applies."""
HEADER = "# mixtral: "
RUN = "the recipe's run"
ENV = "  put env 600 "
PACKED = "eval \"$(base64 --decode <<'END_OF_FILE' | gzip --decompress"
DOCKER = "docker:"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
USED = {name: f'. "$(dirname "$0")/{name}.sh"\n' for name in ("conda", "uv")}
"""Programs that a recipe's scripts may name, and the line of bash that installs and activates each."""
REGISTRY = ("SKYPILOT_DOCKER_USERNAME", "SKYPILOT_DOCKER_PASSWORD", "SKYPILOT_DOCKER_SERVER")
"""Variables of a recipe that log in to an image's registry. Source: SkyPilot's docs, Docker."""
PARTS = ("disks", "docker", "bootstrap")
"""The parts that are the same on every machine, in the order of the script; the last one runs the others' functions."""
COMMENT = re.compile(r"^ *# (?!shellcheck).*\n", re.MULTILINE)
STATIC = {
    name: COMMENT.sub("", resources.files("workers.serving").joinpath(f"{name}.sh").read_text(encoding="utf-8"))
    for name in (*PARTS, "deadman", "recipe", *USED)
}
"""The project's own scripts, without comments: the space is limited."""


class Header(Struct, frozen=True, kw_only=True):
    """The line of a machine's user data that describes what it serves. Contains no secret."""

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


def user_data(request: MachineRequest, secrets: Mapping[str, str]) -> str:
    """A bash script of at most 16384 bytes, for EC2's user data and GCE's `startup-script`. Deterministic.

    Contains `script`, packed. Raises ServingError if the boot cannot be served on a cloud's machine.
    """
    packed = base64.b64encode(gzip.compress(script(request, secrets).encode(), mtime=0)).decode()
    lines = [
        "#!/bin/bash",
        HEADER + msgspec.json.encode(_about(request)).decode(),
        'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"',
        f"systemctl is-active --quiet mixtral-deadman || shutdown -h +{FIRST_LEASE} # until the deadman has started",
        f'{PACKED}\n{packed}\nEND_OF_FILE\n)"\n',
    ]
    text = "\n".join(lines)
    if len(text.encode()) <= LIMIT:
        return text
    raise ServingError(
        f"The recipe's scripts and variables come to {len(text.encode())} bytes when packed, and a cloud's machine "
        f"accepts {LIMIT}. Shorten `setup` and `run`, for example by downloading long parts at run time."
    )


def unpacked(user_data: str) -> str:
    """The packed part of a script from `user_data`; empty for any other text."""
    _, _, rest = user_data.partition(f"\n{PACKED}\n")
    return gzip.decompress(base64.b64decode(rest.partition("\n")[0])).decode() if rest else ""


def header(user_data: str) -> Header | None:
    """The header of a script from `user_data`; None for any other text."""
    first, _, rest = user_data.partition("\n")
    line, _, _ = rest.partition("\n")
    if not first.startswith("#!") or not line.startswith(HEADER):
        return None
    try:
        return msgspec.json.decode(line.removeprefix(HEADER), type=Header)
    except msgspec.MsgspecError:
        return None


def environment(user_data: str) -> dict[str, str]:
    """The environment (with secrets) in a script from `user_data`; empty for any other text."""
    _, found, rest = unpacked(user_data).partition(f"\n{ENV}")
    if not found:
        return {}
    lexer = shlex.shlex(rest, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = shlex.split(lexer.get_token() or "")
    return dict(word.split("=", 1) for word in words if "=" in word)


def script(request: MachineRequest, secrets: Mapping[str, str]) -> str:
    """The script that a machine runs as root.

    It installs two systemd units that run at every boot: the deadman, and a copy of the user data, which serves the
    boot on all network interfaces. The copy reports its progress in console lines that begin with `mixtral`
    (console.py). An engine that ends is started again, unless its last MAX_STARTS runs ended early. The tag
    `mixtral-expiry` (on GCE a metadata attribute) sets the time at which the machine ends, as Unix seconds or ISO 8601
    with a time zone. Raises ServingError.
    """
    if not secrets.get(KEY_VARIABLE):
        raise ServingError(f"{KEY_VARIABLE} is not set, and an engine is never started without a key.")
    boot = request.boot
    files = [
        _File(name="env", text=_env(request, secrets)),
        _File(name="deadman.sh", text=STATIC["deadman"]),
        *_recipe(boot),
    ]
    counts = sorted({offer.count for offer in request.offers})
    variables = _variables(request, secrets)
    image = _image(boot, variables)
    wants_docker = bool(image) or re.search(r"\bdocker\b", boot.setup + boot.run) is not None
    constants = {
        "kind": boot.kind,
        "what": boot.model if boot.kind != "script" else RUN,
        "engine": "the engine" if boot.kind != "script" else RUN,
        "image": image,
        "registry": "yes" if image and _has_login(variables) else "no",
        "port": str(boot.port),
        "starts_most": str(MAX_STARTS),
        "lasting": str(max(LASTING, int(boot.initial_delay.total_seconds()))),
        "mark": mark_of(request.token, secrets[KEY_VARIABLE]),
        "counts": " ".join(map(str, counts)),
        "needs_docker": "yes" if wants_docker else "no",
        "driver_least": str(MIN_DRIVER),
    }
    lines = [
        "# shellcheck disable=SC2016,SC2329 # text for other shells; functions that not every machine uses",
        f"export MIXTRAL_CLOUD={shlex.quote(request.offers[0].cloud)}",
        *(f"{name}={shlex.quote(value)}" for name, value in constants.items()),
        f"names=({' '.join(variables)})",
        "files() {",
        *(_written(file) for file in files),
        "}",
        "serve() {",
        *_serve(boot, counts, contained=bool(image)),
        "}",
        *(STATIC[name] for name in PARTS),
    ]
    return "\n".join(lines)


def _about(request: MachineRequest) -> Header:
    boot = request.boot
    return Header(
        kind=boot.kind,
        model=boot.model,
        served_names=boot.served_names,
        port=boot.port,
        token=request.token,
        args=boot.args,
    )


def _written(file: _File) -> str:
    return f"  put {file.name} {file.mode} {shlex.quote(file.text)}"


def _variables(request: MachineRequest, secrets: Mapping[str, str]) -> dict[str, str]:
    """The recipe's variables and secrets, and those of SkyPilot, except the number of GPUs: the machine counts them."""
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
            raise ServingError(f"The value of {name} contains a zero byte, which variables cannot contain. Remove it.")
    return found


def _env(request: MachineRequest, secrets: Mapping[str, str]) -> str:
    found = _variables(request, secrets)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())


def _recipe(boot: Boot) -> list[_File]:
    """The recipe's own scripts, and the scripts that they use."""
    if boot.kind != "script":
        return []
    texts = {name: text for name, text in (("setup", boot.setup), ("run", boot.run)) if text.strip()}
    if "run" not in texts:
        raise ServingError("The recipe has no `engine` and no `run` script: there is nothing to serve. Add one.")
    if "\0" in "".join(texts.values()):
        raise ServingError("The recipe's scripts contain a zero byte, which scripts cannot contain. Remove it.")
    used = [name for name in USED if any(re.search(rf"\b{name}\b", text) for text in texts.values())]
    texts = {name: "".join(USED[program] for program in used) + text for name, text in texts.items()}
    ours = {name: STATIC[name] for name in ("recipe", *used)}
    return [_File(name=f"recipe/{name}.sh", text=text, mode="644") for name, text in (ours | texts).items()]


def _image(boot: Boot, variables: Mapping[str, str]) -> str:
    """The container image; empty if the boot runs on the machine itself. Raises ServingError."""
    if boot.image and boot.image.startswith(DOCKER):
        image = boot.image.removeprefix(DOCKER)
        server = variables[REGISTRY[2]].rstrip("/") + "/" if _has_login(variables) else ""
        return image if image.startswith(server) else server + image
    return f"vllm/vllm-openai:v{GPU.version}" if boot.kind == "vllm" else ""


def _has_login(variables: Mapping[str, str]) -> bool:
    """Whether the recipe logs in to a registry. Raises ServingError if it has only a part of the login."""
    given = [name for name in REGISTRY if variables.get(name)]
    if given and len(given) < len(REGISTRY):
        lacking = " and ".join(name for name in REGISTRY if name not in given)
        raise ServingError(
            f"The recipe logs in to a registry, and {lacking} is empty or missing. Set all of {', '.join(REGISTRY)}."
        )
    return bool(given)


def _serve(boot: Boot, counts: list[int], *, contained: bool) -> list[str]:
    """Lines of bash that serve the boot, for each number of GPUs in the offers."""
    match boot.kind:
        case "vllm":
            if 0 in counts:
                raise ServingError("vLLM on a cloud needs a GPU: name one under `resources.accelerators`.")
            return ['  case "$gpus" in', *(f"    {n}) {shlex.join(_contained(boot, n))} ;;" for n in counts), "  esac"]
        case "script" if contained:
            return ["  contain bash /mixtral/recipe.sh"]
        case "script":
            return ['  with_environment bash "$folder/recipe/recipe.sh"']
        case "scripted":
            return ['  say "the engine scripted is available in the sandbox only"', "  false"]
        case "llamacpp":
            raise ServingError(
                "The engine `llamacpp` runs on the worker's own machine only. Launch with `--clouds local`, or use "
                "the engine `vllm` or a `run` script in the recipe."
            )
        case other:
            raise ServingError(
                f"There is no engine {other!r} for a cloud's machine. Use `vllm` or a `run` script in the recipe."
            )


def _contained(boot: Boot, gpus: int) -> tuple[str, ...]:
    return ("contain", *vllm.serve(boot, executable="vllm", host="0.0.0.0", port=boot.port, gpus=gpus))
