"""Approve or deny a launch or a scale: once, by who may; and carry out what was approved, once."""

from decimal import Decimal

from msgspec.structs import replace

from bot.commands.budget_check import check_scale
from bot.commands.consent import total_of
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, Denied, Undecided
from bot.commands.launch_handler import opened, ready_to_launch
from bot.commands.lookup import check
from bot.commands.needed_approval import may_approve
from bot.commands.policy import UNDECIDED, UNDECIDED_SENTENCE, Permission
from bot.commands.within_policy import check_scale_within, in_turn, scale_ceiling_within, within
from bot.language.command import SLASH, Launch
from bot.language.direct_request import APPROVALS, Deed, DeedStage, DirectRequest
from bot.language.grammar import parse
from bot.views.amounts import usd_per_hour
from recipes.schema import RecipeError
from workers.api import NoSuchDeployment
from workers.deployment.asked import about, because, note
from workers.deployment.condition import is_ending
from workers.deployment.events import Approval
from workers.deployment.log import NameTaken
from workers.errors import WorkersError

DECIDED = "This was decided already, or it has expired: nothing was changed."
ENDED = "the deployment has ended."


def request_of(id_: str, caller: Caller, context: CommandContext) -> DirectRequest:
    """The open request that the caller may decide. Raises CommandError."""
    request = context.direct_requests.get(id_)
    if request is None or request.deed not in APPROVALS:
        raise CommandError(DECIDED)
    if request.deployment:
        about(request.deployment)
    if not may_approve(caller.user, request.asker, request.channel, context):
        if caller.user == request.asker:
            raise Denied("You asked for this approval yourself: another approver has to decide.")
        raise Denied("Only approvers may decide this: nothing was changed.")
    if not request.is_open(context.now()):
        raise CommandError(DECIDED)
    return request


def approve(id_: str, caller: Caller, context: CommandContext) -> None:
    """Approve a request and carry it out. Raises CommandError."""
    request = request_of(id_, caller, context)
    if context.sight.rule(request.asker, request.channel) is UNDECIDED:  # the request can be approved later
        raise CommandError(UNDECIDED_SENTENCE)
    if why := obstacle(request, context):
        void(request, why, context)
        raise CommandError(f"Nothing was started: {why}")
    decided = _decide(request, caller, context, DeedStage.GRANTED)
    carry_out(decided, context)


def deny(id_: str, reason: str, caller: Caller, context: CommandContext) -> None:
    """Raises CommandError."""
    request = _decide(request_of(id_, caller, context), caller, context, DeedStage.DECLINED, reason)
    because(reason)
    note(f"{request.deed.value} of {request.name}, replicas {request.replicas}, asked by {request.asker}: denied")


def _decide(
    request: DirectRequest, caller: Caller, context: CommandContext, stage: DeedStage, reason: str = ""
) -> DirectRequest:
    now = context.now()

    def decided(newest: DirectRequest) -> DirectRequest | None:
        if not newest.is_open(now):
            return None
        return replace(newest, stage=stage, decided_by=caller.user, decided_at=now, press=caller.once, reason=reason)

    stored = context.direct_requests.change(request.id, decided)
    if stored is None:
        raise CommandError(DECIDED)
    return stored


def obstacle(request: DirectRequest, context: CommandContext) -> str:
    """Why it can no longer be carried out, as a sentence; empty if it can. The asker's rights are checked, too.

    Raises Undecided: the request can be approved later.
    """
    if not context.sight.is_active(request.asker):
        return "the person who asked has left: their account is closed."
    try:
        if request.deed is Deed.APPROVE_SCALE:
            return _scale_obstacle(request, context)
        command = _launch_of(request)
        recipe = ready_to_launch(command, _asker(request), context)
        allowed = within(command, recipe, request.replicas or 1, _asker(request), context)
        rungs, _ = context.ladder(recipe, allowed.limits)
    except Undecided:
        raise
    except CommandError as error:
        return error.sentence
    except (WorkersError, RecipeError) as error:
        return str(error)
    return _risen(request, total_of(rungs, request.replicas or 0))


