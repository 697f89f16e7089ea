"""Find the deployment that a command names, and check what its caller may do."""

from difflib import get_close_matches

from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, Denied
from bot.commands.policy import Permission
from bot.commands.rights import allowed, owners, why_not
from bot.language.command import SLASH
from bot.language.direct_request import Deed, WantedDeed
from bot.language.question import is_direct
from bot.views import card_refusals, words
from bot.views.amounts import duration, moment
from bot.views.escape import clip, code, inert
from workers.api import EventLogGone, NoSuchDeployment
from workers.deployment.asked import about
from workers.deployment.condition import condition_of, is_ending
from workers.deployment.state import Deployment

SIMILAR = 0.6
"""Minimum similarity, as difflib computes it, of a name that is suggested instead of one that does not exist."""


def seen(caller: Caller, context: CommandContext) -> list[Deployment]:
    """Every deployment that has not ended and that the caller may see, by name."""
    return context.sight.of(caller.viewer, context.deployments.all())


def visible(name: str, caller: Caller, context: CommandContext) -> Deployment | None:
    """The deployment of this name; None if there is none that the caller may see. Raises EventLogGone."""
    try:
        state = context.deployments.get(name)
    except NoSuchDeployment:
        return None
    except EventLogGone:  # without its log, the people who may see it are not known
        if not caller.outside:
            raise
        return None
    is_seen = context.sight.sees(caller.viewer, state)
    about(state.id, may=is_seen)
    return state if is_seen else None


def named(name: str, form: str, caller: Caller, context: CommandContext) -> Deployment:
    """The deployment of this name, if the caller may see it.

    `form`: the command without its name, as `scale {} 2`. Raises CommandError; its hint is the same command with the
    nearest name.
    """
    if (state := visible(name, caller, context)) is not None:
        return state
    names = [state.name for state in seen(caller, context)]
    close = get_close_matches(name, names, n=1, cutoff=SIMILAR)
    known = (
        f"The deployments are {', '.join(names)}." if names else f"Nothing is running. `{SLASH} launch` starts a model."
    )
    sentence = f"{_unknown(name, caller, context)} {known}"
    raise CommandError(sentence, hint=_filled(form, close[0]) if close else None)


def _unknown(name: str, caller: Caller, context: CommandContext) -> str:
    last = context.deployments.last_of(name)
    if last is None or last.ended is None or not context.sight.sees(caller.viewer, last):
        return f"There is no deployment {code(name)}."
    if last.ended.failed:
        return f"*{last.name}* {words.verdict(last)} {moment(last.ended.at)}. {inert(clip(last.ended.failed, 300))}"
    cost = words.what_it_cost(last, last.ended.at)
    return f"*{last.name}* ended {moment(last.ended.at)}: it ran {duration(last.ran_for(last.ended.at))}, {cost}."


def one(name: str | None, form: str, caller: Caller, context: CommandContext) -> Deployment:
    """The named deployment, or the only one. `form`: as in `named`. Raises CommandError."""
    if name is not None:
        return named(name, form, caller, context)
    running = seen(caller, context)
    if len(running) == 1:
        about(running[0].id)
        return running[0]
    raise which(form, caller, context)


def which(form: str, caller: Caller, context: CommandContext) -> CommandError:
    names = [state.name for state in seen(caller, context)]
    if not names:
        return CommandError("Nothing is running.", hint=f"{SLASH} launch")
    return CommandError(f"Give the name of a deployment: {', '.join(names)}.", hint=_filled(form, names[0]))


def _filled(form: str, name: str) -> str:
    return f"{SLASH} {form.replace('{}', name, 1)}"


def check(
    deed: Permission, state: Deployment, caller: Caller, context: CommandContext, *, replicas: int | None = None
) -> None:
    """Raises CommandError, which names who may do this, if the caller may not. `replicas`: for SCALE."""
    if not allowed(caller.user, deed, state, context):
        sentence = why_not(caller.user, deed, state, context)
        raise Denied(sentence, ask=_wanted(deed, state, caller, context, replicas))


DEEDS = {
    Permission.SCALE: Deed.SCALE,
    Permission.END: Deed.END,
    Permission.KEEP_TRYING: Deed.KEEP_TRYING,
    Permission.SEE_KEY: Deed.MAKE_KEY,
    Permission.MAKE_KEY: Deed.MAKE_KEY,
}
"""What a person who was refused may ask the launcher for."""


def _wanted(
    deed: Permission, state: Deployment, caller: Caller, context: CommandContext, replicas: int | None
) -> WantedDeed | None:
    asked = DEEDS.get(deed)
    if asked is None or is_ending(state) or (asked is Deed.MAKE_KEY and state.endpoint is None):
        return None
    others = (user for user in owners(state, context) if user != caller.user and allowed(user, deed, state, context))
    if not any(context.sight.may_write_to(caller.viewer, user, state) for user in others):
        return None
    return WantedDeed(deed=asked, deployment=state.id, replicas=replicas)


def check_present(caller: Caller, context: CommandContext, undone: str, again: str) -> None:
    """Raises CommandError with cause and mend if Slack refuses messages of the bot in the channel of the command.

    `undone`: the consequence, which begins the sentence; `again`: the action to repeat after the mend.
    """
    obstacle = context.channels.obstacle(caller.channel, caller.user)
    if not obstacle:
        return
    if obstacle != "not_in_channel":
        cause = f"{undone}: the bot cannot write here, because {card_refusals.CAUSES[obstacle]}."
        raise CommandError(cause, about="channel")
    if is_direct(caller.channel):
        raise CommandError(
            f"{undone}: the bot is not part of this direct message, and cannot be invited to it. Use your own direct "
            f"message with the bot, under Apps, or a channel that it is in, and {again} there.",
            about="channel",
        )
    mend = f"Invite it with `/invite @mixtral`, and {again}."
    raise CommandError(f"{undone}: the bot is not in this channel. {mend}", about="channel")


def check_runs(state: Deployment, cannot: str = "it can no longer be scaled") -> None:
    """Raises CommandError if the deployment has ended or is ending."""
    if is_ending(state):
        raise CommandError(f"*{state.name}* is {condition_of(state).status}: {cannot}.", hint=f"{SLASH} launch")
