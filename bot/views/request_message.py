"""PURE: the messages of a request to one person: with its buttons, once it is settled, and to the person who asked."""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from bot.language.command import SLASH
from bot.language.direct_request import APPROVALS, Deed, DeedStage, DirectRequest
from bot.slack.message import Message
from bot.views import approval
from bot.views.amounts import count, moment
from bot.views.blocks import Block, actions, button, context, section
from bot.views.escape import code, escape
from bot.views.scale import cost as cost_of
from bot.views.words import user
from workers.deployment.state import Deployment

GRANT = "grant_request"
DECLINE = "decline_request"
TAKE = "take_key"
"""Action ids of the buttons. The value is the request's id."""


def asked(request: DirectRequest, state: Deployment | None, now: datetime) -> Message:
    """The message with the buttons. `state`: None if the deployment's log is gone."""
    if request.deed is Deed.TAKE_KEY:
        return _offered_key(request)
    if request.deed in APPROVALS:
        return approval.asked(request)
    cost = _consequence(request, state, now) if state is not None else ""
    sentence = f"{user(request.asker)} asks you to {deed_of(request)}."
    grant = button(_label(request), GRANT, request.id, style="danger" if request.deed is Deed.END else "primary")
    return Message(
        sentence,
        (
            section(" ".join(part for part in (sentence, cost) if part)),
            actions([grant, button("Decline", DECLINE, request.id)]),
            context(_why_you(request), f"The buttons work until {moment(request.expires_at)}."),
        ),
    )


def settled(request: DirectRequest) -> Message:
    """The same message without its buttons."""
    if request.deed is Deed.TAKE_KEY:
        return _closed_key(request)
    if request.deed in APPROVALS:
        return approval.settled(request)
    return _said(f"{user(request.asker)} asked you to {deed_of(request)}. {_outcome(request)}")


def outcome(request: DirectRequest) -> Message | None:
    """The message to the person who asked; None if another message shows the outcome."""
    if request.deed in APPROVALS:
        return approval.outcome(request)
    if request.deed is Deed.TAKE_KEY:
        if request.stage is DeedStage.GRANTED:
            return None
        return _said(f"The key to *{escape(request.name)}* that you offered to {user(request.to)} was not taken. "
                     f"{_outcome(request)} {_offer_again(request)}")  # fmt: skip
    if request.deed is Deed.MAKE_KEY and request.stage is DeedStage.GRANTED:
        return None
    return _said(f"You asked {user(request.to)} to {deed_of(request)}. {_outcome(request)}")


def sent(request: DirectRequest) -> Message:
    """The reply to a person who has asked."""
    return Message(
        f"{user(request.to)} was asked to {deed_of(request)}. The answer follows in your direct messages with the bot; "
        f"without an answer, the request expires {moment(request.expires_at)}."
    )


def asked_before(request: DirectRequest | None, to: str) -> Message:
    """The reply to a person who asks again. `request`: None if it has been answered."""
    if request is None or request.stage is not DeedStage.WAITING:
        return Message(f"You asked {user(to)} for this less than a day ago, and they answered: nothing was sent again.")
    return Message(
        f"You asked {user(request.to)} for this {moment(request.made_at)}, and they have not answered yet: nothing was "
        f"sent again. The request expires {moment(request.expires_at)}."
    )


def key_offered(request: DirectRequest) -> Message:
    """The reply to the person who made a key for another."""
    sentence = (
        f"{user(request.to)} gets a direct message from the bot with a button that shows them their key to "
        f"*{escape(request.name)}*, once. The key is made when they press it. The button works until "
        f"{moment(request.expires_at)}. If the key is lost, repeat the command."
    )
    return Message(sentence, (section(sentence),))


def deed_of(request: DirectRequest) -> str:
    """The predicate: `scale *fast* to 3 replicas`."""
    name = f"*{escape(request.name)}*"
    match request.deed:
        case Deed.SCALE:
            return f"scale {name} to {count(request.replicas or 0, 'replica')}"
        case Deed.END:
            return f"end {name}"
        case Deed.KEEP_TRYING:
            return f"let {name} keep trying to find a machine"
        case Deed.MAKE_KEY:
            return f"make them a key to {name}"
        case Deed.TAKE_KEY:
            return f"take a key to {name}"
        case Deed.APPROVE_LAUNCH | Deed.APPROVE_SCALE:
            return approval.deed_of(request)
        case _:
            assert_never(request.deed)


