"""The printed table of a bench: each row when it is measured, and all of them at the end."""

import sys
from collections.abc import Iterable
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

Row: TypeAlias = tuple[str, str, str]
"""What was measured, the value, and a reference value."""


def show(title: str, rows: Iterable[Row]) -> None:
    """Print each row to stderr as soon as it is measured, then the table to stdout."""
    table = Table("what", "measured", "reference", box=None, title=title, title_justify="left")
    for row in rows:
        print(*row, sep=" | ", file=sys.stderr, flush=True)
        table.add_row(*row)
    Console().print(table)
