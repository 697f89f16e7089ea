"""PURE: the form of payloads that Bolt and the listeners can read. Others are rejected here, before both of them.

Fields that neither reads are not checked, and a field may be null unless a listener cannot do without it.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from bot.slack.message import JSON

DEEPEST = 64
"""Maximum depth of objects in a payload. Blocks are 12 deep at most."""

Ts = Annotated[str, Meta(pattern=r"\A\d{1,12}(?:\.\d{1,9})?\Z")]
"""Slack's timestamp and id of a message."""
Id = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{0,64}\Z")]
"""An id of Slack's: of a person, a team, a channel."""


class Malformed(Exception):
    """A payload that cannot be read. The text is for the log."""


class _Named(Struct):
    id: Id | None = None
    team_id: Id | None = None
    enterprise_id: Id | None = None


class _Container(Struct):
    channel_id: Id | None = None
    message_ts: Ts | None = None
    thread_ts: Ts | None = None
    view_id: Id | None = None


class _Option(Struct):
    value: str | None = None


class _Action(Struct):
    action_id: str
    block_id: str | None = None
    value: str | None = None
    action_ts: str | None = None


class _Input(Struct):
    value: str | None = None
    selected_option: _Option | None = None
    selected_options: list[_Option] | None = None
    selected_conversation: str | None = None
    selected_date_time: int | None = None


class _State(Struct):
    values: dict[str, dict[str, _Input]] | Annotated[list[Any], Meta(max_length=0)] | None = None
    """Slack sends some objects without fields as `[]`."""


class _View(Struct, kw_only=True):
    id: str
    hash: str
    type: str
    callback_id: str
    private_metadata: str | None = None
    team_id: Id | None = None
    app_installed_team_id: Id | None = None
    state: _State | None = None
    blocks: list[dict[str, Any]] | None = None


class _Edited(Struct):
    ts: Ts | None = None


class _Attachment(Struct):
    text: str | None = None
    title: str | None = None
    pretext: str | None = None
    fallback: str | None = None
    blocks: list[dict[str, Any]] | None = None
    files: list[dict[str, Any]] | None = None


class _Message(Struct):
    ts: Ts | None = None
    thread_ts: Ts | None = None
    text: str | None = None
    user: str | None = None
    username: str | None = None
    subtype: str | None = None
    bot_id: str | None = None
    bot_profile: dict[str, Any] | None = None
    blocks: list[dict[str, Any]] | None = None
    files: list[dict[str, Any]] | None = None
    attachments: list[_Attachment] | None = None
    edited: _Edited | None = None


class _ResponseUrl(Struct):
    response_url: str | None = None


class _Any(Struct):
    """What Bolt reads in every payload, before any listener."""

    type: str | None = None
    user: _Named | Id | None = None
    team: _Named | Id | None = None
    enterprise: _Named | Id | None = None
    channel: _Named | Id | None = None
    user_id: Id | None = None
    team_id: Id | None = None
    enterprise_id: Id | None = None
    channel_id: Id | None = None
    thread_ts: str | None = None
    item: _Named | str | None = None
    message: _Message | None = None
    previous_message: _Message | None = None
    authorizations: list[_Named] | None = None
    response_urls: list[_ResponseUrl] | None = None
    response_url: str | None = None
    trigger_id: str | None = None


class _Untyped(_Any):
    """A payload without a type, such as Slack's check of the certificate. Middleware reads it as that of a click."""

    container: _Container | None = None
    view: _View | None = None
    actions: list[_Action] | None = None


class _Command(_Any, kw_only=True):
    command: str
    text: str | None = None


class _Interaction(_Any, kw_only=True):
    type: str
    user: _Named | None = None
    team: _Named | None = None
    enterprise: _Named | None = None
    channel: _Named | None = None
    container: _Container | None = None
    view: _View | None = None
    message_ts: Ts | None = None
    callback_id: str | None = None


class _Click(_Interaction, kw_only=True):
    actions: Annotated[list[_Action], Meta(min_length=1)]


class _Submission(_Interaction, kw_only=True):
    view: _View


class _Said(_Message, kw_only=True):
    """A message, or its change or deletion."""

    type: str
    channel: Id | None = None
    channel_type: str | None = None
    team: Id | None = None
    user_team: Id | None = None
    message: _Message | None = None
    previous_message: _Message | None = None
    deleted_ts: Ts | None = None


class _HomeOpened(Struct, kw_only=True):
    type: str
    user: Id
    tab: str | None = None
    event_ts: str | None = None


class _Stopped(Struct, kw_only=True):
    type: str
    channel: Id
    event_ts: Ts
    user: Id | None = None
    thread_ts: Ts | None = None


class _Tokens(Struct):
    oauth: list[str] | None = None
    bot: list[str] | None = None


class _Revoked(Struct, kw_only=True):
    type: str
    tokens: _Tokens | None = None


class _AnyEvent(_Any, kw_only=True):
    type: str


class _Envelope(_Any, kw_only=True):
    event: dict[str, Any]
    event_id: str | None = None


_EVENTS: dict[str, type[Struct]] = {
    "message": _Said,
    "app_mention": _Said,
    "app_home_opened": _HomeOpened,
    "agent_session_stopped": _Stopped,
    "tokens_revoked": _Revoked,
}
_INTERACTIONS: dict[str, type[Struct]] = {
    "block_actions": _Click,
    "view_submission": _Submission,
    "view_closed": _Submission,
    "message_action": _Interaction,
    "shortcut": _Interaction,
}


def checked(body: object) -> JSON:
    """The payload, with text that can be encoded. Raises Malformed."""
    if not isinstance(body, dict):
        raise Malformed("it is no object")
    payload: JSON = _cleaned(body, DEEPEST)
    try:
        msgspec.convert(payload, _form_of(payload))
    except msgspec.ValidationError as error:
        raise Malformed(str(error)) from error
    if payload.get("response_urls", ()) is None:
        del payload["response_urls"]  # Bolt counts those of a payload that has the field
    return payload


def _form_of(payload: JSON) -> type[Struct]:
    if "command" in payload:
        return _Command
    if "event" not in payload:
        return _INTERACTIONS.get(_text(payload.get("type")), _Interaction if "type" in payload else _Untyped)
    event = msgspec.convert(payload, _Envelope).event
    msgspec.convert(event, _EVENTS.get(_text(event.get("type")), _AnyEvent))
    msgspec.convert(event, _AnyEvent)
    return _Envelope


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _cleaned(value: Any, depth: int) -> Any:
    """The value without halves of characters, which no encoding can hold."""
    if depth < 0:
        raise Malformed("it is nested too deeply")
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_cleaned(name, depth - 1): _cleaned(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner, depth - 1) for inner in value]
    return value
