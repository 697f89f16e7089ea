"""Ask the launcher for what only they may do, answer such a request, and offer a key to its owner; each once."""

import secrets
from typing import assert_never

from msgspec.structs import replace

from bot.commands.bounds import out_of_bounds
from bot.commands.context import Caller, CommandContext
from bot.commands.errors import CommandError, Denied, Undecided
from bot.commands.lookup import check, check_runs
from bot.commands.policy import Permission
from bot.commands.rights import allowed, who_can
from bot.commands.scale_handler import ceiling_to_set, check_scale, check_spending
from bot.commands.within_policy import check_scale_within, in_turn
from bot.language.command import SLASH
from bot.language.direct_request import Deed, DeedStage, DirectRequest, WantedDeed
from bot.slack.message import Message
from bot.views import request_message as view
from bot.views.escape import code
from recipes.replicas import nearest
from workers.api import NoSuchDeployment, TooManyKeys
from workers.deployment.asked import about
from workers.deployment.condition import is_ending
from workers.deployment.events import KeyId
from workers.deployment.keys import MAX_KEYS, new_key_id
from workers.deployment.state import Deployment
from workers.errors import WorkersError

PERMISSIONS = {
    Deed.SCALE: Permission.SCALE,
    Deed.END: Permission.END,
    Deed.KEEP_TRYING: Permission.KEEP_TRYING,
    Deed.MAKE_KEY: Permission.MAKE_KEY,
    Deed.TAKE_KEY: Permission.MAKE_KEY,  # of the person who offered it
}

ANSWERABLE = frozenset(PERMISSIONS) - {Deed.TAKE_KEY}

ENDED = "the deployment has ended."
ANSWERED = "This was answered already, or it has expired: nothing was changed."


def ask(wanted: WantedDeed, state: Deployment, caller: Caller, context: CommandContext) -> Message:
    """Store a request to the launcher or, if their account is closed, to an admin. Raises CommandError."""
    check_runs(state, "nothing can be changed")
    if wanted.deed is Deed.TAKE_KEY:
        raise CommandError(f"Only people who may make a key to *{state.name}* can offer one: no request was sent.")
    if wanted.deed not in ANSWERABLE:
        raise CommandError("This cannot be requested, so no request was sent.")
    if allowed(caller.user, PERMISSIONS[wanted.deed], state, context):
        raise CommandError(f"You may {PERMISSIONS[wanted.deed]} yourself: no request was sent.")
    _check_possible(wanted.deed, wanted.replicas, state)
    request = DirectRequest(
        id=secrets.token_hex(8),
        deed=wanted.deed,
        deployment=state.id,
        name=state.name,
        launcher=state.place.user,
        asker=caller.user,
        to=_who_is_asked(PERMISSIONS[wanted.deed], state, caller, context),
        channel=caller.channel,
        made_at=context.now(),
        replicas=wanted.replicas,
    )
    held = context.direct_requests.add(request)
    if held != request.id:
        return view.asked_before(context.direct_requests.get(held), request.to)
    return view.sent(request)


def _who_is_asked(deed: Permission, state: Deployment, caller: Caller, context: CommandContext) -> str:
    for user in who_can(deed, state, context):
        if context.sight.is_active(user) and context.sight.may_write_to(caller.viewer, user, state):
            return user
    raise CommandError(
        f"Nobody was asked: the launcher of *{state.name}* has no active account or does not share the channel of the "
        "launch with you, and the same holds for the admins. Ask the operator of this bot."
    )


def _check_possible(deed: Deed, replicas: int | None, state: Deployment) -> None:
    """Raises CommandError, TooManyKeys if it would change nothing, or is not allowed."""
    if deed is Deed.SCALE:
        if replicas is None:
            raise CommandError("The number of replicas is missing.", hint=f"{SLASH} scale {state.name} 2")
        if why := out_of_bounds(state.recipe, replicas):
            raise CommandError(why, hint=f"{SLASH} scale {state.name} {nearest(state.recipe, replicas)}")
    if deed in (Deed.MAKE_KEY, Deed.TAKE_KEY):
        if state.endpoint is None:
            raise CommandError(f"*{state.name}* has no endpoint yet, so no key can be made.")
        if len(state.keys) >= MAX_KEYS:
            raise TooManyKeys(state.name)


