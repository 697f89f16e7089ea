"""conversations.* and users.conversations."""

from collections.abc import Sequence
from typing import Any

from bot.sandbox import seed
from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.methods.channel_objects import channel_object, listed_object
from bot.sandbox.methods.places import channel_of, joined_channel_of
from bot.sandbox.seed import Channel
from bot.sandbox.stand_in import StandIn
from bot.sandbox.workspace import Message

_TYPES = {"channel": "public_channel", "private": "private_channel", "mpim": "mpim", "im": "im"}


def _visible(stand_in: StandIn) -> list[Channel]:
    """The public channels, and the others of which the app is a member."""
    channels = stand_in.workspace.channels.values()
    return [c for c in channels if c.kind == "channel" or seed.BOT_USER in c.members]


def _of_types(arguments: Arguments, channels: list[Channel]) -> JSON:
    kinds = arguments.text("types", "public_channel").replace(" ", "").split(",")
    if not set(kinds) <= {"public_channel", "private_channel", "mpim", "im"}:
        raise SlackError("invalid_types")
    wanted = [c for c in channels if _TYPES[c.kind] in kinds]
    if arguments.flag("exclude_archived"):
        wanted = [c for c in wanted if not c.is_archived]
    listed = [listed_object(channel) for channel in wanted]
    return _page(arguments, listed, "channels", default=100)


def _page(arguments: Arguments, items: Sequence[Any], name: str, *, default: int) -> JSON:
    """One page of a list; the cursor is the number of items before it."""
    cursor = arguments.text("cursor", "0") or "0"
    if not cursor.isdigit():
        raise SlackError("invalid_cursor")
    start, size = int(cursor), arguments.number("limit", default, 1000)
    more = start + size < len(items)
    return {
        name: items[start : start + size],
        "response_metadata": {"next_cursor": str(start + size) if more else ""},
    }


def list_all(stand_in: StandIn, arguments: Arguments) -> JSON:
    return _of_types(arguments, _visible(stand_in))


def list_mine(stand_in: StandIn, arguments: Arguments) -> JSON:
    user = arguments.text("user") or seed.BOT_USER
    mine = [c for c in _visible(stand_in) if user in c.members]
    return _of_types(arguments, mine)


def info(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel = channel_of(stand_in, arguments)
    return {"channel": channel_object(channel, with_members=arguments.flag("include_num_members"))}


def members(stand_in: StandIn, arguments: Arguments) -> JSON:
    return _page(arguments, channel_of(stand_in, arguments).members, "members", default=100)


def join(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel = channel_of(stand_in, arguments)
    if channel.kind != "channel":
        raise SlackError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise SlackError("is_archived")
    if seed.BOT_USER in channel.members:
        return {
            "channel": channel_object(channel),
            "warning": "already_in_channel",
            "response_metadata": {"warnings": ["already_in_channel"]},
        }
    return {"channel": channel_object(stand_in.workspace.join(channel, seed.BOT_USER))}


def open_dm(stand_in: StandIn, arguments: Arguments) -> JSON:
    if "channel" in arguments:
        return {"channel": {"id": channel_of(stand_in, arguments).id}}
    users = [user for user in arguments.text("users").replace(" ", "").split(",") if user]
    if not users:
        raise SlackError("users_list_not_supplied")
    dm = stand_in.workspace.dm_of(users[0]) if len(users) == 1 and users[0] != seed.BOT_USER else None
    if dm is None:
        raise SlackError("user_not_found" if len(users) == 1 else "too_many_users")
    return {"channel": {"id": dm.id}, "no_op": True, "already_open": True}


def _within(arguments: Arguments, messages: list[Message]) -> list[Message]:
    """The messages between `oldest` and `latest`, both excluded unless `inclusive`."""
    oldest, latest = arguments.text("oldest", "0") or "0", arguments.text("latest") or "9" * 12
    try:
        low, high = float(oldest), float(latest)
    except ValueError:
        raise SlackError("invalid_ts_oldest") from None
    if arguments.flag("inclusive"):
        return [m for m in messages if low <= float(m.ts) <= high]
    return [m for m in messages if low < float(m.ts) < high]


def _messages(arguments: Arguments, messages: list[Message], *, default: int) -> JSON:
    with_metadata = arguments.flag("include_all_metadata")
    listed = [message.for_api(with_metadata=with_metadata) for message in messages]
    paged = _page(arguments, listed, "messages", default=default)
    return paged | {"has_more": bool(paged["response_metadata"]["next_cursor"])}


def history(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel = joined_channel_of(stand_in, arguments)
    roots = [m for m in stand_in.workspace.messages(channel.id) if not m.is_reply]
    newest_first = _within(arguments, roots)[::-1]
    return _messages(arguments, newest_first, default=100) | {"pin_count": 0}


def replies(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel = joined_channel_of(stand_in, arguments)
    named = stand_in.workspace.message(channel.id, arguments.required("ts"))
    if named is None:
        raise SlackError("thread_not_found")
    root_ts = named.thread_ts or named.ts
    root = stand_in.workspace.message(channel.id, root_ts)
    if root is None:
        raise SlackError("thread_not_found")
    thread = [m for m in stand_in.workspace.messages(channel.id) if m.thread_ts == root_ts and m is not root]
    page = _messages(arguments, [root, *_within(arguments, thread)], default=1000)
    for message in page["messages"]:
        if message["ts"] != root_ts:
            message["parent_user_id"] = root.user
    return page
