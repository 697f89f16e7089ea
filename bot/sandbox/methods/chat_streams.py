"""chat.startStream, chat.appendStream and chat.stopStream."""

import asyncio

from bot.sandbox import limits
from bot.sandbox.arguments import Arguments
from bot.sandbox.block_kit import check_message_blocks
from bot.sandbox.faults import Kind
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.methods.places import own_message_of, thread_of, writable_channel_of
from bot.sandbox.seed import UserId
from bot.sandbox.sessions import STATUSES
from bot.sandbox.stand_in import StandIn
from bot.sandbox.streams import Stream


def start_stream(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel = writable_channel_of(stand_in, arguments)
    if not channel.is_im:
        _check_recipient(stand_in, arguments)
    mode = arguments.text("task_display_mode", "timeline")
    if mode not in ("timeline", "plan"):
        limits.refuse_arguments("must be one of timeline, plan [json-pointer:/task_display_mode]")
    message = stand_in.bot_message(
        channel,
        thread_ts=thread_of(stand_in, arguments, channel),
        username=arguments.text("username") or None,
    )
    stream = stand_in.streams.start(message, plan_first=mode == "plan")
    stream.append(arguments.text("markdown_text"), _chunks_of(arguments))
    to_one = not channel.is_im and not stand_in.settings.streams_for_all
    stand_in.streams.open(stream, recipient=arguments.text("recipient_user_id") if to_one else "")
    stand_in.post(message)
    stand_in.sessions.set(channel.id, message.root_ts, "processing")
    life = stand_in.settings.stream_life.total_seconds()
    asyncio.get_running_loop().call_later(life, stand_in.streams.end_old)
    return {"channel": channel.id, "ts": message.ts}


def append_stream(stand_in: StandIn, arguments: Arguments) -> JSON:
    message = own_message_of(stand_in, arguments, "message_not_owned_by_app")
    stand_in.streams.check_not_stopped(message.channel, message.ts)
    stream = _stream_of(stand_in, arguments, "chat.appendStream")
    markdown, chunks = arguments.text("markdown_text"), _chunks_of(arguments)
    if not markdown and not chunks:
        raise SlackError("no_text")
    stream.append(markdown, chunks)
    stand_in.workspace.changed(stream.message)
    return {"channel": stream.message.channel, "ts": stream.message.ts}


def stop_stream(stand_in: StandIn, arguments: Arguments) -> JSON:
    status = arguments.text("session_status", "active")
    if status not in STATUSES:
        limits.refuse_arguments("must be a valid enum value [json-pointer:/session_status]")
    stream = _stream_of(stand_in, arguments, "chat.stopStream")
    blocks = check_message_blocks(arguments.json("blocks", "invalid_blocks_format"))
    metadata = limits.check_metadata(arguments.json("metadata", "invalid_metadata_format"))
    stream.append(arguments.text("markdown_text"), _chunks_of(arguments))
    message = stream.message
    if len(message.blocks) + len(blocks) > limits.BLOCKS:
        raise SlackError("msg_blocks_too_many")
    message.blocks = [*message.blocks, *blocks]
    message.metadata = metadata or message.metadata
    stand_in.streams.end(stream)
    stand_in.sessions.set(message.channel, message.root_ts, status)
    stopped = {name: value for name, value in message.for_api().items() if name not in ("app_id", "team")}
    return {"channel": message.channel, "ts": message.ts, "message": stopped}


def _check_recipient(stand_in: StandIn, arguments: Arguments) -> None:
    """Check the recipient, which Slack requires in channels, and the recipient's own team."""
    if "recipient_team_id" not in arguments:
        raise SlackError("missing_recipient_team_id")
    if "recipient_user_id" not in arguments:
        raise SlackError("missing_recipient_user_id")
    recipient = stand_in.workspace.users.get(UserId(arguments.text("recipient_user_id")))
    if arguments.text("recipient_team_id") not in {user.team_id for user in stand_in.workspace.users.values()}:
        raise SlackError("team_not_found")
    if recipient is None or recipient.is_bot or recipient.team_id != arguments.text("recipient_team_id"):
        raise SlackError("user_not_found")


def _chunks_of(arguments: Arguments) -> list[JSON]:
    chunks = arguments.json("chunks", "invalid_chunks") or []
    if not isinstance(chunks, list):
        raise SlackError("invalid_chunks")
    return chunks


def _stream_of(stand_in: StandIn, arguments: Arguments, method: str) -> Stream:
    message = own_message_of(stand_in, arguments, "message_not_owned_by_app")
    if stand_in.workspace.channels[message.channel].is_archived:
        raise SlackError("is_archived")
    stream = stand_in.streams.find(message.channel, message.ts)
    if stand_in.faults.take(method, Kind.STREAM_DIES):
        stand_in.streams.end(stream)
        raise SlackError("message_not_in_streaming_state")
    return stream
