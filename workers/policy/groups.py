"""PURE: the section `groups` of a policy: names for people, which the rules use."""

import re
from collections.abc import Mapping

from recipes.value import Value, shown

EVERYONE = "everyone"
"""All members of the workspace and people of companies that are let in, without guests."""
GUESTS = "guests"

USER_GROUP = re.compile(r"S[A-Z0-9]{2,}")
_PERSON = re.compile(r"[UW][A-Z0-9]{2,}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")

Groups = Mapping[str, tuple[str, ...]]


def read(value: Value) -> dict[str, tuple[str, ...]]:
    """The members of each group: ids of people and of Slack's user groups. Raises RecipeError."""
    fields = value.mapping()
    for name, group in fields.items():
        if not _NAME.fullmatch(name) or name in (EVERYONE, GUESTS):
            raise group.refused(f"{shown(name)} cannot name a group: write lower-case letters, digits and hyphens")
    known: dict[str, tuple[str, ...]] = {}
    for name in fields:
        _members(name, fields, (), known)
    return {name: known[name] for name in fields}


def people(value: Value, known: Groups) -> tuple[str, ...]:
    """The people that a list names, with the members of named groups instead of the groups. Raises RecipeError."""
    found: list[str] = []
    for item in value.items():
        text = item.string()
        if text in known:
            found += known[text]
        elif text in (EVERYONE, GUESTS) or _PERSON.fullmatch(text) or USER_GROUP.fullmatch(text):
            found.append(text)
        else:
            raise item.refused(_unknown(text, known))
    if not found:
        raise value.refused("is empty: list at least one person, or leave it out for all people")
    return tuple(dict.fromkeys(found))


def user_groups(value: Value) -> list[Value]:
    """Every mention of a user group of Slack in a policy, so that the bot can look them up."""
    match value.data:
        case dict():
            return [found for inner in value.data.values() for found in user_groups(inner)]
        case tuple():
            return [found for inner in value.data for found in user_groups(inner)]
        case str() if USER_GROUP.fullmatch(value.text):
            return [value]
        case _:
            return []


def _members(
    name: str, fields: Mapping[str, Value], path: tuple[str, ...], known: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """`known`: gets the members of each group that was read, so that each is read once."""
    if name in known:
        return known[name]
    group = fields[name]
    if name in path:
        cycle = " → ".join((*path[path.index(name) :], name))
        raise group.refused(f"contains itself ({cycle}): remove one of these members")
    found: list[str] = []
    for item in group.items():
        text = item.string()
        if text in fields:
            found += _members(text, fields, (*path, name), known)
        elif _PERSON.fullmatch(text) or USER_GROUP.fullmatch(text):
            found.append(text)
        else:
            raise item.refused(_unknown(text, fields))
    known[name] = tuple(dict.fromkeys(found))
    return known[name]


def _unknown(text: str, known: Mapping[str, object]) -> str:
    named = f"; the groups are {', '.join(known)}" if known else ""
    return (
        f"{shown(text)} is unknown: write the id of a person (U…) or of a user group (S…), a name from `groups`{named}"
    )
