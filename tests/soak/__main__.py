"""`make soak`: a long soak, printed and written to docs/soak.md. Exit status 1 if something was lost or has grown."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.soak.soak_report import grown, page, tables
from tests.soak.soaking import EPOCH, Wrong, soaked

DOCS = Path(__file__).parents[2] / "docs"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--page", type=Path, default=DOCS / "soak.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mixtral-soak-") as folder:
        try:
            outcome = soaked(Path(folder), seed=args.seed, seconds=args.minutes * 60)
        except Wrong as wrong:
            sys.exit(f"{wrong}")
    console = Console(width=160, emoji=False)
    for table in tables(outcome):
        console.print(table)
    args.page.write_text(page(outcome, min(EPOCH, args.minutes * 60)))
    if found := grown(outcome):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
