"""PURE: YAML text as a tree of values with line and field, of bounded size and depth."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from recipes.hidden import hidden
from recipes.schema import RecipeError
from recipes.value import MAX_QUOTED, Data, Value, shown

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 40

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CORE = "tag:yaml.org,2002:"
PLAIN_TAGS = {CORE + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")}

COLLECTION_TAGS = {CORE + kind for kind in ("map", "seq", "set")}


def read(raw: bytes, file: str) -> Value:
    """The mapping in `raw`. Raises RecipeError for anything else. Time and memory are bounded."""
    if len(raw) > MAX_BYTES:
        raise RecipeError(f"is {len(raw):,} bytes long; a recipe has at most {MAX_BYTES:,}", file=file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"is not UTF-8 text (byte 0x{raw[error.start]:02x})", file=file, line=line) from error
    try:
        _measure(text, file)
        node = yaml.compose(text, LOADER)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(error.position, 0)) + 1
        raise RecipeError(f"contains a character that YAML forbids: {error.reason}", file=file, line=line) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from error
    if node is None:
        raise RecipeError("is empty; a recipe is a mapping with resources and run, or engine", file=file)
    document = _Tree(file).value(node, line=node.start_mark.line + 1, field="", depth=0)
    if not isinstance(document.data, dict):
        raise RecipeError(f"must be a mapping of fields, not {document.kind}", file=file, line=document.line)
    return document


def _measure(text: str, file: str) -> None:
    """Reject too deep, too large or several documents from the parser's events, before they are composed."""
    depth = nodes = documents = 0
    for event in yaml.parse(text, LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise RecipeError("starts a second document; a recipe is one document", file=file, line=line)
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise RecipeError(f"nests deeper than {MAX_DEPTH} levels", file=file, line=line)
        if nodes > MAX_NODES:
            raise RecipeError(f"has more than {MAX_NODES:,} values", file=file, line=line)


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> RecipeError:
    mark = error.problem_mark or error.context_mark
    problem = " ".join(str(error.problem or error.context or "cannot be parsed").split())
    lines = text.splitlines()
    at = min(mark.line, len(lines) - 1) if mark else -1  # the mark at the end of the text is after the last line
    if at >= 0 and "\t" in lines[at]:
        problem += "; indent with spaces, not tabs"
    return RecipeError(f"is not valid YAML: {problem}", file=file, line=at + 1)


class _Tree:
    """Turns YAML nodes into values. Every visit is counted, so that expanded aliases are bounded, too."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._visits = 0
        self._scalars = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, *, line: int, field: str, depth: int) -> Value:
        self._visits += 1
        if self._visits > MAX_NODES or depth > MAX_DEPTH:
            outermost = re.split(r"[.\[]", field, maxsplit=1)[0]
            raise self._refused("aliases (*name) expand to too many values, or to themselves", line, outermost)
        if isinstance(node, yaml.CollectionNode) and node.tag not in COLLECTION_TAGS:
            raise self._refused(_meaningless(node.tag), line, field)
        data: Data
        match node:
            case yaml.ScalarNode():
                data = self._scalar(node, line, field)
                return Value(file=self._file, line=line, field=field, data=data, text=node.value)
            case yaml.SequenceNode():
                data = tuple(
                    self.value(item, line=item.start_mark.line + 1, field=f"{field}[{at}]", depth=depth + 1)
                    for at, item in enumerate(node.value)
                )
            case _:
                data = self._mapping(node, field, depth)
        return Value(file=self._file, line=line, field=field, data=data)

    def _scalar(self, node: yaml.ScalarNode, line: int, field: str) -> str | int | float | bool | None:
        if node.tag not in PLAIN_TAGS:
            raise self._refused(_meaningless(node.tag), line, field)
        if node.tag in (CORE + "timestamp", CORE + "value", CORE + "merge"):
            return str(node.value)
        try:
            made = self._scalars.construct_object(node)
        except (ValueError, KeyError, IndexError) as error:
            raise self._refused(f"{shown(node.value)} is not a valid value", line, field) from error
        assert made is None or isinstance(made, str | int | float)  # noqa: S101 - the plain tags make no others
        if isinstance(made, str) and (mark := hidden(made)):
            raise self._refused(f"contains the hidden character {mark}; leave it out", line, field)
        return made

    def _mapping(self, node: yaml.Node, field: str, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        merged: list[Value] = []
        for key, content in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise self._refused("a field's name must be text", line, field)
            if mark := hidden(key.value):
                raise self._refused(f"a field's name contains the hidden character {mark}; leave it out", line, field)
            path = f"{field}.{_name(key.value)}" if field else _name(key.value)
            value = self.value(content, line=line, field=path, depth=depth + 1)
            if key.tag == CORE + "merge":
                merged.append(value)
            elif key.value in found:
                raise value.refused(f"is given twice, first in line {found[key.value].line}")
            else:
                found[key.value] = value
        for source in _sources(merged):
            found = {**source, **found}
        return found

    def _refused(self, sentence: str, line: int, field: str) -> RecipeError:
        return RecipeError(sentence, file=self._file, line=line, field=field)


def _meaningless(tag: str) -> str:
    return f"the tag {shown(tag.replace(CORE, '!!'))} is not supported"


def _name(key: str) -> str:
    return key if key.isprintable() and len(key) <= MAX_QUOTED else shown(key)[1:-1]


def _sources(merged: list[Value]) -> Iterator[Mapping[str, Value]]:
    """The mappings that `<<` names, in order of precedence."""
    for value in merged:
        for source in value.data if isinstance(value.data, tuple) else (value,):
            yield source.mapping()
