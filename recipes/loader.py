"""Reads recipes from files and text. Every mistake is a RecipeError: one sentence with file and line."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import get_args

from msgspec import UNSET

from recipes.clock_fields import read as clocks
from recipes.document import MAX_BYTES, read
from recipes.engine_key import key_notes
from recipes.registry import login_notes
from recipes.resources import machines
from recipes.schema import Engine, Note, Recipe, RecipeError, Resources, Scalar
from recipes.service import serving
from recipes.unserved import TASK, note, notes, unresolvable
from recipes.value import Value, shown
from recipes.variables import variables

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_RULE = "letters, digits, dot, dash and underscore, at most 63, the first a letter or a digit"
FLAG = re.compile(r"-{0,2}[A-Za-z][A-Za-z0-9_.-]*")
SUFFIXES = (".yaml", ".yml")
SIMILAR = 0.6
"""Minimum similarity, as difflib computes it, of a recipe's name to one that does not exist."""
ENGINES: tuple[str, ...] = get_args(Engine.__annotations__["kind"])

SERVED = ("name", "resources", "service", "envs", "secrets", "setup", "run", "engine", "clocks", "num_nodes")


class NoSuchRecipe(RecipeError):
    """No recipe has this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=SIMILAR)
        self.nearest = near[0] if near else None
        self.known = known
        hint = f"did you mean {self.nearest}? There are" if near else "there are"
        super().__init__(f"no recipe is called {shown(name)}; {hint}: {', '.join(known)}", file="")


def load(
    source: Path | str, environ: Mapping[str, str], *, name: str = "recipe", given: Mapping[str, str] | None = None
) -> Recipe:
    """Read a file (a Path) or a text (a str, called `name`). Raises RecipeError and no other error.

    `given`: values from `--env`. They replace those of the recipe's `envs`, wherever the recipe uses them.
    """
    if isinstance(source, str):
        return _recipe(read(source.encode("utf-8", "surrogatepass"), f"{name}.yaml"), name, environ, given or {})
    try:
        with source.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
            size = max(len(raw), os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise RecipeError(f"cannot be read: {error.strerror}", file=source.name) from error
    if size > MAX_BYTES:
        raise RecipeError(f"is {size:,} bytes long; a recipe has at most {MAX_BYTES:,}", file=source.name)
    return _recipe(read(raw, source.name), source.stem, environ, given or {})


def shipped() -> Path:
    """The folder of the shipped recipes."""
    return Path(str(files("recipes")))


def folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders that MIXTRAL_RECIPES names."""
    return tuple(Path(part).expanduser() for part in environ.get("MIXTRAL_RECIPES", "").split(os.pathsep) if part)


def names(further: Iterable[Path] = ()) -> tuple[str, ...]:
    """The names of all recipes, sorted."""
    return tuple(sorted(_files(further)))


def find(name: str, further: Iterable[Path] = ()) -> Path:
    """The file of a recipe. The further folders take precedence over the shipped recipes. Raises NoSuchRecipe."""
    found = _files(further)
    if name not in found:
        raise NoSuchRecipe(name, tuple(sorted(found)))
    return found[name]


