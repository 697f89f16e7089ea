"""PURE: the commands that make a machine a replica, in order."""

from pathlib import Path

from msgspec import Struct

from workers.machines import Boot
from workers.serving import vllm, vllm_release
from workers.serving.errors import ServingError
from workers.serving.flags import written

KINDS = ("llamacpp", "scripted", "script", "vllm")


class Workplace(Struct, frozen=True, kw_only=True):
    """Where the steps of a machine run."""

    folder: Path
    """Folder of the machine's files."""
    engines: Path
    """Folder of engines that are installed at first use, shared by all machines of this host."""
    python: str
    host: str
    port: int
    gpus: tuple[int, ...] = ()
    """Indexes of the GPUs reserved for this machine."""


class BootStep(Struct, frozen=True, kw_only=True):
    """One command. The last step of a list is the engine, and ends only when the replica ends."""

    name: str
    """Shown on the card while the step runs, and in `NAME exited with status 1`."""
    argv: tuple[str, ...]
    environment: dict[str, str] = {}
    """Added to the machine's environment. Contains no secret."""
    script: str | None = None
    """Content of the file whose path is the last element of argv, or None."""
    ours: bool = False
    """Whether the command runs a module of this project, so that it needs PYTHONPATH."""


def steps(boot: Boot, place: Workplace) -> tuple[BootStep, ...]:
    """The steps of a boot, in order. Raises ServingError if the boot cannot be served here."""
    match boot.kind:
        case "llamacpp" | "scripted":
            return (_ours(boot, place),)
        case "vllm":
            return _vllm(boot, place)
        case "script":
            return _scripts(boot, place)
        case other:
            raise ServingError(f"There is no engine {other!r}. The engines are {', '.join(KINDS)}.")


def _ours(boot: Boot, place: Workplace) -> BootStep:
    argv = [place.python, "-m", f"workers.serving.{boot.kind}", "--model", boot.model]
    argv += ["--served-model-name", *boot.served_names, "--host", place.host, "--port", str(place.port)]
    return BootStep(name="engine", argv=(*argv, *written(boot.args)), environment=_envs(boot, place), ours=True)


def _vllm(boot: Boot, place: Workplace) -> tuple[BootStep, ...]:
    count = len(place.gpus)
    release = vllm_release.for_gpus(count)
    home = place.engines / release.name
    install = BootStep(
        name=f"installing vLLM {release.version}",
        argv=(place.python, "-m", "workers.clouds.local.vllm_environment", str(home), str(place.folder)),
        ours=True,
    )
    argv = vllm.serve(boot, executable=str(home / "bin" / "vllm"), host=place.host, port=place.port, gpus=count)
    engine = BootStep(name="engine", argv=argv, environment=_envs(boot, place) | vllm.environment(count))
    return install, engine


def _scripts(boot: Boot, place: Workplace) -> tuple[BootStep, ...]:
    """A recipe's own `setup` and `run`, each in its own bash, as in SkyPilot."""
    if not boot.run.strip():
        raise ServingError("The recipe has no `engine` and no `run` script: there is nothing to serve. Add one.")
    texts = {"setup": boot.setup, "run": boot.run}
    return tuple(
        BootStep(
            name=name, argv=("bash", str(place.folder / f"{name}.sh")), environment=_envs(boot, place), script=text
        )
        for name, text in texts.items()
        if text.strip()
    )


def _envs(boot: Boot, place: Workplace) -> dict[str, str]:
    """The recipe's variables, and those that SkyPilot sets. Source: SkyPilot's docs, Environment Variables."""
    return {
        "SKYPILOT_NUM_GPUS_PER_NODE": str(len(place.gpus)),
        "SKYPILOT_NUM_NODES": "1",
        "SKYPILOT_NODE_RANK": "0",
        "SKYPILOT_NODE_IPS": place.host,
        **({"CUDA_VISIBLE_DEVICES": ",".join(map(str, place.gpus))} if place.gpus else {}),
        **boot.envs,
    }
