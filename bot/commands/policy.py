"""PURE: permissions. People who see a deployment ask it; its launcher and the admins scale, end, and manage keys."""

from collections.abc import Collection
from enum import StrEnum
from typing import assert_never


class Permission(StrEnum):
    """The actions that are reserved for the launcher and the admins. The values are used in the refusal."""

    SCALE = "scale it"
    END = "end it"
    KEEP_TRYING = "let it keep trying"
    KEEP = "keep it running"
    SEE_KEY = "see its key"
    MAKE_KEY = "make a key to it"
    REVOKE_KEY = "revoke a key that is not theirs"


def may(user: str, deed: Permission, *, launcher: str, admins: Collection[str]) -> bool:
    """Whether the user may do this to a deployment of `launcher`."""
    match deed:
        case (
            Permission.SCALE
            | Permission.END
            | Permission.KEEP_TRYING
            | Permission.KEEP
            | Permission.SEE_KEY
            | Permission.MAKE_KEY
            | Permission.REVOKE_KEY
        ):
            return user == launcher or user in admins
        case _:
            assert_never(deed)


def refusal(deed: Permission, *, name: str, launcher: str, admins: Collection[str]) -> str:
    """The sentence that names who may, in Slack's markup."""
    others = sorted(set(admins) - {launcher})
    too = f" or an admin ({', '.join(f'<@{admin}>' for admin in others)})" if others else ""
    if deed in (Permission.SEE_KEY, Permission.MAKE_KEY):
        return (
            f"<@{launcher}> launched *{name}*: only they{too} may {deed}. "
            f"For a key of your own, ask them to type `/mixtral key {name} new @YOU`."
        )
    return f"<@{launcher}> launched *{name}*: only they{too} may {deed}. Ask them."
