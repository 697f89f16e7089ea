"""The pages of docs/reference, generated from the code."""

from functools import cache

from tests.reference import cases, commands, events, policy, rights, settings
from tests.reference.source import ROOT

FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Generated from the code by `make reference`. Do not edit. -->\n\n"


@cache
def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    written = {
        "settings.md": settings.page(),
        "commands.md": commands.page(),
        "events.md": events.page(),
        "rights.md": rights.page(),
        "policy.md": policy.page(),
        "cases.md": cases.page(),
    }
    return {name: f"{NOTE}{text.rstrip()}\n" for name, text in written.items()}


def stale() -> list[str]:
    """The pages whose file is missing or differs from the code."""
    files = {name: FOLDER / name for name in pages()}
    return [name for name, file in files.items() if not file.exists() or file.read_text() != pages()[name]]
