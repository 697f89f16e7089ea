"""The table of actions and people. A test runs every cell, and docs/reference/rights.md shows it."""

from typing import NamedTuple

COLUMNS = {
    "launcher": "the person who launched it",
    "admin": "a person in `MIXTRAL_ADMINS`",
    "member": "a member of the private channel in which it was launched",
    "colleague": "a person of the workspace who cannot read that channel",
    "guest": "a guest of the workspace, in the public channel in which it was launched",
    "sibling": "a person of another workspace of the same enterprise, in that channel",
    "external": "a person of another company, in the shared channel in which it was launched",
    "invited": "the same person, if `MIXTRAL_SLACK_TEAMS` names their company",
    "forged": "a colleague who sends a button or a modal with the id of a deployment that they cannot see",
    "stale": "the launcher, after it has ended",
    "nobody": "a payload without a user",
}

CELLS = {
    "yes": "it is done",
    "listed": "it is in the list",
    "hidden": "the list is shown without it",
    "unknown": "the same answer as for a name or an id that does not exist",
    "others": "refused, with the names of the people who may do it",
    "shown": "what is set is shown, with the people who may change it",
    "no guest": "refused: a launch costs money",
    "not in": "refused: the person is not in the channel that the payload names",
    "stranger": "refused, with one private sentence (for mentions and direct messages: one per channel and day)",
    "silent": "nothing happens, and no message is shown",
    "ended": "refused: it has ended",
    "own": "refused: they may do it themselves",
    "theirs": "refused: it is for another person, here the member",
    "end": "it is done, and shows the end",
    "who": "refused: the payload names no user",
    "-": "cannot occur",
}

TABLE = """
deed              launcher admin   member  colleague guest    sibling external invited forged  stale   nobody
launch            yes      yes     yes     yes       no guest yes     stranger yes     -       -       who
status            listed   listed  listed  hidden    listed   listed  stranger listed  -       hidden  who
status by mention listed   listed  listed  hidden    listed   listed  stranger listed  -       hidden  silent
status NAME       yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   who
ask NAME          yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   who
mention           yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   silent
thread reply      yes      yes     yes     yes       yes      yes     silent   yes     -       ended   silent
stop an answer    yes      yes     yes     yes       yes      yes     silent   yes     -       -       -
direct message    yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   silent
logs              yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   who
details button    yes      yes     yes     -         yes      yes     stranger yes     unknown end     silent
details refresh   yes      yes     yes     -         yes      yes     stranger yes     unknown end     silent
logs button       yes      yes     yes     -         yes      yes     stranger yes     unknown end     silent
endpoint          yes      yes     others  unknown   others   others  stranger others  -       ended   who
endpoint button   yes      yes     others  -         others   others  stranger others  unknown ended   silent
key new           yes      yes     others  unknown   others   others  stranger others  -       ended   who
key list          yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   who
key revoke        yes      yes     others  unknown   others   others  stranger others  -       ended   who
scale             yes      yes     others  unknown   others   others  stranger others  -       ended   who
scale button      yes      yes     others  -         others   others  stranger others  unknown ended   silent
scale modal       yes      yes     others  -         others   others  stranger others  unknown ended   who
down              yes      yes     others  unknown   others   others  stranger others  -       ended   who
command button    yes      yes     others  -         others   others  stranger others  unknown ended   silent
confirm button    yes      yes     others  -         others   others  stranger others  unknown ended   silent
confirm modal     yes      yes     others  -         others   others  stranger others  unknown ended   who
drop button       yes      yes     yes     -         yes      yes     stranger yes     -       -       silent
approve button    others   yes     others  others    others   others  stranger others  others  -       silent
deny button       others   yes     others  others    others   others  stranger others  others  -       silent
deny modal        others   yes     others  others    others   others  stranger others  others  -       who
launch form       yes      yes     yes     yes       no guest yes     stranger yes     -       -       silent
form submitted    yes      yes     yes     yes       no guest yes     stranger yes     not in  -       who
down button       yes      yes     others  -         others   others  stranger others  unknown ended   silent
down modal        yes      yes     others  -         others   others  stranger others  unknown ended   who
keep trying       yes      yes     others  -         others   others  stranger others  unknown ended   silent
keep button       yes      yes     others  -         others   others  stranger others  unknown ended   silent
scale to 0        yes      yes     others  -         others   others  stranger others  unknown ended   silent
ask the launcher  own      own     yes     -         yes      yes     stranger yes     unknown ended   silent
ask modal         own      own     yes     -         yes      yes     stranger yes     unknown ended   who
grant button      yes      yes     others  -         others   others  stranger others  unknown ended   silent
decline button    yes      yes     others  -         others   others  stranger others  unknown ended   silent
key button        theirs   theirs  yes     -         theirs   theirs  stranger theirs  theirs  theirs  silent
choose button     yes      yes     yes     -         yes      yes     stranger yes     unknown ended   silent
ask button        yes      yes     yes     -         yes      yes     stranger yes     unknown ended   silent
ask form          yes      yes     yes     -         yes      yes     stranger yes     unknown ended   who
ask by shortcut   listed   listed  listed  hidden    listed   listed  stranger listed  -       hidden  silent
config            yes      yes     shown   shown     shown    shown   stranger shown   -       -       who
config form       yes      yes     others  others    others   others  stranger others  others  -       who
config reset      yes      yes     others  others    others   others  stranger others  others  -       silent
stop button       yes      yes     yes     yes       yes      yes     stranger yes     unknown -       silent
regenerate button yes      yes     yes     yes       yes      yes     stranger yes     unknown ended   silent
model button      yes      yes     yes     -         yes      yes     stranger yes     unknown ended   silent
feedback button   yes      yes     yes     yes       yes      yes     stranger yes     unknown ended   silent
cost              listed   listed  listed  hidden    listed   listed  stranger listed  -       listed  who
home              listed   listed  listed  hidden    listed   listed  stranger listed  -       listed  silent
"""


class Cell(NamedTuple):
    deed: str
    who: str
    given: str


def cells() -> list[Cell]:
    """Every cell of the table that can occur."""
    return [Cell(row[0], who, given) for row in rows() for who, given in zip(COLUMNS, row[1:], strict=True)]


def rows() -> list[list[str]]:
    """The actions with their cells, in the order of COLUMNS."""
    header, *lines = TABLE.strip().splitlines()
    starts = [header.index(name) for name in ("deed", *COLUMNS)]
    ends = [*starts[1:], None]
    return [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines]