def _files(further: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in (*further, shipped()):
        if not folder.is_dir():
            raise RecipeError("is not a folder; MIXTRAL_RECIPES must name folders of recipes", file=str(folder))
        for file in sorted(folder.iterdir()):
            if file.suffix in SUFFIXES and NAME.fullmatch(file.stem):
                found.setdefault(file.stem, file)
    return found


def _recipe(document: Value, stem: str, environ: Mapping[str, str], given: Mapping[str, str]) -> Recipe:
    fields = document.mapping()
    collected = notes(document, served=SERVED, unserved=TASK)
    found = variables(fields.get("envs"), fields.get("secrets")).overridden(given)
    environ = {**environ, **given}
    resources = fields.get("resources") or document.blank()
    machine = machines(resources, found.envs, environ)
    service = serving(fields.get("service"), found.envs, resources.mapping().get("load_balancing_policy"))
    _check_port(service.service.port, machine.alternatives, fields.get("service"))
    engine = _engine(fields.get("engine"))
    setup, run = _script(fields.get("setup")), _script(fields.get("run"))
    _check_what_runs(document, engine, setup, run)
    collected += [
        *_nodes(fields.get("num_nodes")),
        *unresolvable(fields.get("setup")),
        *key_notes(fields.get("run")),
        *found.notes,
        *machine.notes,
        *login_notes(machine.alternatives, resources, {*found.envs, *found.missing, *found.secrets}),
        *service.notes,
    ]
    return Recipe(
        name=_name(fields.get("name"), stem, document),
        resources=machine.alternatives,
        ordered=machine.ordered,
        service=service.service,
        envs=found.envs,
        secrets=found.secrets,
        missing_envs=found.missing,
        setup=setup,
        run=run,
        engine=engine,
        clocks=clocks(fields.get("clocks")) or UNSET,
        notes=tuple(sorted(collected, key=lambda note: (note.line, note.field))),
    )


def _name(value: Value | None, stem: str, document: Value) -> str:
    if value is not None and not value.empty:
        if not NAME.fullmatch(value.string()):
            raise value.refused(f"{shown(value.text)} is not a valid recipe name: {NAME_RULE}")
        return value.string()
    if not NAME.fullmatch(stem):
        raise document.refused(f"the file's name {shown(stem)} is not a valid recipe name: {NAME_RULE}")
    return stem


def _script(value: Value | None) -> str:
    return "" if value is None or value.empty else value.string()


def _nodes(value: Value | None) -> list[Note]:
    if value is None or value.empty or value.whole(minimum=1) == 1:
        return []
    meaning = f"a replica is one machine, not {value.text}; a model that needs several machines cannot be served"
    return [note(value, meaning)]


def _engine(value: Value | None) -> Engine | None:
    if value is None or value.empty:
        return None
    notes(value, served=("kind", "model", "args"), unserved={})
    fields = value.mapping()
    for needed in ("kind", "model"):
        if needed not in fields or fields[needed].empty:
            raise value.refused(f"needs a {needed}")
    kind = fields["kind"].string()
    model = fields["model"].string()
    if not model or not model.isprintable() or len(model) > 200:  # noqa: PLR2004 - the sentence has the number
        raise fields["model"].refused("must be a model's name of at most 200 printable characters")
    args = {
        _flag(name, arg): _scalar(arg) for name, arg in (fields["args"].mapping() if "args" in fields else {}).items()
    }
    for known in ENGINES:
        if kind == known:
            return Engine(kind=known, model=model, args=args)  # type: ignore[arg-type] # one of the literals
    raise fields["kind"].refused(f"unknown engine {shown(kind)}; there are {', '.join(ENGINES)}")


def _flag(name: str, value: Value) -> str:
    if not FLAG.fullmatch(name):
        raise value.refused(f"{shown(name)} is not a valid flag name")
    return name.lstrip("-")


def _scalar(value: Value) -> Scalar:
    if isinstance(value.data, dict | tuple):
        raise value.refused(f"must be one value, not {value.kind}; write JSON as text")
    if isinstance(value.data, float):
        value.number()
    return value.data


def _check_port(port: int | None, alternatives: Iterable[Resources], service: Value | None) -> None:
    if port is None or service is None:
        return
    for resources in alternatives:
        if resources.ports and port not in resources.ports:
            opened = ", ".join(str(p) for p in resources.ports)
            raise service.refused(f"serves on port {port}, but resources.ports opens {opened} only")


def _check_what_runs(document: Value, engine: Engine | None, setup: str, run: str) -> None:
    if engine is not None and (setup or run):
        raise document.mapping()["engine"].refused("engine replaces setup and run; keep either engine or the scripts")
    if engine is None and not run.strip():
        raise document.refused("has nothing to run; add a run script, or engine with kind and model")
