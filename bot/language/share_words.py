"""PURE: the parser of the words after `share` and `unshare`: a deployment and a person."""

from collections.abc import Sequence

from bot.language.command import SLASH, Share, Unshare
from bot.language.typed_text import mentioned
from bot.language.values import InvalidValue, name, quoted


def share(words: Sequence[str]) -> Share:
    """The command in the words after `share`. Raises InvalidValue."""
    deployment, user = _words(words, "share")
    return Share(name=deployment, user=user)


def unshare(words: Sequence[str]) -> Unshare:
    """The command in the words after `unshare`. Raises InvalidValue."""
    deployment, user = _words(words, "unshare")
    if user is None:
        raise InvalidValue(
            "Mention the person who is no longer to be a co-owner.", nearest=f"{SLASH} share {deployment}"
        )
    return Unshare(name=deployment, user=user)


def _words(words: Sequence[str], command: str) -> tuple[str, str | None]:
    if not words:
        raise InvalidValue(f"Give the deployment's name and a person: `{SLASH} {command} NAME @PERSON`.")
    if len(words) > len(("name", "person")):
        raise InvalidValue(f"{quoted(words[2])} is one word too many. Name one person at a time.")
    if mentioned(words[0]):
        raise InvalidValue(f"The name comes first, then the person: `{SLASH} {command} NAME @PERSON`.")
    deployment = name(words[0])
    if len(words) == 1:
        return deployment, None
    if (user := mentioned(words[1])) is None:
        raise InvalidValue(
            f"{quoted(words[1])} does not mention a person. Choose the person from the list that opens at `@`."
        )
    return deployment, user
