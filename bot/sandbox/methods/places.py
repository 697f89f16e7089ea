"""Finds the channel and the message that a call names, and checks the app's access."""

from bot.sandbox import seed
from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import SlackError
from bot.sandbox.seed import Channel
from bot.sandbox.stand_in import StandIn
from bot.sandbox.workspace import Message


def channel_of(stand_in: StandIn, arguments: Arguments, name: str = "channel") -> Channel:
    """The channel that the call names. Raises SlackError: `channel_not_found`."""
    found = stand_in.workspace.channel_named(arguments.text(name))
    if found is None:
        raise SlackError("channel_not_found")
    return found


def joined_channel_of(stand_in: StandIn, arguments: Arguments, name: str = "channel") -> Channel:
    """The channel that the call names, of which the app is a member.

    Raises SlackError: `channel_not_found`, `not_in_channel`.
    """
    channel = channel_of(stand_in, arguments, name)
    if seed.BOT_USER not in channel.members:
        raise SlackError("not_in_channel")
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
