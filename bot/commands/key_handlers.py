"""What each command about keys does. A key is shown to the one person whose it is, once, and to nobody else."""

from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, NotShown
from bot.commands.lookup import check, check_runs, named, one
from bot.commands.policy import Deed
from bot.language.command import SLASH, ListKeys, NewKey, RevokeKey
from bot.slack.message import Message
from bot.views import key_messages as keys_view
from bot.views.escape import code
from bot.views.words import user as mention
from workers.deployment.state import Deployment, Key

OPENS_NOTHING = "no key opens it any more"


def list_keys(command: ListKeys, context: CommandContext) -> Message:
    return keys_view.listing(one(command.name, "key", context))


def new_key(command: NewKey, caller: Caller, context: CommandContext) -> Message:
    """Make a key and show it to its owner. Where that fails it is revoked: a key that nobody has seen is of no use."""
    state = named(command.name, "key", context)
    check(Deed.MAKE_KEY, state, caller, context)
    check_runs(state, OPENS_NOTHING)
    if state.endpoint is None:
        raise CommandError(
            f"*{state.name}* has no endpoint yet, so there is nothing to open. Its card shows when there is one.",
            hint=f"{SLASH} status {state.name}",
        )
    owner = command.user or caller.user
    id_, key = context.deployments.issue_key(state.id, user=owner, by=caller.user)
    shown = keys_view.handed_over(state, id_, key, by=caller.user if owner != caller.user else None)
    if owner == caller.user:
        return shown
    try:
        context.channels.whisper(caller.channel, owner, shown)
    except NotShown as not_shown:
        context.deployments.revoke_key(state.id, id_, by=caller.user)
        raise CommandError(keys_view.not_shown(owner, caller.channel, str(not_shown))) from not_shown
    return keys_view.made_for(state, id_, owner)


def revoke_key(command: RevokeKey, caller: Caller, context: CommandContext) -> Message:
    state = named(command.name, "key", context)
    check_runs(state, OPENS_NOTHING)
    key = _known(command, state)
    if key.user != caller.user:
        check(Deed.REVOKE_KEY, state, caller, context)
    context.deployments.revoke_key(state.id, key.id, by=caller.user)
    return keys_view.revoked(state, key)


def _known(command: RevokeKey, state: Deployment) -> Key:
    for key in state.keys:
        if key.id == command.key:
            return key
    said = f"*{state.name}* has no key {code(command.key)}; perhaps it was revoked already."
    if not state.keys:
        raise CommandError(f"{said} It has none at all.", hint=f"{SLASH} key {state.name} new")
    theirs = ", ".join(f"{code(key.id)} ({mention(key.user)})" for key in state.keys[:20])
    more = f" and {len(state.keys) - 20} more" if len(state.keys) > 20 else ""  # noqa: PLR2004 - as many as above
    raise CommandError(f"{said} There are: {theirs}{more}.", hint=f"{SLASH} key {state.name} list")