def answer(id_: str, caller: Caller, context: CommandContext, *, grants: bool) -> Message | None:
    """Grant a request and carry it out, or decline it; None if its message shows the result. Raises CommandError."""
    request = context.direct_requests.get(id_)
    if request is None or request.deed not in ANSWERABLE:
        raise CommandError(ANSWERED)
    state = context.deployments.by_id(request.deployment)
    is_seen = state is not None and context.sight.sees(caller.viewer, state)
    about(request.deployment, may=is_seen)
    if state is None or not is_seen:
        raise CommandError(ANSWERED)
    check(PERMISSIONS[request.deed], state, caller, context)
    if not request.is_open(context.now()):
        raise CommandError(ANSWERED)
    if is_ending(state):
        _void(request, ENDED, context)
        raise CommandError(f"*{state.name}* is ending or has ended: nothing was changed.")
    if grants:
        _check_possible(request.deed, request.replicas, state)
        if request.deed is Deed.SCALE:
            check_scale(state, request.replicas or 0, caller, context)
            check_spending(state, request.replicas or 0, caller, context, grant=request.id)
    offers_key = grants and request.deed is Deed.MAKE_KEY
    offer = _key_offer(f"{request.id}-key", state, request.asker, caller, context) if offers_key else None
    decided = _decide(request, caller, context, grants=grants, offer=offer)
    if decided is None:
        raise CommandError(ANSWERED)
    carry_out(decided, context)
    return None


def _decide(
    request: DirectRequest, caller: Caller, context: CommandContext, *, grants: bool, offer: DirectRequest | None
) -> DirectRequest | None:
    """Store the decision; None if another one is stored. `offer`: a granted key, which is offered in the same step."""
    now = context.now()
    stage = DeedStage.GRANTED if grants else DeedStage.DECLINED

    def decided(newest: DirectRequest) -> DirectRequest | None:
        if not newest.is_open(now):
            return None
        return replace(
            newest, stage=stage, decided_by=caller.user, decided_at=now, press=caller.once, done=offer is not None
        )

    return context.direct_requests.change(request.id, decided, also=offer)


def carry_out(request: DirectRequest, context: CommandContext) -> None:
    """Do what was granted, once, however often this is called; later, while Slack does not say what is allowed.

    Raises RedisError.
    """
    if request.stage is not DeedStage.GRANTED or request.done or request.deed in (Deed.MAKE_KEY, Deed.TAKE_KEY):
        return
    try:
        is_done = _carry_out(request, context)
    except NoSuchDeployment:
        is_done = False
    except Undecided:
        return
    except CommandError as error:
        _void(request, error.sentence, context)
        return
    except WorkersError as error:
        _void(request, str(error), context)
        return
    if not is_done:
        _void(request, ENDED, context)
        return
    context.direct_requests.change(request.id, lambda newest: replace(newest, done=True))


def _carry_out(request: DirectRequest, context: CommandContext) -> bool:
    """Whether it was done; False if the deployment has ended before. The request's id makes a repetition harmless."""
    deployments, id_, by, once = context.deployments, request.deployment, request.decided_by, request.id
    match request.deed:
        case Deed.SCALE:
            return _scale(request, context)
        case Deed.END:
            return is_ending(deployments.stop(id_, by=by, once=once))
        case Deed.KEEP_TRYING:
            return not is_ending(deployments.keep_trying(id_, by=by, once=once))
        case Deed.MAKE_KEY | Deed.TAKE_KEY | Deed.APPROVE_LAUNCH | Deed.APPROVE_SCALE:
            return True
        case _:
            assert_never(request.deed)


def _scale(request: DirectRequest, context: CommandContext) -> bool:
    replicas, state, by = request.replicas or 0, context.deployments.by_id(request.deployment), request.decided_by
    if state is None:
        return False
    granting = Caller(team=request.team, channel=request.channel, user=by, once=request.id)
    with in_turn(state.place.user, state.place.channel, context):
        check_scale_within(state, replicas, granting, context)  # again: others may have been scaled meanwhile
        ceiling = ceiling_to_set(state, replicas, by, context)
        after = context.deployments.scale(state.id, replicas, by=by, once=request.id, ceiling=ceiling)
    return not is_ending(after)


