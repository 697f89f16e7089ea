"""Estimates the lines of a message on a screen of 1400 pixels, where the column of text is about 720 pixels wide."""

import html
import re

from bot.slack.message import JSON

TEXT, SMALL, CODE, TASK = 100, 110, 82, 86
"""Characters in a line of a section, of a context, of a code block, and of a task."""

_LINK = re.compile(r"<[^|>]*\|([^>]*)>|<([@#][^>]*)>")
_MARKUP = re.compile(r"[*_`]")


def lines(blocks: tuple[JSON, ...]) -> int:
    """The lines of text of the blocks; a row of buttons is one."""
    return sum(_block(block) for block in blocks)


def _block(block: JSON) -> int:
    match block["type"]:
        case "section":
            return _mrkdwn(block["text"]["text"], TEXT)
        case "context":
            return sum(_mrkdwn(element["text"], SMALL) for element in block["elements"])
        case "plan":
            return 1 + sum(_task(task) for task in block["tasks"])
        case "header" | "actions":
            return 1
        case other:
            raise AssertionError(other)


def _task(task: JSON) -> int:
    said = [piece["text"] for part in task.get("details", {}).get("elements", ()) for piece in part["elements"]]
    return _wrapped(task["title"], TASK) + (_wrapped("".join(said), TASK) if said else 0)


def _mrkdwn(text: str, width: int) -> int:
    shown, is_code = 0, False
    for part in text.split("```"):
        for line in part.strip("\n").split("\n") if part.strip("\n") else ():
            shown += _wrapped(line if is_code else _plain(line), CODE if is_code else width)
        is_code = not is_code
    return shown


def _plain(line: str) -> str:
    line = line.removeprefix("> ")
    return _MARKUP.sub("", html.unescape(_LINK.sub(lambda found: found[1] or "@Somebody", line)))


def _wrapped(line: str, width: int) -> int:
    """By words, as a browser does."""
    count, used = 1, 0
    for word in line.split(" "):
        if used and used + 1 + len(word) > width:
            count, used = count + 1, 0
        used += len(word) + bool(used)
        if used > width:
            count, used = count + (used - 1) // width, (used - 1) % width + 1
    return count
