"""PURE: the words after `key`: whose endpoint, and what is to become of which key."""

from collections.abc import Sequence

from bot.language.command import SLASH, ListKeys, NewKey, RevokeKey
from bot.language.typed_text import mentioned
from bot.language.values import Wrong, name, quoted, shown
from workers.deployment.events import KeyId

DEEDS = ("list", "new", "revoke")

MEANT = {
    "ls": "list",
    "show": "list",
    "create": "new",
    "make": "new",
    "add": "new",
    "issue": "new",
    "rm": "revoke",
    "delete": "revoke",
    "remove": "revoke",
    "drop": "revoke",
    "end": "revoke",
}
"""What people may write instead. Suggested, never carried out."""

_MOST_WORDS = 3
_ID_MOST = 20


def key(words: Sequence[str]) -> ListKeys | NewKey | RevokeKey:
    """What is asked of a deployment's keys. Raises Wrong, which never repeats a key that somebody wrote."""
    _refuse_keys(words)
    if not words or words == ("list",):
        return ListKeys()
    _check_order(words)
    if len(words) == 1:
        return ListKeys(name=name(words[0]))
    deployment, deed = name(words[0]), words[1].lower()
    if len(words) > _MOST_WORDS or (deed == "list" and len(words) > len(("name", "list"))):
        raise Wrong(f"{quoted(words[-1])} is one word too many.")
    match deed:
        case "list":
            return ListKeys(name=deployment)
        case "new":
            return NewKey(name=deployment, user=_person(words[2:]))
        case "revoke":
            return RevokeKey(name=deployment, key=_id(words[2:], deployment))
        case _:
            raise _no_deed(words, deployment)


def _refuse_keys(words: Sequence[str]) -> None:
    if any("mxk_" in word for word in words):
        raise Wrong(
            "That is a key itself, and keys are for nobody's eyes. A key is named by its id, as in `k-3f9a01`; "
            f"`{SLASH} key NAME list` shows the ids."
        )


def _check_order(words: Sequence[str]) -> None:
    first = words[0].lower()
    if first not in DEEDS or (len(words) > 1 and words[1].lower() in DEEDS):
        return
    if len(words) == 1:
        raise Wrong(f"Say whose endpoint it is: the name comes before `{first}`.", nearest=f"{SLASH} key NAME {first}")
    rest = " ".join((words[1], first, *words[2:]))
    raise Wrong("The name comes first, then what to do.", nearest=f"{SLASH} key {shown(rest, 80)}")


def _person(words: Sequence[str]) -> str | None:
    if not words:
        return None
    user = mentioned(words[0])
    if user is None:
        raise Wrong(
            f"I don't know who {quoted(words[0])} is. Choose them from the list that comes up "
            f"at `@`, or leave it out for a key of your own. (Where Slack makes no mention of it, the app's manifest "
            "lacks `should_escape`.)"
        )
    return user


def _id(words: Sequence[str], deployment: str) -> KeyId:
    if not words:
        raise Wrong("Say which key, by its id.", nearest=f"{SLASH} key {deployment} list")
    if len(words[0]) > _ID_MOST or mentioned(words[0]) or words[0].startswith("@"):
        raise Wrong(
            f"A key is named by its id, as in `k-3f9a01`, and {quoted(words[0])} is none.",
            nearest=f"{SLASH} key {deployment} list",
        )
    return KeyId(words[0].lower())


def _no_deed(words: Sequence[str], deployment: str) -> Wrong:
    deed, rest = words[1], words[2:]
    close = "new" if mentioned(deed) else MEANT.get(deed.lower())
    said = f"After the name comes `list`, `new` or `revoke`; {quoted(deed)} is none of them."
    if close is None:
        return Wrong(said)
    following = ["@PERSON" if mentioned(word) else shown(word) for word in (words[1:] if mentioned(deed) else rest)]
    return Wrong(said, nearest=f"{SLASH} key {' '.join((deployment, close, *following))}")
