"""Prints the branch coverage of the last run, one line per package: `make test COVERAGE=1`."""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator

COUNTS = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def main() -> None:
    """Read the report of `coverage json -o -` from standard input."""
    print("\n".join(lines(json.load(sys.stdin))))


def lines(report: dict) -> Iterator[str]:
    packages: dict[str, Counter[str]] = defaultdict(Counter)
    for file, of_file in report["files"].items():
        for name in (_package(file), "all"):
            packages[name].update({count: of_file["summary"][count] for count in COUNTS})
    yield f"{'package':<24}{'lines':>8}{'covered':>9}{'branches':>10}{'covered':>9}"
    for name in [*sorted(packages.keys() - {"all"}), "all"]:
        statements, covered, branches, taken = (packages[name][count] for count in COUNTS)
        yield f"{name:<24}{statements:>8}{_share(covered, statements):>9}{branches:>10}{_share(taken, branches):>9}"


def _package(file: str) -> str:
    """The first two levels of the package: `workers.clouds`."""
    return ".".join(file.split("/")[:-1][:2])


def _share(covered: int, of: int) -> str:
    return f"{100 * covered / of:.0f} %" if of else "-"


if __name__ == "__main__":
    main()
