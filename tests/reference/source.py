"""The product's source as syntax trees, and its constants."""

import ast
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "workers", "recipes")


@cache
def modules() -> dict[Path, ast.Module]:
    """Every module of the product, without the sandboxes, by its path under ROOT."""
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    paths = [file.relative_to(ROOT) for file in files if "sandbox" not in file.parts[len(ROOT.parts) :]]
    return {path: ast.parse((ROOT / path).read_text()) for path in paths}


@cache
def constants(path: Path) -> dict[str, frozenset[str]]:
    """The strings of each constant of a module, and of each one that it imports: one string, or those of a tuple."""
    found: dict[str, frozenset[str]] = {}
    for node in modules()[path].body:
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                source = Path(f"{module.replace('.', '/')}.py")
                theirs = constants(source) if source in modules() else {}
                found |= {name.asname or name.name: theirs[name.name] for name in names if name.name in theirs}
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if texts := strings(value):
                found[name] = texts
    return found


def strings(node: ast.AST) -> frozenset[str]:
    """The string of a literal, or the strings of a literal tuple or list."""
    match node:
        case ast.Constant(value=str(text)):
            return frozenset({text})
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return frozenset(text for part in parts for text in strings(part))
    return frozenset()


def row(*cells: str) -> str:
    """A line of a Markdown table."""
    clean = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(clean)} |"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join([row(*head), row(*("---",) * len(head)), *(row(*cells) for cells in rows)])
