"""The scopes that each method and each event requires (docs.slack.dev/reference/scopes)."""

from collections.abc import Set as AbstractSet
from typing import Final

from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.seed import Channel

_FAMILY: Final = {"channel": "channels", "private": "groups", "im": "im", "mpim": "mpim"}
_LISTED: Final = {"public_channel": "channels", "private_channel": "groups", "im": "im", "mpim": "mpim"}
_CHANNEL_TYPE: Final = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}

_BY_METHOD: Final = {
    "agents.sessions.rename": "chat:write",
    "agents.sessions.setStatus": "chat:write",
    "assistant.threads.setStatus": "chat:write",
    "assistant.threads.setSuggestedPrompts": "assistant:write",
    "assistant.threads.setTitle": "assistant:write",
    "bots.info": "users:read",
    "chat.appendStream": "chat:write",
    "chat.delete": "chat:write",
    "chat.postEphemeral": "chat:write",
    "chat.postMessage": "chat:write",
    "chat.startStream": "chat:write",
    "chat.stopStream": "chat:write",
    "chat.update": "chat:write",
    "conversations.join": "channels:join",
    "files.info": "files:read",
    "reactions.add": "reactions:write",
    "reactions.remove": "reactions:write",
    "team.info": "team:read",
    "usergroups.list": "usergroups:read",
    "usergroups.users.list": "usergroups:read",
    "users.info": "users:read",
    "users.list": "users:read",
}
_BY_CHANNEL: Final = {
    "conversations.history": "history",
    "conversations.info": "read",
    "conversations.members": "read",
    "conversations.replies": "history",
}
_BY_LISTED: Final = frozenset({"conversations.list", "users.conversations"})
_BY_EVENT: Final = {"agent_session_stopped": "chat:write", "app_mention": "app_mentions:read"}


def accepted(method: str) -> tuple[str, ...]:
    """The scopes of which the method requires at least one; none if every token may call it."""
    if method in _BY_METHOD:
        return (_BY_METHOD[method],)
    if method in _BY_CHANNEL:
        return tuple(f"{family}:{_BY_CHANNEL[method]}" for family in _FAMILY.values())
    if method in _BY_LISTED:
        return tuple(f"{family}:read" for family in _FAMILY.values())
    return ("channels:manage", "groups:write", "im:write", "mpim:write") if method == "conversations.open" else ()


def check(granted: AbstractSet[str], method: str, given: Arguments, channel: Channel | None) -> None:
    """Check a call; `channel`: the one that it names, if it exists. Raises SlackError: `missing_scope`."""
    any_of, all_of = accepted(method), _required(method, given, channel)
    if any_of and granted.isdisjoint(any_of):
        raise _missing(granted, any_of)
    if not granted >= set(all_of):
        raise _missing(granted, [scope for scope in all_of if scope not in granted])


def _required(method: str, given: Arguments, channel: Channel | None) -> list[str]:
    """The scopes that this call requires, depending on the kinds of its channels."""
    if method in _BY_CHANNEL and channel is not None:
        return [f"{_FAMILY[channel.kind]}:{_BY_CHANNEL[method]}"]
    if method in _BY_LISTED:
        kinds = given.text("types", "public_channel").replace(" ", "").split(",")
        return [f"{_LISTED[kind]}:read" for kind in kinds if kind in _LISTED]
    if method == "conversations.open" and "users" in given:
        return ["mpim:write" if "," in given.text("users") else "im:write"]
    return []


def _missing(granted: AbstractSet[str], needed: list[str] | tuple[str, ...]) -> SlackError:
    return SlackError("missing_scope", needed=",".join(needed), provided=",".join(sorted(granted)))


def allow(granted: AbstractSet[str], event: JSON) -> bool:
    """Whether the app may receive an event."""
    if event["type"] == "message":
        return f"{_CHANNEL_TYPE[event['channel_type']]}:history" in granted
    required = _BY_EVENT.get(event["type"])
    return required is None or required in granted
