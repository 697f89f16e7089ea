"""PURE: one node of a recipe's YAML: its value with line and field, typed access, and errors that name them."""

import json
import math
from typing import Any, TypeAlias

from msgspec import Struct

from recipes.schema import RecipeError

MAX_NUMBER = 1e15
MAX_QUOTED = 60
"""Maximum number of characters of a file's text that an error quotes."""

Data: TypeAlias = "str | int | float | bool | tuple[Value, ...] | dict[str, Value] | None"


class Value(Struct, frozen=True, kw_only=True):
    """One node of the document."""

    file: str
    line: int
    """Line of its key, or of the value if it has no key; counted from 1."""
    field: str
    """Dotted path: `resources.any_of[1].ports`."""
    data: Data
    text: str = ""
    """A scalar as it is written in the file, before YAML converts it."""

    def refused(self, sentence: str) -> RecipeError:
        """The error for this node."""
        return RecipeError(sentence, file=self.file, line=self.line, field=self.field)

    @property
    def empty(self) -> bool:
        return self.data is None

    def blank(self) -> "Value":
        """An empty value with the same file, line and field."""
        return Value(file=self.file, line=self.line, field=self.field, data=None)

    def mapping(self) -> dict[str, "Value"]:
        """Its fields; empty for null."""
        if self.data is None:
            return {}
        if not isinstance(self.data, dict):
            raise self.refused(f"must be a mapping of fields, not {self.kind}")
        return self.data

    def items(self) -> tuple["Value", ...]:
        if not isinstance(self.data, tuple):
            raise self.refused(f"must be a list, not {self.kind}")
        return self.data

    def string(self) -> str:
        """The text of a scalar. Raises RecipeError for null, a list or a mapping."""
        if isinstance(self.data, dict | tuple) or self.data is None:
            raise self.refused(f"must be text, not {self.kind}")
        return self.text

    def number(self) -> float:
        """A finite number, or text that contains one."""
        match self.data:
            case bool():
                raise self.refused(f"must be a number, not {self.kind}")
            case int() | float():
                number = self.data
            case str():
                try:
                    number = float(self.data)
                except ValueError:
                    raise self.refused(f"must be a number, not {shown(self.text)}") from None
            case _:
                raise self.refused(f"must be a number, not {self.kind}")
        if abs(number) > MAX_NUMBER or not math.isfinite(number):  # in this order: an int may be too large for a float
            raise self.refused(f"must be a number of ordinary size, not {shown(self.text)}")
        return number

    def whole(self, *, minimum: int, maximum: int | None = None) -> int:
        number = self.number()
        if number != int(number):
            raise self.refused(f"must be a whole number, not {shown(self.text)}")
        if number < minimum or (maximum is not None and number > maximum):
            bounds = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
            raise self.refused(f"must be {bounds}, not {shown(self.text)}")
        return int(number)

    def boolean(self) -> bool:
        if not isinstance(self.data, bool):
            raise self.refused(f"must be true or false, not {shown(self.text) if self.text else self.kind}")
        return self.data

    def plain(self) -> Any:
        """The value as JSON types."""
        match self.data:
            case dict():
                return {key: value.plain() for key, value in self.data.items()}
            case tuple():
                return [value.plain() for value in self.data]
            case float() if not math.isfinite(self.data):
                raise self.refused(f"must be a number of ordinary size, not {shown(self.text)}")
            case _:
                return self.data

    @property
    def kind(self) -> str:
        match self.data:
            case None:
                return "empty"
            case bool():
                return "true or false"
            case int() | float():
                return f"the number {shown(self.text)}"
            case str():
                return f"the text {shown(self.text)}"
            case tuple():
                return "a list"
            case _:
                return "a mapping"


def shown(text: str) -> str:
    """Text from a file for an error: quoted, shortened to MAX_QUOTED characters, without unprintable characters."""
    seen = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return f'"{seen[: MAX_QUOTED - 3]}…"' if len(seen) > MAX_QUOTED else f'"{seen}"'


def as_json(value: Value) -> dict[str, Any]:
    """A mapping, or text that contains a JSON object."""
    if isinstance(value.data, str):
        try:
            made = json.loads(value.data)
        except (json.JSONDecodeError, RecursionError) as error:
            raise value.refused("is not valid JSON") from error
    else:
        made = value.plain()
    if not isinstance(made, dict):
        raise value.refused(f"must be a mapping of fields, not {value.kind}")
    return made
