"""The page of the settings, and the environment variables that the source reads."""

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bot.settings import SETTINGS as BOT_SETTINGS
from tests.reference.source import constants, modules, strings, table
from workers.clouds.local.host import HANDED_ON, HANDED_ON_PREFIXES
from workers.settings_table import SETTINGS, Setting

ENVIRONMENTS = re.compile(r"_?(environ|env)")
"""Names of variables that hold an environment in the code."""

BY_RECIPE = {"workers/deployment/confidential.py": "a recipe's `secrets` name the variables"}
"""Modules that read variables whose names are not in the code, with the reason."""

INTRODUCTION = """# Settings

Every environment variable that the product reads. A duration is a number and a unit: `90s`, `30m`, `24h`, `2d`;
without a unit, seconds. *Read by* lists the commands of `mixtral-bot` that use the value; `engine` is the process that
serves the model.
The value of a secret is never shown, logged or stored in an event."""

FURTHER = """## Further variables

- **Secrets of recipes.** The variables that a recipe names under `secrets`, for example `HF_TOKEN`, are read by the
  worker and passed to the machine at its launch.
- **AWS.** boto3's own chain of credentials and configuration applies. Further `AWS_…` variables have the meaning that
  boto3 gives them.
- **GCP.** Google's application default credentials apply.
- **`local`.** A replica on the cloud `local` inherits these variables of the worker and no others: {names}; and those
  that begin with {prefixes}."""


def declared() -> tuple[Setting, ...]:
    """The settings of the bot, then those of the workers."""
    return BOT_SETTINGS + SETTINGS


def page() -> str:
    groups = {"Slack": [], "mixtral-bot": [], "Clouds and system": []}
    for setting in declared():
        slack = setting in BOT_SETTINGS
        ours = setting.name.startswith(("MIXTRAL_", "REDIS_"))
        groups["Slack" if slack else "mixtral-bot" if ours else "Clouds and system"].append(setting)
    listed = {
        title: table(("variable", "default", "read by", "meaning"), _rows(some)) for title, some in groups.items()
    }
    names = ", ".join(f"`{name}`" for name in sorted(HANDED_ON))
    prefixes = ", ".join(f"`{prefix}`" for prefix in HANDED_ON_PREFIXES)
    sections = [f"## {title}\n\n{rows}" for title, rows in listed.items()]
    return "\n\n".join([INTRODUCTION, *sections, FURTHER.format(names=names, prefixes=prefixes)])


def _rows(settings: list[Setting]) -> list[tuple[str, ...]]:
    return [
        (
            f"`{setting.name}`",
            f"`{setting.default}`" if setting.default else "",
            setting.read_by,
            f"{setting.meaning} Secret." if setting.secret else setting.meaning,
        )
        for setting in settings
    ]


@cache
def read() -> tuple[dict[str, Path], list[str]]:
    """The variables that the source reads, each with one module that reads it; and the reads that are not resolved."""
    found: dict[str, Path] = {}
    unclear: list[str] = []
    for path, tree in modules().items():
        reader = Reader(constants(path), tree)
        reader.visit(tree)
        found |= dict.fromkeys(reader.found, path)
        if str(path) not in BY_RECIPE:
            unclear += [f"{path}:{line}" for line in reader.unclear]
    return found, unclear


class Reader(ast.NodeVisitor):
    """Finds `environ.get(X)`, `environ.pop(X)`, `environ[X]` and `f(environ, X)` in one module."""

    def __init__(self, known: Mapping[str, frozenset[str]], tree: ast.Module) -> None:
        self._constants = known
        self.found: set[str] = set()
        self.unclear: list[int] = []
        self._aliases = {
            node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _method(node.value)
        }
        self._bound: list[dict[str, frozenset[str] | None]] = [{}]
        """Parameters (None: the callers pass the name), and loop variables with the strings that they run over."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self._inside({argument.arg: None for argument in arguments}, node)

    def visit_comprehension_of(self, node: ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp) -> None:
        loops = {
            g.target.id: self._names(g.iter) or frozenset() for g in node.generators if isinstance(g.target, ast.Name)
        }
        self._inside(loops, node)

    visit_GeneratorExp = visit_comprehension_of  # noqa: N815 - ast's names
    visit_ListComp = visit_comprehension_of  # noqa: N815
    visit_SetComp = visit_comprehension_of  # noqa: N815
    visit_DictComp = visit_comprehension_of  # noqa: N815

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if _is_environment(node.value) and isinstance(node.ctx, ast.Load):
            self._note(node.slice)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if any(_is_environment(right) for right in node.comparators) and isinstance(node.ops[0], ast.In | ast.NotIn):
            self._note(node.left)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        aliased = isinstance(node.func, ast.Name) and node.func.id in self._aliases
        if node.args and (aliased or _method(node.func)):
            self._note(node.args[0])
        elif any(_is_environment(argument) for argument in node.args):
            self.found |= {
                text for argument in node.args for text in self._names(argument) or () if VARIABLE.fullmatch(text)
            }
        self.generic_visit(node)

    def _inside(self, names: dict[str, frozenset[str] | None], node: ast.AST) -> None:
        self._bound.append(self._bound[-1] | names)
        self.generic_visit(node)
        self._bound.pop()

    def _note(self, key: ast.expr) -> None:
        names = self._names(key)
        if names is None:
            return
        if not names:
            self.unclear.append(key.lineno)
        self.found |= names

    def _names(self, node: ast.expr) -> frozenset[str] | None:
        """The names that an expression evaluates to. None: a parameter; empty: unknown."""
        match node:
            case ast.Name(id=name) if name in self._bound[-1]:
                return self._bound[-1][name]
            case ast.Name(id=name):
                return self._constants.get(name, frozenset())
        return strings(node)


VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+")


def _is_environment(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return ENVIRONMENTS.fullmatch(name) is not None
    return False


def _method(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(value=value, attr="get" | "pop" | "setdefault"):
            return _is_environment(value)
        case ast.Attribute(value=ast.Name(id="os"), attr="getenv"):
            return True
    return False
