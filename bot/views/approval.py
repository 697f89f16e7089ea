"""PURE: the messages of an approval: to the approvers, with its buttons; once it is settled; and to who asked."""

from typing import Any, assert_never

from bot.language.direct_request import Deed, DeedStage, DirectRequest
from bot.slack.message import Message
from bot.views.amounts import count, moment, per_hour_and_day, usd, usd_per_hour
from bot.views.blocks import actions, button, context, plain, section
from bot.views.escape import clip, code, escape, inert
from bot.views.words import user

APPROVE = "approve_request"
DENY = "deny_request"
"""Action ids of the buttons. The value is the request's id."""
CALLBACK = "deny_request_modal"
REASON = "reason"
MAX_REASON = 500
DAYS = 30


def asked(request: DirectRequest) -> Message:
    """The message to each approver: the plan and its price per hour, day and month."""
    sentence = f"{user(request.asker)} asks for an approval to {deed_of(request)}, because {request.needed}."
    price = f"{per_hour_and_day(request.usd)}, {usd(request.usd * 24 * DAYS)} in {DAYS} days"
    lines = [f"*At the cheapest offer*  {price}"]
    if request.ceiling is not None:
        lines.append(f"*Ceiling*  {usd_per_hour(request.ceiling)}: what stays under it needs no second approval")
    if request.left is not None:
        lines.append(f"*Left of the tightest budget*  {usd(request.left)}")
    lines.append(f"*Command*  {code(clip(request.command, 1000))}")
    buttons = [
        button("Approve", APPROVE, request.id, style="primary"),
        button("Deny", DENY, request.id, style="danger"),
    ]
    return Message(
        sentence,
        (
            section(sentence),
            section("\n".join(lines)),
            actions(buttons),
            context(f"Nothing is bought before an approval. The buttons work until {moment(request.expires_at)}."),
        ),
    )


def settled(request: DirectRequest) -> Message:
    """The same message without its buttons."""
    return _said(f"{user(request.asker)} asked for an approval to {deed_of(request)}. {_outcome(request)}")


def outcome(request: DirectRequest) -> Message:
    """The message to the person who asked."""
    return _said(f"You asked for an approval to {deed_of(request)}. {_outcome(request)}")


def sent(request: DirectRequest) -> Message:
    """The reply to the command."""
    who = ", ".join(user(approver) for approver in request.approvers)
    sentence = f"An approval is needed to {deed_of(request)}, because {request.needed}: nothing was started yet."
    then = (
        f"{who} can approve it, and got a direct message. The decision follows in your direct messages with the bot. "
        f"Without one, the request expires {moment(request.expires_at)}."
    )
    return Message(f"{sentence} {then}", (section(sentence), context(then)))


def waits(request: DirectRequest | None) -> Message:
    """The reply to a person who asks again. `request`: None if it was decided at this moment."""
    if request is None or request.stage is not DeedStage.WAITING:
        return _said("This was decided just now: nothing else was started. Your direct messages have the decision.")
    return _said(
        f"Your request to {deed_of(request)} is not decided yet. It was sent {moment(request.made_at)}, and expires "
        f"{moment(request.expires_at)}. Nothing was started, and no second request was sent."
    )


def deny_modal(request: DirectRequest) -> dict[str, Any]:
    """The modal for the reason. Its private_metadata is the request's id."""
    text = {"type": "plain_text_input", "action_id": REASON, "multiline": True, "max_length": MAX_REASON}
    hint = plain("The person who asked reads it.", 150)
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": request.id,
        "title": plain("Deny the request", 24),
        "submit": plain("Deny", 24),
        "close": plain("Cancel", 24),
        "blocks": [
            section(f"{user(request.asker)} asks for an approval to {deed_of(request)}."),
            {"type": "input", "block_id": REASON, "label": plain("Reason", 100), "hint": hint, "element": text},
        ],
    }


def deed_of(request: DirectRequest) -> str:
    """The predicate: `launch *fast* with 3 replicas`."""
    word = "scale" if request.deed is Deed.APPROVE_SCALE else "launch"
    to = "to" if request.deed is Deed.APPROVE_SCALE else "with"
    return f"{word} *{escape(request.name)}* {to} {count(request.replicas or 0, 'replica')}"


def _outcome(request: DirectRequest) -> str:
    at, by = moment(request.decided_at) if request.decided_at else "", user(request.decided_by)
    match request.stage:
        case DeedStage.WAITING:
            return "It waits for a decision."
        case DeedStage.GRANTED:
            most = f", up to its ceiling of {usd_per_hour(request.ceiling)}" if request.ceiling is not None else ""
            return f"{by} approved it ({at}){most}: it is started."
        case DeedStage.DECLINED:
            return f"{by} denied it ({at}): nothing was started. The reason: {inert(clip(request.reason, MAX_REASON))}"
        case DeedStage.EXPIRED:
            return f"It expired {moment(request.expires_at)} without a decision: nothing was started."
        case DeedStage.VOID:
            return f"Nothing was started: {request.why}"
        case _:
            assert_never(request.stage)


def _said(sentence: str) -> Message:
    return Message(sentence, (section(sentence),))
