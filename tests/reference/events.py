"""The page of the events and of the Redis keys."""

import ast
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import get_args

from tests.reference.redis_keys import KEYS
from tests.reference.source import modules, table
from workers.deployment import events

DECLARED_IN = Path("workers/deployment/events.py")

INTRODUCTION = """# Events and Redis keys

## Events

The log of a deployment is the Redis stream `mixtral:d:<id>`. Each entry contains one event as JSON in the field `e`;
`type` is the name of the event, and the entry's id is `<version>-0`. The state of a deployment is a fold of its log.

A **fact** records what has happened and is appended at the next free version, whatever was appended meanwhile.
A **decision** is appended only at the version that it was made for; if another event was appended first, the decision
is dropped and made again. A field of type `T | None` may be null, and a field with a default may be absent. A duration
is in ISO 8601 (`PT5M`), a time is in UTC, and a `Decimal` is a string."""

REDIS = """## Redis keys

Every key of the product in Redis, besides those of RQ (`rq:…`), whose queues are named `advance` and `ends`."""


def page() -> str:
    classes = {node.name: node for node in modules()[DECLARED_IN].body if isinstance(node, ast.ClassDef)}
    facts = recorded()
    every = f"### Every event\n\n{fields_of(classes['Event'].body)}"
    names = [event.__name__ for event in get_args(events.AnyEvent)]
    listed = [_event(name, classes, "fact" if name in facts else "decision") for name in names]
    rows = [(f"`{key}`", kind, holds) for key, (kind, holds) in sorted(KEYS.items())]
    return "\n\n".join([INTRODUCTION, every, *listed, REDIS, table(("key", "type", "content"), rows)])


def _event(name: str, classes: Mapping[str, ast.ClassDef], kind: str) -> str:
    node = classes[name]
    inherited = [classes[base.id].body for base in node.bases if isinstance(base, ast.Name) and base.id != "Event"]
    fields = fields_of(*inherited, node.body)
    return "\n\n".join(part for part in (f"### {name}", f"*{kind}*. {flat(ast.get_docstring(node))}", fields) if part)


def fields_of(*bodies: Sequence[ast.stmt]) -> str:
    rows = []
    for body in bodies:
        for at, field in enumerate(body):
            match field:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                    default = f"`{ast.unparse(value)}`" if value else ""
                    rows.append((f"`{name}`", f"`{ast.unparse(annotation)}`", default, _meaning(body[at + 1 : at + 2])))
    return table(("field", "type", "default", "meaning"), rows) if rows else ""


def _meaning(after: Sequence[ast.stmt]) -> str:
    match after:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return flat(text)
    return ""


def flat(text: str | None) -> str:
    return " ".join((text or "").split())


@cache
def recorded() -> frozenset[str]:
    """The events that the code appends as facts: by `Log.record`, or by `append` of the observers' recorder.

    Those that are made where a cloud is called are found by what the functions of these modules return.
    """
    names = {event.__name__ for event in get_args(events.AnyEvent)}
    functions = [n for tree in modules().values() for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    made = {name for path, tree in modules().items() if path.name in CALLERS for name in _returned(tree)}
    return frozenset(names & (made | {name for function in functions for name in _recorded_by(function)}))


CALLERS = ("creating.py", "terminating.py")


def _returned(tree: ast.Module) -> set[str]:
    returned = [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns]
    return {name.id for returns in returned for name in ast.walk(returns) if isinstance(name, ast.Name)}


def _recorded_by(function: ast.FunctionDef) -> set[str]:
    made: dict[str, set[str]] = {}
    for node in ast.walk(function):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                made.setdefault(name, set()).update(_called(value))
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and _records(node.func):
            for argument in node.args:
                found |= _called(argument)
                found |= {
                    event
                    for name in ast.walk(argument)
                    if isinstance(name, ast.Name)
                    for event in made.get(name.id, ())
                }
    return found


def _called(node: ast.AST | None) -> set[str]:
    calls = ast.walk(node) if node else ()
    return {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}


def _records(function: ast.expr) -> bool:
    match ast.unparse(function).split("."):
        case [*_, "_log" | "log", "record"]:
            return True
        case [*_, "recorder" | "_recorder" | "self", "append"]:
            return True
    return False


@cache
def keys_in_source() -> dict[str, Path]:
    """Every key in the source, in the form `mixtral:thread:<channel>:<root>`, with one module that uses it."""
    found: dict[str, Path] = {}
    for path, tree in modules().items():
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if id(node) in docstrings | parts:
                continue
            match node:
                case ast.Constant(value=str(text)) if re.fullmatch(r"mixtral:[a-z:]+", text):
                    found[text] = path
                case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]) if re.match(r"mixtral:[a-z]", start):
                    found["".join(map(_part, node.values))] = path
                case ast.JoinedStr(values=[ast.FormattedValue(value=ast.Name(id="KEYS")), *rest]):
                    found["".join(["mixtral:keys", *map(_part, rest)])] = path
    return found


def _part(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=value):
            return f"<{ast.unparse(value).rsplit('.', 1)[-1]}>"
    raise AssertionError(ast.dump(node))
