"""Whether a launch or a scale by hand needs an approval, and the request to the approvers, which is stored."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import chain, islice

from msgspec import Struct

from bot.commands.consent import ceiling_after, total_of
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, Unapproved
from bot.commands.policy import Permission, may
from bot.commands.policy import approvers as approvers_by_rule
from bot.language.direct_request import Deed, DirectRequest
from bot.views import approval as view
from workers.decision.budget import Owner, standings_of
from workers.decision.ceiling import ceiling_of
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment
from workers.placement.ladder import Rung, considered
from workers.policy.approvals import MAX_APPROVERS, needs


class ProposedChange(Struct, frozen=True, kw_only=True):
    """What a person wants to launch or scale."""

    deed: Deed
    name: str
    replicas: int
    command: str
    usd: Decimal
    ceiling: Decimal | None
    needed: str
    """Why an approver is needed, as a clause; empty if none is."""
    deployment: DeploymentId = DeploymentId("")


def capped(ceiling: Decimal | None, context: CommandContext) -> Decimal | None:
    """The ceiling of what has no approval: at most the price above which one is needed."""
    most = context.policy().approvals.usd_per_hour
    if most is None or ceiling is None:
        return most if ceiling is None else ceiling
    return min(ceiling, most)


def scale_ceiling(state: Deployment, replicas: int, context: CommandContext) -> Decimal | None:
    """The ceiling that a scale sets which needs no approval. It never lowers the present one."""
    raised = ceiling_after(state, replicas, context)
    return None if raised is None or state.ceiling is None else max(state.ceiling, capped(raised, context) or raised)


def check_scale_approved(state: Deployment, replicas: int, caller: Caller, context: CommandContext, text: str) -> None:
    """Raises Unapproved if the scale waits for an approver, CommandError if nobody can approve it."""
    proposed = proposed_scale(state, replicas, text, context)
    if proposed.needed:
        _ask(proposed, caller, context)


def proposed_scale(state: Deployment, replicas: int, text: str, context: CommandContext) -> ProposedChange:
    rungs, _ = context.ladder(state.recipe, state.limits)
    usd, needed = total_of(rungs, replicas), ""
    is_approved = state.approved is not None and state.ceiling is not None and usd <= state.ceiling
    if replicas > state.wanted and not is_approved:
        left = left_of_budget(state.name, state.place.user, state.place.channel, context)
        needed = needs(context.policy().approvals, usd=usd, gpus=gpus_of(rungs, replicas), left=left)
    ceiling = ceiling_of(state.recipe, state.limits, replicas, [*rungs, *state.rungs])
    if state.ceiling is not None and ceiling is not None:
        ceiling = max(ceiling, state.ceiling)
    return ProposedChange(
        deed=Deed.APPROVE_SCALE,
        name=state.name,
        replicas=replicas,
        command=text,
        usd=usd,
        ceiling=ceiling,
        needed=needed,
        deployment=state.id,
    )


def check_launch_approved(proposed: ProposedChange, caller: Caller, context: CommandContext) -> None:
    """Raises as `check_scale_approved` does."""
    if proposed.needed:
        _ask(proposed, caller, context)


def launch_needs(
    name: str,
    rungs: Sequence[Rung],
    replicas: int,
    caller: Caller,
    context: CommandContext,
    *,
    lasts: timedelta | None,
) -> str:
    """Why a launch needs an approver. `lasts`: None if it has no end."""
    usd, gpus = total_of(rungs, replicas), gpus_of(rungs, replicas)
    left = left_of_budget(name, caller.user, caller.channel, context)
    return needs(context.policy().approvals, usd=usd, gpus=gpus, lasts=lasts, ends=lasts is not None, left=left)


def left_of_budget(name: str, user: str, channel: str, context: CommandContext) -> Decimal | None:
    """USD that purchases may still reserve of the tightest budget of a deployment; None without a budget."""
    budgets = context.policy().budgets
    if not budgets.limits:
        return None
    owner = Owner(name=name, user=user, channel=channel)
    standings = standings_of(owner, budgets, context.deployments.book(), context.now())
    return min((standing.left for standing in standings), default=None)


def gpus_of(rungs: Sequence[Rung], replicas: int) -> int:
    """The most GPUs that the replicas may have, on any offer."""
    return replicas * max((rung.offer.count for rung in considered(rungs) if rung.offer.accelerator), default=0)


def may_approve(user: str, asker: str, channel: str, context: CommandContext) -> bool:
    """Whether the user may decide a request of a channel: an approver, an admin, or by a rule of the policy."""
    approvals = context.policy().approvals
    by_rule = may(user, Permission.APPROVE, admins=context.admins, rule=context.sight.rule(user, channel))
    return (by_rule or user in approvals.approvers) and (approvals.own or user != asker)


def _ask(proposed: ProposedChange, caller: Caller, context: CommandContext) -> None:
    approvals = context.policy().approvals
    named = (*approvals.approvers, *approvers_by_rule(context.policy(), caller.channel, ()))
    approvers = _asked(named, caller, context) or _asked(sorted(context.admins), caller, context)
    if not approvers:
        raise CommandError(
            f"This needs an approval, because {proposed.needed}, and only you could approve it: nothing was started. "
            "Ask the operator of this bot to name approvers in the policy, or admins in `MIXTRAL_ADMINS`."
        )
    state = context.deployments.by_id(proposed.deployment) if proposed.deployment else None
    owner = state.place if state is not None else caller
    request = DirectRequest(
        id=secrets.token_hex(8),
        deed=proposed.deed,
        deployment=proposed.deployment,
        name=proposed.name,
        launcher=caller.user,
        asker=caller.user,
        to="",
        channel=caller.channel,
        team=caller.team,
        made_at=context.now(),
        replicas=proposed.replicas,
        approvers=approvers,
        command=proposed.command,
        usd=proposed.usd,
        ceiling=proposed.ceiling,
        left=left_of_budget(proposed.name, owner.user, owner.channel, context),
        needed=proposed.needed,
        lasts=approvals.expires,
    )
    held = context.direct_requests.add(request)
    said = view.sent(request) if held == request.id else view.waits(context.direct_requests.get(held))
    raise Unapproved(said)


def _asked(named: Iterable[str], caller: Caller, context: CommandContext) -> tuple[str, ...]:
    """Who gets a message: those who may approve, at most MAX_APPROVERS. `named`: also user groups, for their members.

    A person is looked up in Slack, so no more of a large user group than needed.
    """
    people = dict.fromkeys(chain.from_iterable(context.sight.people_of(one) for one in named))
    able = (
        user
        for user in people
        if may_approve(user, caller.user, caller.channel, context) and context.sight.is_active(user)
    )
    return tuple(islice(able, MAX_APPROVERS))