def _label(request: DirectRequest) -> str:
    match request.deed:
        case Deed.SCALE:
            return f"Scale to {request.replicas}"
        case Deed.END:
            return "End it"
        case Deed.KEEP_TRYING:
            return "Keep trying"
        case Deed.MAKE_KEY:
            return "Make a key"
        case Deed.TAKE_KEY:
            return "Show the key"
        case Deed.APPROVE_LAUNCH | Deed.APPROVE_SCALE:
            return "Approve"
        case _:
            assert_never(request.deed)


def _consequence(request: DirectRequest, state: Deployment, now: datetime) -> str:
    match request.deed:
        case Deed.SCALE:
            after = replace(state, wanted=request.replicas or 0)
            return f"It has {count(state.wanted, 'replica')} now. {cost_of(state, after, now)}".rstrip()
        case Deed.END:
            return "All its replicas and its endpoint are removed, and its keys stop working."
        case Deed.KEEP_TRYING:
            return "Nothing is billed until a machine is found."
        case Deed.MAKE_KEY:
            return "Only they will see the key, and it can be revoked separately."
        case Deed.TAKE_KEY | Deed.APPROVE_LAUNCH | Deed.APPROVE_SCALE:
            return ""
        case _:
            assert_never(request.deed)


def _why_you(request: DirectRequest) -> str:
    if request.to == request.launcher:
        return "You are asked because you launched it."
    return f"You are asked as a co-owner, because {user(request.launcher)}, who launched it, cannot answer this."


def _outcome(request: DirectRequest) -> str:
    at = moment(request.decided_at) if request.decided_at else ""
    match request.stage:
        case DeedStage.WAITING:
            return "It waits for an answer."
        case DeedStage.GRANTED:
            return f"{user(request.decided_by)} granted it {at}: it is done."
        case DeedStage.DECLINED:
            return f"{user(request.decided_by)} declined it {at}: nothing was changed."
        case DeedStage.EXPIRED:
            return f"It expired {moment(request.expires_at)} without an answer: nothing was changed."
        case DeedStage.VOID:
            return f"Nothing was changed: {request.why}"
        case _:
            assert_never(request.stage)


def _offered_key(request: DirectRequest) -> Message:
    sentence = f"{user(request.asker)} offers you a key to *{escape(request.name)}*."
    again = (
        " An earlier press was interrupted: a key that it may have shown was revoked." if request.interrupted else ""
    )
    blocks: list[Block] = [
        section(f"{sentence} The button shows it to you once. The key is made when you press it.{again}"),
        actions([button(_label(request), TAKE, request.id, style="primary")]),
        context(f"The button works until {moment(request.expires_at)}."),
    ]
    return Message(sentence, tuple(blocks))


def _closed_key(request: DirectRequest) -> Message:
    name = escape(request.name)
    offered = f"{user(request.asker)} offered you a key to *{name}*."
    if request.stage is not DeedStage.GRANTED:
        return _said(f"{offered} {_outcome(request)} {_ask_again(request)}")
    at = moment(request.decided_at) if request.decided_at else "now"
    sentence = f"{offered} It was shown to you {at}, and is not shown again. Its id is {code(request.key)}."
    lost = f"If you did not keep it, revoke it with {code(f'{SLASH} key {name} revoke {request.key}')}. "
    return Message(sentence, (section(sentence), context(lost + _ask_again(request))))


def _ask_again(request: DirectRequest) -> str:
    return f"For another key, ask {user(request.asker)} to type {code(f'{SLASH} key {request.name} new @YOU')}."


def _offer_again(request: DirectRequest) -> str:
    return f"To offer it again, type {code(f'{SLASH} key {request.name} new @PERSON')}."


def _said(sentence: str) -> Message:
    return Message(sentence, (section(sentence),))
