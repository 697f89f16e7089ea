"""The modules marked PURE are exactly those that the import contract lists."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACT = "what bears the mark PURE imports no I/O and no clock"


def marked() -> set[str]:
    """The product's modules whose docstring begins with `PURE:`."""
    files = (file for package in ("bot", "workers", "recipes") for file in (ROOT / package).rglob("*.py"))
    docstrings = {file: ast.get_docstring(ast.parse(file.read_text())) or "" for file in files}
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file, docstring in docstrings.items()
        if docstring.startswith("PURE: ")
    }


def test_the_contract_names_each_module_that_bears_the_mark_and_no_other():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [contract for contract in contracts if contract["name"] == CONTRACT]
    assert set(contract["source_modules"]) == marked()


def test_a_module_that_calls_itself_pure_says_so_by_the_mark():
    files = (file for package in ("bot", "workers", "recipes") for file in (ROOT / package).rglob("*.py"))
    docstrings = {file: (ast.get_docstring(ast.parse(file.read_text())) or "").lower() for file in files}
    unmarked = [
        file for file, docstring in docstrings.items() if "pure" in docstring.split() and "pure: " not in docstring[:6]
    ]
    assert unmarked == []
