"""The documentation refers only to existing files, headings, make targets and commands."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from bot.cli.__main__ import main
from bot.slack.http_server import PATHS
from tests.reference.redis_keys import KEYS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
MAKE = re.compile(r"(?<![\w./-])make ([a-z][a-z-]*)")
COMMAND = re.compile(r"(?<!\w)mixtral-bot ([a-z]+)")
OWN = re.compile(r"(?<![\w-])(?:bot|workers|recipes|tests|docs)/[\w./-]+")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
PLACEHOLDER = "NAME"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The text without fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def code(page: Path) -> Iterator[str]:
    """Fenced blocks and inline code."""
    yield from FENCE.findall(page.read_text(encoding="utf-8"))
    yield from CODE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of the headings."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {heading.replace(" ", "-") for heading in plain}


def unresolved(page: Path, link: str) -> bool:
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in anchors(target)


def named(page: Path, pattern: re.Pattern[str]) -> set[str]:
    return {word for text in code(page) for word in pattern.findall(text)}


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = LINK.findall(CODE.sub("", prose(page)))
    assert [link for link in links if "://" not in link and unresolved(page, link)] == []


@each_page
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    assert named(page, MAKE) - targets == set()


@each_page
def test_every_command_that_is_named_exists(page: Path) -> None:
    assert named(page, COMMAND) - set(main.commands) == set()


@each_page
def test_every_file_of_ours_that_is_named_exists(page: Path) -> None:
    files = {path for path in named(page, OWN) if PLACEHOLDER not in path}
    assert {path for path in files if not (ROOT / path).exists()} == set()


def test_something_is_found_to_look_at() -> None:
    readme = ROOT / "README.md"
    assert {"demo", "test"} <= named(readme, MAKE)
    assert {"run", "worker", "gateway", "plan", "check"} <= named(readme, COMMAND)
    assert "docs/gateway.md#measurements" in LINK.findall(prose(readme))
    assert "measurements" in anchors(ROOT / "docs" / "gateway.md")


def test_each_redis_key_that_the_documentation_names_exists() -> None:
    known = {re.sub(r"<.*", "", key) for key in KEYS}
    named_keys = {word for page in PAGES for word in named(page, re.compile(r"(?<!\S)mixtral:[a-z][a-z:]*"))}
    of_a_kind = tuple(one for one in known if one.endswith(":"))
    assert {
        key for key in named_keys if not key.startswith(of_a_kind) and not any(one.startswith(key) for one in known)
    } == set()


def test_slacks_page_states_how_long_each_key_with_texts_of_people_is_kept() -> None:
    rows = [line for line in (ROOT / "docs" / "slack.md").read_text().splitlines() if line.startswith("|")]
    written = {key for key, (_, what) in KEYS.items() if re.search(r"[Pp]rompt|[Cc]onversation|[Tt]hread", what)}
    assert [key for key in written if not any(f"`{re.sub('<.*', '', key)}" in row for row in rows)] == []


def test_slacks_page_names_the_request_urls_that_are_served() -> None:
    page = (ROOT / "docs" / "slack.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`https://YOUR-HOST(/[a-z/]+)`", page)) == set(PATHS)
