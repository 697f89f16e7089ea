"""PURE: the policy of an installation: the YAML file of `MIXTRAL_POLICY` as frozen types."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any

from msgspec import Struct

from recipes.document import read as read_document
from recipes.schema import RecipeError
from recipes.value import Value
from workers.policy import approvals, budgets, clocks, groups, key_limits, rules
from workers.policy.approvals import Approvals
from workers.policy.budgets import BudgetPolicy
from workers.policy.clocks import Clocks
from workers.policy.key_limits import KeyLimits
from workers.policy.rules import Rule

SECTIONS: dict[str, Callable[[Value], Any]] = {
    "groups": groups.read,
    "rules": rules.read,
    "approvals": approvals.read,
    "budgets": budgets.read,
    "clocks": clocks.read,
    "keys": key_limits.read,
}


class Policy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for all deployments of an installation. The defaults hold without a file."""

    groups: dict[str, tuple[str, ...]] = {}
    rules: tuple[Rule, ...] = ()
    approvals: Approvals = Approvals()
    budgets: BudgetPolicy = BudgetPolicy()
    clocks: Clocks = Clocks()
    keys: KeyLimits = KeyLimits()


class PolicyError(RecipeError):
    """A policy is refused as a whole: one sentence with file, line and field."""


def mentioned_groups(raw: bytes, file: str) -> list[Value]:
    """Every mention of a user group of Slack in a policy. Raises PolicyError."""
    try:
        return groups.user_groups(read_document(raw, file)) if _says_something(raw) else []
    except RecipeError as error:
        raise PolicyError(error.sentence, file=error.file, line=error.line, field=error.field) from error


def policy_of(raw: bytes, file: str) -> Policy:
    """The policy in the bytes of a YAML file. Raises PolicyError."""
    if not _says_something(raw):
        return Policy()
    try:
        fields = read_document(raw, file).mapping()
        for name, value in fields.items():
            if name not in SECTIONS:
                near = get_close_matches(name, SECTIONS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the sections are {', '.join(SECTIONS)}"
                raise value.refused(f"{name} is no section of a policy: {hint}")
        named = groups.read(fields["groups"]) if "groups" in fields else {}
        readers = SECTIONS | {"rules": partial(rules.read, groups=named)}
        return Policy(**{name: readers[name](value) for name, value in fields.items() if not value.empty})
    except RecipeError as error:
        raise PolicyError(error.sentence, file=error.file, line=error.line, field=error.field) from error


def _says_something(raw: bytes) -> bool:
    """Whether there is more than comments."""
    return any(line and not line.startswith(b"#") for line in map(bytes.strip, raw.splitlines()))
