"""PURE: permissions. The policy says what people may do; a deployment is changed by its co-owners.

Co-owners are its launcher, the admins, and the people whom its launcher named.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import StrEnum
from typing import assert_never

from workers.policy.groups import EVERYONE, GUESTS, USER_GROUP
from workers.policy.rules import BY_DEFAULT, DIRECT, Right, Rule
from workers.policy.schema import Policy


class Permission(StrEnum):
    """The actions that are not for all people. The values are used in the refusal."""

    LOOK = "look at it"
    ASK = "ask it"
    SEE_LOGS = "see its logs"
    LAUNCH = "launch a model"
    SCALE = "scale it"
    END = "end it"
    KEEP_TRYING = "let it keep trying"
    KEEP = "keep it running"
    SEE_KEY = "see its key"
    MAKE_KEY = "make a key to it"
    REVOKE_KEY = "revoke a key that is not theirs"
    SHARE = "name co-owners"
    APPROVE = "approve it"


Members = Callable[[str], Collection[str] | None]
"""Returns the members of a user group of Slack; None if they are not known."""

NO_RULE = Rule()
"""What holds where no rule matches."""
UNDECIDED = Rule(may=())
"""What holds while Slack does not say whether the person belongs to a user group that the policy names."""


def may(
    user: str,
    deed: Permission,
    *,
    launcher: str = "",
    admins: Collection[str],
    co_owners: Collection[str] = (),
    rule: Rule = NO_RULE,
    in_their_place: bool = False,
) -> bool:
    """Whether the user may do this to a deployment of `launcher`, or at all for a launch.

    `rule`: the one that decides for the user. `in_their_place`: whether they are an admin of the workspace, and no
    co-owner has an active account.
    """
    if user in admins:
        return True
    if not _allowed(rule, deed):
        return False
    match deed:
        case Permission.LOOK | Permission.ASK | Permission.SEE_LOGS | Permission.LAUNCH | Permission.APPROVE:
            return True
        case Permission.SHARE:
            return user == launcher or user in co_owners or in_their_place
        case (
            Permission.SCALE
            | Permission.END
            | Permission.KEEP_TRYING
            | Permission.KEEP
            | Permission.SEE_KEY
            | Permission.MAKE_KEY
            | Permission.REVOKE_KEY
        ):
            return user == launcher or user in co_owners or in_their_place or rule.of_others
        case _:
            assert_never(deed)


def _allowed(rule: Rule, deed: Permission) -> bool:
    asked = _deed(deed)
    return asked is None or asked in (BY_DEFAULT if rule.may is None else rule.may)


def _deed(deed: Permission) -> Right | None:
    """The word of a policy for an action; None if no rule decides about it."""
    match deed:
        case Permission.LOOK:
            return Right.LOOK
        case Permission.ASK:
            return Right.ASK
        case Permission.SEE_LOGS:
            return Right.SEE_LOGS
        case Permission.LAUNCH:
            return Right.LAUNCH
        case Permission.SCALE | Permission.KEEP_TRYING:
            return Right.SCALE
        case Permission.END | Permission.KEEP:
            return Right.END
        case Permission.SEE_KEY | Permission.MAKE_KEY | Permission.REVOKE_KEY:
            return Right.SEE_KEYS
        case Permission.APPROVE:
            return Right.APPROVE
        case Permission.SHARE:
            return None
        case _:
            assert_never(deed)


def rule_for(rules: Sequence[Rule], user: str, channel: str, *, is_guest: bool, members: Members) -> Rule:
    """The first rule that matches the person, and the channel in which a deployment is launched."""
    for rule in rules:
        if rule.channels and channel not in rule.channels and not (DIRECT in rule.channels and channel[:1] == "D"):
            continue
        match _concerns(rule, user, is_guest=is_guest, members=members):
            case True:
                return rule
            case None:
                return UNDECIDED
    return NO_RULE


def _concerns(rule: Rule, user: str, *, is_guest: bool, members: Members) -> bool | None:
    """Whether the rule is for this person; None if that is not known."""
    if not rule.people or user in rule.people:
        return True
    if (GUESTS if is_guest else EVERYONE) in rule.people:
        return True
    groups = [members(group) for group in rule.people if USER_GROUP.fullmatch(group)]
    if any(user in group for group in groups if group is not None):
        return True
    return None if None in groups else False


def guest_may_launch(rule: Rule, user: str) -> bool:
    """Whether a rule names guests, or this guest, and lets them launch."""
    return bool({GUESTS, user} & set(rule.people)) and _allowed(rule, Permission.LAUNCH)


def who_may(policy: Policy, deed: Permission, channel: str, admins: Collection[str]) -> tuple[str, ...]:
    """The people and user groups that the policy lets do this in a channel, and the admins, as mentions."""
    found = []
    for rule in policy.rules:
        here = not rule.channels or channel in rule.channels or (DIRECT in rule.channels and channel[:1] == "D")
        if here and _allowed(rule, deed):
            found += [person for person in rule.people if person not in (EVERYONE, GUESTS)]
    return mentions(dict.fromkeys((*found, *sorted(admins))))


def approvers(policy: Policy, channel: str, admins: Collection[str]) -> tuple[str, ...]:
    """Ids of the people and user groups (`S…`) that may approve in a channel: those of its rules, and the admins."""
    named = who_may(policy, Permission.APPROVE, channel, admins)
    return tuple(mention.strip("<@!>").removeprefix("subteam^") for mention in named)


def mentions(ids: Iterable[str]) -> tuple[str, ...]:
    """People and user groups in Slack's markup."""
    return tuple(f"<!subteam^{id_}>" if USER_GROUP.fullmatch(id_) else f"<@{id_}>" for id_ in ids)


def refusal(
    deed: Permission,
    *,
    name: str,
    launcher: str,
    admins: Collection[str],
    co_owners: Collection[str] = (),
    place: str = "",
) -> str:
    """The sentence that names who may, in Slack's markup. `place`: see `may`: who may in the place of the co-owners."""
    others = sorted(set(admins) - {launcher})
    named = [f"<@{person}>" for person in co_owners if person not in {launcher, *others}]
    an_admin = [f"an admin ({', '.join(f'<@{admin}>' for admin in others)})"] if others else []
    *first, last = ("they", *named, *an_admin)
    whom = f"{', '.join(first)} or {last}" if first else last
    who = f"<@{launcher}> launched *{name}*: only {whom} may {deed}."
    if place:
        return f"{who} {place}"
    if deed in (Permission.SEE_KEY, Permission.MAKE_KEY):
        return f"{who} For a key of your own, ask them to type `/mixtral key {name} new @YOU`."
    return f"{who} Ask them."


UNDECIDED_SENTENCE = (
    "Slack does not return the members of the user groups that the policy names, so nothing was done. "
    "Try again in ten seconds; if it repeats, ask an admin to run `mixtral-bot check`."
)


def forbidden(deed: Permission, who: Sequence[str], *, name: str = "") -> str:
    """The sentence for an action that the policy does not allow this person here. `who`: mentions of those who may."""
    what = str(deed).replace(" it", f" *{name}*", 1) if name else str(deed)
    can = f"{', '.join(who)} can: ask them." if who else "Ask the operator of this bot to change the policy."
    return f"The policy of this installation does not let you {what}. {can}"
