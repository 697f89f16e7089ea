"""The co-owners of a deployment: people who may scale it, end it and see its key, as its launcher may."""

from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError
from bot.commands.lookup import check, check_runs, named
from bot.commands.policy import Permission
from bot.commands.rights import owners
from bot.language.command import SLASH, Share, Unshare
from bot.slack.message import Message
from bot.views.words import user as mention
from workers.deployment.state import Deployment

MAX_CO_OWNERS = 20


def share(command: Share, caller: Caller, context: CommandContext) -> Message:
    """Make a person a co-owner, or show the co-owners. Raises CommandError."""
    state = named(command.name, "share {} @PERSON" if command.user else "share {}", caller, context)
    if command.user is None:
        return Message(text=listing(state, context))
    check(Permission.SHARE, state, caller, context)
    check_runs(state, "it needs no co-owners")
    _check_person(command.user, context)
    if command.user in owners(state, context):
        return Message(
            text=f"{mention(command.user)} is a co-owner of *{state.name}* already. {listing(state, context)}"
        )
    if len(state.co_owners) >= MAX_CO_OWNERS:
        raise CommandError(
            f"*{state.name}* has {MAX_CO_OWNERS} named co-owners, which is the maximum: none was added.",
            hint=f"{SLASH} share {state.name}",
        )
    after = context.deployments.share(state.id, command.user, by=caller.user)
    check_runs(after, "it needs no co-owners")
    return Message(
        text=f"{mention(command.user)} is a co-owner of *{state.name}* now: they may scale it, end it, and see and "
        f"make its keys. `{SLASH} unshare {state.name} @PERSON` ends that. They were not notified."
    )


def unshare(command: Unshare, caller: Caller, context: CommandContext) -> Message:
    """Make a person no longer a co-owner; people may remove themselves. Raises CommandError."""
    state = named(command.name, "unshare {} @PERSON", caller, context)
    if command.user != caller.user:
        check(Permission.SHARE, state, caller, context)
    if command.user not in state.co_owners:
        raise CommandError(_no_co_owner(command.user, state, context), hint=f"{SLASH} share {state.name}")
    after = context.deployments.unshare(state.id, command.user, by=caller.user)
    check_runs(after, "its co-owners no longer matter")
    kept = sum(key.user == command.user for key in state.keys)
    keys = f" They still have {kept} of its keys: `{SLASH} key {state.name} list` shows the ids." if kept else ""
    return Message(text=f"{mention(command.user)} is no longer a co-owner of *{state.name}*.{keys}")


def listing(state: Deployment, context: CommandContext) -> str:
    """The co-owners, as a sentence."""
    named_ = f" Named co-owners: {', '.join(map(mention, state.co_owners))}." if state.co_owners else ""
    admins = sorted(context.admins)
    admins_ = f" Admins: {', '.join(map(mention, admins))}." if admins else ""
    return f"*{state.name}* was launched by {mention(state.place.user)}.{named_}{admins_}"


def _check_person(user: str, context: CommandContext) -> None:
    person = context.sight.person(user)
    if person is None:
        raise CommandError(
            "Slack does not return the profile of this person, so nothing was changed. Try again in ten seconds."
        )
    if person.is_deleted:
        raise CommandError(f"The account of {mention(user)} is closed: nothing was changed.")
    if person.is_guest:
        raise CommandError(
            f"{mention(user)} is a guest of the workspace, and guests cannot be co-owners: nothing was changed."
        )


def _no_co_owner(user: str, state: Deployment, context: CommandContext) -> str:
    if user == state.place.user or user in context.admins:
        why = "launched it" if user == state.place.user else "is an admin"
        return f"{mention(user)} {why}, so they stay a co-owner of *{state.name}*."
    return f"{mention(user)} is no co-owner of *{state.name}*."
