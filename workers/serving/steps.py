"""PURE: what a machine runs to become a replica, step by step."""

from pathlib import Path

from msgspec import Struct

from workers.machines import Boot
from workers.serving import vllm, vllm_release
from workers.serving.errors import ServingError
from workers.serving.flags import written

KINDS = ("llamacpp", "scripted", "script", "vllm")


class Workplace(Struct, frozen=True, kw_only=True):
    """Where a machine's steps run."""

    folder: Path
    """The machine's own files."""
    engines: Path
    """Where engines that are installed on first use live, shared by all machines here."""
    python: str
    host: str
    port: int
    gpus: tuple[int, ...] = ()
    """Indexes of the GPUs that are this machine's alone."""


class Step(Struct, frozen=True, kw_only=True):
    """One command. The last step of a list is the engine, and ends only when the replica ends."""

    name: str
    """Said on the card while it runs, and in `NAME exited with status 1`."""
    argv: tuple[str, ...]
    environment: dict[str, str] = {}
    """Added to the machine's own; holds no secret."""
    script: str | None = None
    """Text that must stand in the file that the last word of argv names."""
    ours: bool = False
    """A module of this package, which must find it."""


def steps(boot: Boot, place: Workplace) -> tuple[Step, ...]:
    """The steps of a boot, in order. Raises ServingError where its flags clash with ours."""
    match boot.kind:
        case "llamacpp" | "scripted":
            return (_ours(boot, place),)
        case "vllm":
            return _vllm(boot, place)
        case "script":
            return _scripts(boot, place)
        case other:
            raise ServingError(f"There is no engine {other!r}: a recipe can name {', '.join(KINDS)}.")


def _ours(boot: Boot, place: Workplace) -> Step:
    argv = [place.python, "-m", f"workers.serving.{boot.kind}", "--model", boot.model]
    argv += ["--served-model-name", *boot.served_names, "--host", place.host, "--port", str(place.port)]
    return Step(name="engine", argv=(*argv, *written(boot.args)), environment=_envs(boot, place), ours=True)


def _vllm(boot: Boot, place: Workplace) -> tuple[Step, ...]:
    count = len(place.gpus)
    release = vllm_release.for_gpus(count)
    home = place.engines / release.name
    install = Step(
        name=f"installing vLLM {release.version}",
        argv=(place.python, "-m", "workers.clouds.local.vllm_environment", str(home), str(place.folder)),
        ours=True,
    )
    argv = vllm.serve(boot, executable=str(home / "bin" / "vllm"), host=place.host, port=place.port, gpus=count)
    engine = Step(name="engine", argv=argv, environment=_envs(boot, place) | vllm.environment(count))
    return install, engine


def _scripts(boot: Boot, place: Workplace) -> tuple[Step, ...]:
    """A recipe's own `setup` and `run`, each by a bash of its own, as SkyPilot runs them."""
    if not boot.run.strip():
        raise ServingError("The recipe has neither an `engine` nor a `run` script, so that there is nothing to serve.")
    texts = {"setup": boot.setup, "run": boot.run}
    return tuple(
        Step(name=name, argv=("bash", str(place.folder / f"{name}.sh")), environment=_envs(boot, place), script=text)
        for name, text in texts.items()
        if text.strip()
    )


def _envs(boot: Boot, place: Workplace) -> dict[str, str]:
    """The recipe's variables, and those that SkyPilot sets for its scripts (docs: Environment Variables)."""
    return {
        "SKYPILOT_NUM_GPUS_PER_NODE": str(len(place.gpus)),
        "SKYPILOT_NUM_NODES": "1",
        "SKYPILOT_NODE_RANK": "0",
        "SKYPILOT_NODE_IPS": place.host,
        **({"CUDA_VISIBLE_DEVICES": ",".join(map(str, place.gpus))} if place.gpus else {}),
        **boot.envs,
    }