def _void(request: DirectRequest, why: str, context: CommandContext) -> None:
    def void(newest: DirectRequest) -> DirectRequest | None:
        return None if newest.is_settled else replace(newest, stage=DeedStage.VOID, why=why)

    context.direct_requests.change(request.id, void)


def offer_key(state: Deployment, owner: str, caller: Caller, context: CommandContext) -> Message:
    """Offer a key to another person by a direct message. Nothing secret exists until they take it."""
    person = context.sight.person(owner)
    if person is not None and person.is_deleted:
        raise CommandError(f"The account of <@{owner}> is closed: no key was made.")
    _check_possible(Deed.TAKE_KEY, None, state)
    request = _key_offer(secrets.token_hex(8), state, owner, caller, context)
    held = context.direct_requests.add(request)
    waiting = context.direct_requests.get(held) if held != request.id else request
    if waiting is None or waiting.stage is not DeedStage.WAITING:
        raise CommandError("An earlier offer of a key was taken just now. To offer another key, repeat the command.")
    return view.key_offered(waiting)


def _key_offer(id_: str, state: Deployment, owner: str, caller: Caller, context: CommandContext) -> DirectRequest:
    return DirectRequest(
        id=id_,
        deed=Deed.TAKE_KEY,
        deployment=state.id,
        name=state.name,
        launcher=state.place.user,
        asker=caller.user,
        to=owner,
        channel=caller.channel,
        made_at=context.now(),
    )


def take_key(id_: str, caller: Caller, context: CommandContext) -> tuple[DirectRequest, Deployment, str]:
    """Make the key that a request offers: the request with the key's id, the deployment, and the key.

    Only its owner can, and only once, until `not_shown`. Raises CommandError.
    """
    request = context.direct_requests.get(id_)
    if request is None or request.deed is not Deed.TAKE_KEY:
        raise CommandError(ANSWERED)
    about(request.deployment)
    if caller.user != request.to:
        raise Denied("This key is for another person: it was not shown.")
    state = context.deployments.by_id(request.deployment)
    if state is None or is_ending(state):
        _void(request, ENDED, context)
        raise CommandError(f"*{request.name}* has ended: no key was made.")
    if not allowed(request.asker, Permission.MAKE_KEY, state, context):
        _void(request, "the person who offered it may no longer make a key.", context)
        raise CommandError(f"<@{request.asker}> may no longer make a key to *{state.name}*: none was made.")
    _check_possible(request.deed, None, state)
    taken = _claim(request, caller, context)
    if taken is None:
        hint = code(f"{SLASH} key {request.name} new @YOU")
        raise CommandError(
            f"The key was shown already, or the offer has expired. Ask <@{request.asker}> to type {hint}."
        )
    _, key = context.deployments.issue_key(state.id, user=request.to, by=request.asker, id_=taken.key)
    return taken, state, key


def _claim(request: DirectRequest, caller: Caller, context: CommandContext) -> DirectRequest | None:
    now, key = context.now(), new_key_id()

    def claimed(newest: DirectRequest) -> DirectRequest | None:
        if not newest.is_open(now):
            return None
        return replace(
            newest, stage=DeedStage.GRANTED, decided_by=caller.user, decided_at=now, press=caller.once, key=key
        )

    return context.direct_requests.change(request.id, claimed)


def shown(request: DirectRequest, context: CommandContext) -> None:
    """Record that the key was shown."""
    context.direct_requests.change(
        request.id, lambda newest: replace(newest, done=True) if newest.key == request.key else None
    )


def not_shown(request: DirectRequest, context: CommandContext) -> None:
    """Revoke a key that may not have been shown, and offer another one by the same button."""
    state = context.deployments.by_id(request.deployment)
    if state is not None and not is_ending(state) and any(key.id == request.key for key in state.keys):
        context.deployments.revoke_key(state.id, request.key, by=request.asker)

    def offered(newest: DirectRequest) -> DirectRequest | None:
        if newest.is_settled or newest.key != request.key:
            return None
        return replace(newest, stage=DeedStage.WAITING, decided_by="", decided_at=None, key=KeyId(""), interrupted=True)

    context.direct_requests.change(request.id, offered)
