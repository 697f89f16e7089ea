"""No two modules and no two public classes of the product share a name without a reason."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.reference.source import modules

IN_EACH_CLOUD = "each cloud has one, with the same task"
PACKAGES_OWN = "each package has its own"
PROCESS = "wires one process"
PROCESS_POOL = "each process has its own pool: of workers, of answers"
SHOWS_IT = "the view shows what the other module holds"

MODULES = {
    "__init__.py": "Python's name",
    "__main__.py": "Python's name",
    "errors.py": PACKAGES_OWN,
    "run.py": PROCESS,
    "settings.py": PROCESS,
    "client.py": IN_EACH_CLOUD,
    "driver.py": IN_EACH_CLOUD,
    "findings.py": IN_EACH_CLOUD,
    "deep_findings.py": IN_EACH_CLOUD,
    "instance.py": IN_EACH_CLOUD,
    "launch.py": IN_EACH_CLOUD,
    "network.py": IN_EACH_CLOUD,
    "quota.py": IN_EACH_CLOUD,
    "quotes.py": IN_EACH_CLOUD,
    "details.py": "the view of a screen",
    "ladder.py": SHOWS_IT,
    "replicas.py": SHOWS_IT,
    "schema.py": "the types of one kind of file",
    "pool.py": PROCESS_POOL,
    "budgets.py": "of calls to Slack, and of the policy: each is called so where it is used",
}
"""Basenames that several modules may have, with the reason."""


def test_no_two_modules_share_a_basename_without_a_reason():
    shared = _shared({path: [path.name] for path in modules()})
    surprising = {name: paths for name, paths in shared.items() if name not in MODULES}
    assert not surprising, "Rename one of them so that its name tells them apart, or give a reason in MODULES."


def test_no_two_modules_define_a_public_class_of_one_name():
    shared = _shared({path: _public(tree) for path, tree in modules().items()})
    assert shared == {}, "Rename one of them so that its name tells them apart."


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"__main__.py"}))
def test_a_reason_is_given_only_for_a_module_that_needs_it(name):
    assert name in _shared({path: [path.name] for path in modules()}), "Delete the reason: the name is used once."


def _shared(names: dict[Path, list[str]]) -> dict[str, list[str]]:
    """The names that several modules have, with these modules."""
    found = defaultdict(list)
    for path, some in names.items():
        for name in some:
            found[name].append(str(path))
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def _public(tree: ast.Module) -> list[str]:
    names = []
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name):
                names.append(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias")):
                names.append(name)
    return [name for name in names if not name.startswith("_")]
