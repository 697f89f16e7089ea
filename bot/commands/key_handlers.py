"""The handlers of the commands about keys. A key is shown once, and only to its owner."""

from typing import assert_never

from bot.commands.asking import offer_key
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError
from bot.commands.lookup import check, check_runs, named, one
from bot.commands.policy import Permission
from bot.commands.rights import allowed
from bot.language.command import SLASH, ListKeys, NewKey, RevokeKey
from bot.slack.message import Message
from bot.views import key_messages as keys_view
from bot.views.escape import code
from bot.views.words import user as mention
from workers.api import KeyMade
from workers.deployment.keys import new_key_id
from workers.deployment.state import Deployment, Key

NO_KEYS = "its keys no longer work"


def keys(command: ListKeys | NewKey | RevokeKey, caller: Caller, context: CommandContext) -> Message:
    match command:
        case ListKeys():
            return list_keys(command, caller, context)
        case NewKey():
            return new_key(command, caller, context)
        case RevokeKey():
            return revoke_key(command, caller, context)
        case _:
            assert_never(command)


def list_keys(command: ListKeys, caller: Caller, context: CommandContext) -> Message:
    state = one(command.name, "key {} list", caller, context)
    uses = context.deployments.key_uses(state.id)
    if _may_make(state, caller, context):
        return keys_view.listing(state, uses)
    return keys_view.listing_to_others(state, uses, caller.user)


def new_key(command: NewKey, caller: Caller, context: CommandContext) -> Message:
    """Make a key and show it to the caller, or offer one to another person."""
    state = named(command.name, f"key {{}} new{' @PERSON' if command.user else ''}", caller, context)
    check(Permission.MAKE_KEY, state, caller, context)
    check_runs(state, NO_KEYS)
    if state.endpoint is None:
        raise CommandError(
            f"*{state.name}* has no endpoint yet, so no key can be made. Its card shows the endpoint when it exists.",
            hint=f"{SLASH} status {state.name}",
        )
    if command.user and command.user != caller.user:
        return offer_key(state, command.user, caller, context)
    try:
        id_, key = context.deployments.issue_key(
            state.id, user=caller.user, by=caller.user, id_=new_key_id(caller.once)
        )
    except KeyMade as made:
        said = f"This request made the key {code(made.key)} already, and it was shown then. No other key was made."
        raise CommandError(said, hint=f"{SLASH} key {state.name} new") from made
    return keys_view.handed_over(state, id_, key, by=None)


def revoke_key(command: RevokeKey, caller: Caller, context: CommandContext) -> Message:
    state = named(command.name, f"key {{}} revoke {command.key}", caller, context)
    check_runs(state, NO_KEYS)
    key = _known(command, state, may_make=_may_make(state, caller, context))
    if key.user != caller.user:
        check(Permission.REVOKE_KEY, state, caller, context)
    context.deployments.revoke_key(state.id, key.id, by=caller.user)
    return keys_view.revoked(state, key)


def _may_make(state: Deployment, caller: Caller, context: CommandContext) -> bool:
    return allowed(caller.user, Permission.MAKE_KEY, state, context)


def _known(command: RevokeKey, state: Deployment, *, may_make: bool) -> Key:
    for key in state.keys:
        if key.id == command.key:
            return key
    sentence = f"*{state.name}* has no key {code(command.key)}; it may have been revoked."
    if not state.keys:
        raise CommandError(f"{sentence} It has no keys.", hint=f"{SLASH} key {state.name} new" if may_make else None)
    theirs = ", ".join(f"{code(key.id)} ({mention(key.user)})" for key in state.keys[:20])
    more = f" and {len(state.keys) - 20} more" if len(state.keys) > 20 else ""  # noqa: PLR2004 - as many as above
    raise CommandError(f"{sentence} Its keys are {theirs}{more}.", hint=f"{SLASH} key {state.name} list")
