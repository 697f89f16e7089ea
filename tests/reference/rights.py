"""The page of actions and people, from the table that a test runs."""

from tests.rights import CELLS, COLUMNS, rows

INTRODUCTION = """# Who may do what

Each row is an action, each column a person. `tests/unit/bot/test_rights.py` tests every cell with payloads as Slack
sends them. Unless the column states another place, the deployment was launched in a private channel, and the person
acts in a public one.
"""


def page() -> str:
    """The text of docs/reference/rights.md."""
    people = [f"| {column} | {described} |" for column, described in COLUMNS.items()]
    header = f"| | {' | '.join(COLUMNS)} |"
    deeds = [f"| {' | '.join(row)} |" for row in rows()]
    words = [f"| {word} | {meaning} |" for word, meaning in CELLS.items()]
    parts = [
        INTRODUCTION,
        *("## The table\n", header, f"|---{'|---' * len(COLUMNS)}|", *deeds, ""),
        *("## The people\n", "| column | person |", "|---|---|", *people, ""),
        *("## The words\n", "| cell | meaning |", "|---|---|", *words),
    ]
    return "\n".join(parts)
