"""PURE: the `envs` and `secrets` sections: environment variables of the recipe's scripts."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from recipes.schema import Note
from recipes.unserved import note
from recipes.value import Value, shown

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
SECRET = re.compile(r"(?:.*_)?(?:TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIALS?)", re.IGNORECASE)
PLACEHOLDER = re.compile(r"\s*|<[^<>]*>")
"""A value that the launcher must give: empty, or a placeholder such as `<your-token>`."""


class Variables(NamedTuple):
    """Both sections, parsed."""

    envs: dict[str, str]
    missing: tuple[str, ...]
    secrets: tuple[str, ...]
    notes: list[Note]

    def overridden(self, given: Mapping[str, str]) -> "Variables":
        """A copy with the values in `given` instead of the recipe's. Secrets and names outside `envs` are ignored."""
        mine = {name: value for name, value in given.items() if name in self.envs or name in self.missing}
        missing = tuple(name for name in self.missing if name not in mine)
        return self._replace(envs={**self.envs, **mine}, missing=missing)


def variables(envs: Value | None, secrets: Value | None) -> Variables:
    """Read both sections. A secret's value in the file is dropped, because recipes are stored in the log."""
    values: dict[str, str] = {}
    missing: list[str] = []
    hidden: dict[str, None] = {}
    collected: list[Note] = []
    for name, value in _named(secrets):
        hidden[name] = None
        collected += _unused(name, value)
    for name, value in _named(envs):
        text = value.text if not value.empty else ""
        if isinstance(value.data, dict | tuple):
            raise value.refused(f"must be text, not {value.kind}")
        if SECRET.fullmatch(name) and not isinstance(value.data, bool | int | float):
            hidden[name] = None
            collected += _unused(name, value)
        elif value.empty or (text and PLACEHOLDER.fullmatch(text)):
            missing.append(name)
        else:
            values[name] = text
    return Variables(values, tuple(missing), tuple(hidden), collected)


def _named(section: Value | None) -> list[tuple[str, Value]]:
    if section is None or section.empty:
        return []
    if isinstance(section.data, tuple):  # a list of names
        pairs = [(item.string(), item.blank()) for item in section.items()]
    else:
        pairs = list(section.mapping().items())
    for name, value in pairs:
        if not NAME.fullmatch(name):
            raise value.refused(f"{shown(name)} is not a valid variable name: letters, digits and _ only")
    return pairs


def _unused(name: str, value: Value) -> list[Note]:
    if value.empty or PLACEHOLDER.fullmatch(value.text):
        return []
    meaning = f"the value in the file is not used: {name} is taken from the worker's environment"
    return [note(value, meaning)]
