"""What a person may do to a deployment, by the policy, its co-owners and the accounts in Slack."""

from bot.commands.context import CommandContext
from bot.commands.policy import UNDECIDED, UNDECIDED_SENTENCE, Permission, forbidden, may, mentions, refusal
from workers.deployment.state import Deployment

IN_THEIR_PLACE = "None of them has an active account, so an admin of the workspace may: ask one of them."


def allowed(user: str, deed: Permission, state: Deployment, context: CommandContext) -> bool:
    """Whether the user may do this to the deployment. Raises RedisError."""
    return may(
        user,
        deed,
        launcher=state.place.user,
        admins=context.admins,
        co_owners=state.co_owners,
        rule=context.sight.rule(user, state.place.channel),
        in_their_place=_in_their_place(user, state, context),
    )


def why_not(user: str, deed: Permission, state: Deployment, context: CommandContext) -> str:
    """The sentence that names who may. Raises RedisError."""
    rule = context.sight.rule(user, state.place.channel)
    if rule is UNDECIDED:
        return UNDECIDED_SENTENCE
    owner = user in owners(state, context) or _in_their_place(user, state, context)
    if owner or not may(user, deed, launcher=user, admins=context.admins, rule=rule):
        return forbidden(deed, mentions(who_can(deed, state, context)), name=state.name)
    return refusal(
        deed,
        name=state.name,
        launcher=state.place.user,
        admins=context.admins,
        co_owners=state.co_owners,
        place="" if _is_owned(state, context) else IN_THEIR_PLACE,
    )


def owners(state: Deployment, context: CommandContext) -> tuple[str, ...]:
    """The co-owners of a deployment: its launcher, those whom they named, and the admins."""
    return tuple(dict.fromkeys((state.place.user, *state.co_owners, *sorted(context.admins))))


def who_can(deed: Permission, state: Deployment, context: CommandContext) -> tuple[str, ...]:
    """The co-owners whom the policy lets do this."""
    return tuple(user for user in owners(state, context) if allowed(user, deed, state, context))


def _in_their_place(user: str, state: Deployment, context: CommandContext) -> bool:
    """Whether they are an admin of the workspace, and no co-owner has an active account."""
    return (
        user not in owners(state, context) and not _is_owned(state, context) and context.sight.is_workspace_admin(user)
    )


def _is_owned(state: Deployment, context: CommandContext) -> bool:
    return any(context.sight.is_active(owner) for owner in owners(state, context))


COMMANDS = {
    "launch": Permission.LAUNCH,
    "ask": Permission.ASK,
    "logs": Permission.SEE_LOGS,
    "scale": Permission.SCALE,
    "down": Permission.END,
    "endpoint": Permission.SEE_KEY,
    "status": Permission.LOOK,
}
"""The commands that a rule of the policy can forbid."""


def forbidden_commands(user: str, channel: str, context: CommandContext) -> frozenset[str]:
    """The commands that the policy does not let the user carry out in a channel, also for what they launched."""
    rule = context.sight.rule(user, channel)
    return frozenset(
        command
        for command, deed in COMMANDS.items()
        if not may(user, deed, launcher=user, admins=context.admins, rule=rule)
    )
