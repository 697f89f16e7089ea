"""PURE: the `envs` and `secrets` sections: what a recipe's scripts find in their environment."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from recipes.schema import Note
from recipes.unserved import note
from recipes.value import Value, shown

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
SECRET = re.compile(r"(?:.*_)?(?:TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIALS?)", re.IGNORECASE)
PLACEHOLDER = re.compile(r"\s*|<[^<>]*>")
"""What authors write for a value that everybody must give: nothing, or `<your-token>`."""


class Variables(NamedTuple):
    """What both sections come to."""

    envs: dict[str, str]
    missing: tuple[str, ...]
    secrets: tuple[str, ...]
    notes: list[Note]

    def overridden(self, given: Mapping[str, str]) -> "Variables":
        """With the values that somebody gave for `envs` that the recipe has; a secret's is not taken."""
        mine = {name: value for name, value in given.items() if name in self.envs or name in self.missing}
        missing = tuple(name for name in self.missing if name not in mine)
        return self._replace(envs={**self.envs, **mine}, missing=missing)


def variables(envs: Value | None, secrets: Value | None) -> Variables:
    """Read both sections. A secret's value in the file is never kept: it would be stored with the request."""
    values: dict[str, str] = {}
    missing: list[str] = []
    hidden: dict[str, None] = {}
    told: list[Note] = []
    for name, value in _named(secrets):
        hidden[name] = None
        told += _unused(name, value)
    for name, value in _named(envs):
        text = value.text if not value.empty else ""
        if isinstance(value.data, dict | tuple):
            raise value.refused(f"must be text, not {value.kind}")
        if SECRET.fullmatch(name) and not isinstance(value.data, bool | int | float):
            hidden[name] = None
            told += _unused(name, value)
        elif value.empty or (text and PLACEHOLDER.fullmatch(text)):
            missing.append(name)
        else:
            values[name] = text
    return Variables(values, tuple(missing), tuple(hidden), told)


def _named(section: Value | None) -> list[tuple[str, Value]]:
    if section is None or section.empty:
        return []
    if isinstance(section.data, tuple):  # a list of names alone
        pairs = [(item.string(), item.blank()) for item in section.items()]
    else:
        pairs = list(section.mapping().items())
    for name, value in pairs:
        if not NAME.fullmatch(name):
            raise value.refused(f"{shown(name)} is no name of a variable: letters, digits and _ only")
    return pairs


def _unused(name: str, value: Value) -> list[Note]:
    if value.empty or PLACEHOLDER.fullmatch(value.text):
        return []
    meaning = f"the value in the file is not used: {name} is taken from the worker's environment"
    return [note(value, meaning)]