def _scale_obstacle(request: DirectRequest, context: CommandContext) -> str:
    state = context.deployments.by_id(request.deployment)
    if state is None or is_ending(state):
        return ENDED
    check(Permission.SCALE, state, _asker(request), context)
    check_scale(state, request.replicas or 0, context)
    check_scale_within(state, request.replicas or 0, _asker(request), context)
    return _risen(request, total_of(context.ladder(state.recipe, state.limits)[0], request.replicas or 0))


def _risen(request: DirectRequest, usd: Decimal) -> str:
    if request.ceiling is None or usd <= request.ceiling:
        return ""
    return (
        f"it now costs {usd_per_hour(usd)}, which is more than the requested ceiling. "
        f"Ask again with `{request.command}`."
    )


def _asker(request: DirectRequest) -> Caller:
    return Caller(team=request.team, channel=request.channel, user=request.asker, once=f"approval:{request.id}")


def _launch_of(request: DirectRequest) -> Launch:
    command = parse(request.command.removeprefix(SLASH))
    if not isinstance(command, Launch):
        raise CommandError("the command that was approved is not valid in this version.")
    return replace(command, name=request.name, replicas=request.replicas)


def carry_out(request: DirectRequest, context: CommandContext) -> None:
    """Do what was approved, once, however often this is called; later, while Slack does not say what is allowed.

    Raises RedisError.
    """
    if request.stage is not DeedStage.GRANTED or request.done:
        return
    try:
        why = _scale(request, context) if request.deed is Deed.APPROVE_SCALE else _launch(request, context)
    except Undecided:
        return
    except CommandError as error:
        why = error.sentence
    except (WorkersError, RecipeError) as error:
        why = str(error)
    if why:
        void(request, why, context)
        return
    context.direct_requests.change(request.id, lambda newest: replace(newest, done=True))


def _approval(request: DirectRequest) -> Approval:
    return Approval(by=request.decided_by, reason=request.needed, request=request.id)


def _scale(request: DirectRequest, context: CommandContext) -> str:
    state = context.deployments.by_id(request.deployment)
    if state is None:
        return ENDED
    try:
        with in_turn(state.place.user, state.place.channel, context):
            # Again: others may have been scaled meanwhile.
            check_scale_within(state, request.replicas or 0, _asker(request), context)
            after = context.deployments.scale(
                request.deployment,
                request.replicas or 0,
                by=request.asker,
                once=request.id,
                ceiling=scale_ceiling_within(request.ceiling, state, request.asker, context),
                approved=_approval(request),
            )
    except NoSuchDeployment:  # its text lists deployments that the asker may not see
        return ENDED
    return ENDED if is_ending(after) else ""


def _launch(request: DirectRequest, context: CommandContext) -> str:
    asker, command = _asker(request), _launch_of(request)
    try:
        recipe = ready_to_launch(command, asker, context)
        allowed = within(command, recipe, request.replicas or 1, asker, context)
        limited = replace(command, limits=allowed.limits)
        ceiling = allowed.ceiling(request.ceiling)
        opened(limited, recipe, asker, context, ceiling=ceiling, approved=_approval(request))
    except NameTaken as taken:
        holder = context.deployments.by_id(taken.holder)
        if holder is not None and holder.approved is not None and holder.approved.request == request.id:
            return ""  # launched by this approval before
        return f"the name {taken.name} is taken now. Launch it with another name."
    return ""


def void(request: DirectRequest, why: str, context: CommandContext) -> None:
    def changed(newest: DirectRequest) -> DirectRequest | None:
        return None if newest.is_settled else replace(newest, stage=DeedStage.VOID, why=why)

    context.direct_requests.change(request.id, changed)
