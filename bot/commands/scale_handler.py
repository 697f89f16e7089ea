"""Change the number of replicas, for the command and the modal."""

from decimal import Decimal

from bot.commands import budget_check
from bot.commands.bounds import out_of_bounds
from bot.commands.consent import check_scale_confirmed
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError
from bot.commands.lookup import check, check_runs
from bot.commands.needed_approval import check_scale_approved, scale_ceiling
from bot.commands.policy import Permission
from bot.commands.within_policy import check_scale_within, in_turn, scale_ceiling_within
from bot.language.command import SLASH
from bot.slack.message import Message
from bot.views import scale as scale_view
from recipes.replicas import nearest
from workers.decision.retry_policy import failures_in_a_row
from workers.deployment.condition import Degraded, condition_of
from workers.deployment.state import Deployment


def scale_to(state: Deployment, replicas: int, caller: Caller, context: CommandContext) -> Message:
    """Set the number of replicas, or try the same number again. Raises CommandError, NoSuchDeployment."""
    check_scale(state, replicas, caller, context)
    if state.wanted == replicas and not _given_up(state):
        return scale_view.unchanged(state)
    check_spending(state, replicas, caller, context)
    once = caller.once if caller.confirmed is not None else ""
    with in_turn(state.place.user, state.place.channel, context):
        check_scale_within(state, replicas, caller, context)  # again: others may have been scaled meanwhile
        ceiling = ceiling_to_set(state, replicas, caller.user, context)
        after = context.deployments.scale(state.id, replicas, by=caller.user, once=once, ceiling=ceiling)
    check_runs(after)  # it may have been ended at the same moment
    return scale_view.changed(state, after, context.now())


def check_scale(state: Deployment, replicas: int, caller: Caller, context: CommandContext) -> None:
    """Raises CommandError if the caller may not scale it, or not to this number."""
    check(Permission.SCALE, state, caller, context, replicas=replicas)
    check_runs(state)
    if why := out_of_bounds(state.recipe, replicas):
        raise CommandError(why, hint=f"{SLASH} scale {state.name} {nearest(state.recipe, replicas)}")
    check_scale_within(state, replicas, caller, context)


def check_spending(
    state: Deployment, replicas: int, caller: Caller, context: CommandContext, *, grant: str = ""
) -> None:
    """Raises CommandError if a budget is spent, Unconfirmed, Unapproved. `grant`: the request that is granted by it."""
    text = f"{SLASH} scale {state.name} {replicas}"
    budget_check.check_scale(state, replicas, context)
    check_scale_confirmed(state, replicas, caller, context, grant=grant, command="" if grant else text)
    check_scale_approved(state, replicas, caller, context, text)


def ceiling_to_set(state: Deployment, replicas: int, user: str, context: CommandContext) -> Decimal | None:
    """The ceiling that a scale by this person sets without an approval; None: as before."""
    return scale_ceiling_within(scale_ceiling(state, replicas, context), state, user, context)


def _given_up(state: Deployment) -> bool:
    """Whether replicas are missing after failures or a dry ladder. Setting the same number then tries again."""
    failed = state.abandoned is not None or state.exhausted is not None or bool(failures_in_a_row(state))
    return isinstance(condition_of(state), Degraded) or (failed and len(state.live) < state.wanted)
