"""PURE: the parser of the words after `key`: a deployment, an action, and a person or a key's id."""

from collections.abc import Sequence

from bot.language.command import SLASH, ListKeys, NewKey, RevokeKey
from bot.language.typed_text import mentioned
from bot.language.values import InvalidValue, name, quoted, shown
from workers.deployment.events import KeyId

ACTIONS = ("list", "new", "revoke")

_OTHER_WORDS = {
    "list": ("ls", "show"),
    "new": ("create", "make", "add", "issue"),
    "revoke": ("rm", "delete", "remove", "drop", "end"),
}
MEANT = {word: action for action, words in _OTHER_WORDS.items() for word in words}
"""Other words for the actions. They are suggested, never executed."""

_MAX_WORDS = 3
_MAX_ID_LENGTH = 20


def key(words: Sequence[str]) -> ListKeys | NewKey | RevokeKey:
    """The command in the words after `key`. Raises InvalidValue, whose sentence never repeats a key."""
    _refuse_keys(words)
    if not words or (len(words) == 1 and words[0].lower() == "list"):
        return ListKeys()
    _check_order(words)
    if len(words) == 1:
        return ListKeys(name=name(words[0]))
    deployment, action = name(words[0]), words[1].lower()
    if len(words) > _MAX_WORDS or (action == "list" and len(words) > len(("name", "list"))):
        raise InvalidValue(f"{quoted(words[-1])} is one word too many.")
    match action:
        case "list":
            return ListKeys(name=deployment)
        case "new":
            return NewKey(name=deployment, user=_person(words[2:]))
        case "revoke":
            return RevokeKey(name=deployment, key=_id(words[2:], deployment))
        case _:
            raise _no_action(words, deployment)


def _refuse_keys(words: Sequence[str]) -> None:
    if any("mxk_" in word for word in words):
        raise InvalidValue(
            "That is a key itself, which must stay secret. Give the key's id, as in `k-3f9a01`; "
            f"`{SLASH} key NAME list` shows the ids."
        )


def _check_order(words: Sequence[str]) -> None:
    first = words[0].lower()
    if first not in ACTIONS or (len(words) > 1 and words[1].lower() in ACTIONS):
        return
    if len(words) == 1:
        raise InvalidValue(f"Give the deployment's name before `{first}`.", nearest=f"{SLASH} key NAME {first}")
    rest = " ".join((words[1], first, *words[2:]))
    raise InvalidValue("The name comes first, then the action.", nearest=f"{SLASH} key {shown(rest, 80)}")


def _person(words: Sequence[str]) -> str | None:
    if not words:
        return None
    user = mentioned(words[0])
    if user is None:
        raise InvalidValue(
            f"{quoted(words[0])} does not mention a person. Choose the person from the list that opens at `@`, or "
            "leave it out for a key of your own. (If Slack does not turn your choice into a mention, the app's "
            "manifest lacks `should_escape`.)"
        )
    return user


def _id(words: Sequence[str], deployment: str) -> KeyId:
    if not words:
        raise InvalidValue("Give the key's id.", nearest=f"{SLASH} key {deployment} list")
    if len(words[0]) > _MAX_ID_LENGTH or mentioned(words[0]) or words[0].startswith("@"):
        raise InvalidValue(
            f"{quoted(words[0])} is not the id of a key, as in `k-3f9a01`.",
            nearest=f"{SLASH} key {deployment} list",
        )
    return KeyId(words[0].lower())


def _no_action(words: Sequence[str], deployment: str) -> InvalidValue:
    action, rest = words[1], words[2:]
    close = "new" if mentioned(action) else MEANT.get(action.lower())
    sentence = f"After the name comes `list`, `new` or `revoke`; {quoted(action)} is none of them."
    if close is None:
        return InvalidValue(sentence)
    following = ["@PERSON" if mentioned(word) else shown(word) for word in (words[1:] if mentioned(action) else rest)]
    return InvalidValue(sentence, nearest=f"{SLASH} key {' '.join((deployment, close, *following))}")
