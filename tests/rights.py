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
    "co-owner": "a person whom the launcher named by `/mixtral share`, and who cannot read its private channel",
    "limited": "a person whom the policy lets only look in the channel of the launch, which it names",
    "barred": "a person whom the policy lets do nothing in that channel",
    "direct": "a person of the workspace, about a deployment that was launched in a direct message of another person",
}

CELLS = {
    "yes": "it is done",
    "listed": "it is in the list",
    "hidden": "the list is shown without it",
    "unknown": "the same answer as for a name or an id that does not exist",
    "others": "refused, with the names of the people who may do it",
    "policy": "refused by the policy, with the names of the people who may do it",
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
share             yes      yes     others  unknown   others   others  stranger others  -       ended   who
share list        yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   who
unshare           yes      yes     others  unknown   others   others  stranger others  -       ended   who
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
share             yes      yes     others  unknown   others   others  stranger others  -       ended   who
share list        yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   who
unshare           yes      yes     others  unknown   others   others  stranger others  -       ended   who
down button       yes      yes     others  -         others   others  stranger others  unknown ended   silent
share             yes      yes     others  unknown   others   others  stranger others  -       ended   who
share list        yes      yes     yes     unknown   yes      yes     stranger yes     -       ended   who
unshare           yes      yes     others  unknown   others   others  stranger others  -       ended   who
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

FURTHER = """
deed              co-owner limited barred  direct
launch            yes      policy  policy  yes
status            listed   listed  hidden  hidden
status by mention listed   listed  hidden  hidden
status NAME       yes      yes     unknown unknown
ask NAME          yes      policy  unknown unknown
mention           yes      policy  unknown unknown
thread reply      yes      policy  policy  yes
stop an answer    yes      yes     yes     yes
direct message    yes      policy  unknown unknown
logs              yes      policy  unknown unknown
details button    yes      policy  unknown unknown
details refresh   yes      policy  unknown unknown
logs button       yes      policy  unknown unknown
endpoint          yes      policy  unknown unknown
endpoint button   yes      policy  unknown unknown
key new           yes      policy  unknown unknown
key list          yes      yes     unknown unknown
key revoke        yes      policy  unknown unknown
scale             yes      policy  unknown unknown
scale button      yes      policy  unknown unknown
scale modal       yes      policy  unknown unknown
share             yes      others  unknown unknown
share list        yes      yes     unknown unknown
unshare           yes      others  unknown unknown
down              yes      policy  unknown unknown
command button    yes      policy  unknown unknown
confirm button    yes      policy  unknown unknown
confirm modal     yes      policy  unknown unknown
drop button       yes      yes     yes     yes
approve button    others   others  others  others
deny button       others   others  others  others
deny modal        others   others  others  others
launch form       yes      policy  policy  yes
form submitted    yes      policy  policy  yes
down button       yes      policy  unknown unknown
down modal        yes      policy  unknown unknown
keep trying       yes      policy  unknown unknown
keep button       yes      policy  unknown unknown
scale to 0        yes      policy  unknown unknown
ask the launcher  own      yes     unknown unknown
ask modal         own      yes     unknown unknown
grant button      yes      policy  unknown unknown
decline button    yes      policy  unknown unknown
key button        theirs   theirs  theirs  theirs
choose button     yes      policy  unknown unknown
ask button        yes      policy  unknown unknown
ask form          yes      policy  unknown unknown
ask by shortcut   listed   hidden  hidden  hidden
config            shown    shown   shown   shown
config form       others   others  others  yes
config reset      others   others  others  yes
stop button       yes      yes     yes     yes
regenerate button yes      policy  policy  yes
model button      yes      policy  unknown unknown
feedback button   yes      yes     yes     yes
cost              listed   listed  hidden  hidden
home              listed   listed  hidden  hidden
"""
"""The same actions and further people."""


class Cell(NamedTuple):
    deed: str
    who: str
    given: str


def cells() -> list[Cell]:
    """Every cell of the table that can occur."""
    return [Cell(row[0], who, given) for row in rows() for who, given in zip(COLUMNS, row[1:], strict=True)]


def rows() -> list[list[str]]:
    """The actions with their cells, in the order of COLUMNS."""
    first, further = _table(TABLE), _table(FURTHER)
    return [[deed, *cells.values(), *further[deed].values()] for deed, cells in first.items()]


def _table(text: str) -> dict[str, dict[str, str]]:
    """The cells of each action, by person."""
    header, *lines = text.strip().splitlines()
    starts = [header.index(name) for name in header.split()]
    ends = [*starts[1:], None]
    read = [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines]
    return {deed: dict(zip(header.split()[1:], given, strict=True)) for deed, *given in read}
