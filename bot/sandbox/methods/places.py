"""Finds the channel and the message that a call names, and checks what the app may do there."""

from bot.sandbox import seed
from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import SlackError
from bot.sandbox.seed import Channel
from bot.sandbox.stand_in import StandIn
from bot.sandbox.workspace import Message


def channel_of(stand_in: StandIn, arguments: Arguments, name: str = "channel", *, by_name: bool = False) -> Channel:
    """The channel that the call names, by its id or, if `by_name`, as people name it.

    Raises SlackError: `channel_not_found`, also for what the app cannot see: a private channel, a group or a direct
    message of which it is no member.
    """
    named = arguments.text(name)
    found = stand_in.workspace.channel_named(named)
    hidden = found is not None and found.kind != "channel" and seed.BOT_USER not in found.members
    if found is None or hidden or not (by_name or found.id == named):
        raise SlackError("channel_not_found")
    return found


def joined_channel_of(
    stand_in: StandIn, arguments: Arguments, name: str = "channel", *, by_name: bool = False
) -> Channel:
    """The channel that the call names, of which the app is a member.

    Raises SlackError: `channel_not_found`, `not_in_channel`.
    """
    channel = channel_of(stand_in, arguments, name, by_name=by_name)
    if seed.BOT_USER not in channel.members:
        raise SlackError("not_in_channel")
    return channel


def writable_channel_of(
    stand_in: StandIn, arguments: Arguments, *, by_name: bool = False, restriction: str = ""
) -> Channel:
    """The channel that the call names, where the app may write, at top level or in the thread that the call names.

    `restriction`: the one error for all restrictions of the channel, for methods that do not name them.
    Raises SlackError: `channel_not_found`, `not_in_channel`, `is_archived`, `messages_tab_disabled`,
    `restricted_action_…`.
    """
    channel = joined_channel_of(stand_in, arguments, by_name=by_name)
    if channel.is_archived:
        raise SlackError("is_archived")
    if channel.is_bot_im and not stand_in.workspace.has_messages_tab:
        raise SlackError("messages_tab_disabled")
    root = stand_in.workspace.message(channel.id, arguments.text("thread_ts"))
    restricted = "" if channel.lets_app_post else channel.restriction(is_reply="thread_ts" in arguments)
    if root is not None and root.is_locked:
        restricted = restricted or "restricted_action_thread_locked"
    if restricted:
        raise SlackError(restriction or restricted)
    return channel


def message_of(stand_in: StandIn, arguments: Arguments, name: str = "ts") -> Message:
    """The message that the call names by channel and ts.

    Raises SlackError: `channel_not_found`, `message_not_found`.
    """
    message = stand_in.workspace.message(channel_of(stand_in, arguments).id, arguments.text(name))
    if message is None:
        raise SlackError("message_not_found")
    return message


def own_message_of(stand_in: StandIn, arguments: Arguments, refusal: str) -> Message:
    """The app's own message that the call names by channel and ts.

    Raises SlackError: `channel_not_found`, `message_not_found`, and `refusal` if it is not the app's.
    """
    message = message_of(stand_in, arguments)
    if message.bot_id != seed.BOT_ID:
        raise SlackError(refusal)
    return message


def check_editable(stand_in: StandIn, message: Message) -> None:
    """Check that a message of the app may be edited. Raises SlackError: `is_inactive`, `edit_window_closed`."""
    workspace = stand_in.workspace
    if workspace.channels[message.channel].is_archived:
        raise SlackError("is_inactive")
    if workspace.edit_window is not None and float(message.ts) < stand_in.clock() - workspace.edit_window:
        raise SlackError("edit_window_closed")


def thread_of(stand_in: StandIn, arguments: Arguments, channel: Channel) -> str | None:
    """The root's ts of the thread for a new message, or None; `thread_ts` may be a reply's.

    Raises SlackError: `cannot_reply_to_message` if there is no such message.
    """
    if "thread_ts" not in arguments:
        return None
    parent = stand_in.workspace.message(channel.id, arguments.text("thread_ts"))
    if parent is None:
        raise SlackError("cannot_reply_to_message")
    return parent.thread_ts or parent.ts
