"""chat.* except streams, and reactions.*."""

from bot.sandbox import edits, limits, seed
from bot.sandbox.arguments import Arguments
from bot.sandbox.block_kit import check_attachments, check_message_blocks
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.methods.places import check_editable, message_of, own_message_of, thread_of, writable_channel_of
from bot.sandbox.stand_in import StandIn
from bot.sandbox.workspace import Message

_NOT_IN_UPDATES = frozenset(
    {"ts", "thread_ts", "reply_count", "reply_users", "reply_users_count", "latest_reply", "subscribed", "is_locked"}
)


def content_of(arguments: Arguments, *, text_at_most: int = limits.TEXT) -> JSON:
    """The content of a message, checked: text, blocks and attachments.

    Raises SlackError: `no_text`, `msg_too_long`, `markdown_text_conflict`, and those of the blocks.
    """
    text = arguments.text("text")
    markdown = arguments.text("markdown_text")
    blocks = check_message_blocks(arguments.json("blocks", "invalid_blocks_format"))
    attachments = check_attachments(arguments.json("attachments", "invalid_attachments"))
    if markdown and (text or blocks):
        raise SlackError("markdown_text_conflict")
    if markdown:
        limits.check_text(markdown, at_most=limits.MARKDOWN)
        return {
            "text": markdown,
            "blocks": check_message_blocks([{"type": "markdown", "text": markdown}]),
            "attachments": attachments,
        }
    limits.check_text(text, at_most=text_at_most)
    if not (text.strip() or blocks or attachments):
        raise SlackError("no_text")
    return {"text": text, "blocks": blocks, "attachments": attachments}


def post_message(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel = writable_channel_of(stand_in, arguments, by_name=True)
    content = content_of(arguments)
    message = stand_in.bot_message(
        channel,
        thread_ts=thread_of(stand_in, arguments, channel),
        username=arguments.text("username") or None,
        metadata=limits.check_metadata(arguments.json("metadata", "invalid_metadata_format")),
        **content,
    )
    stand_in.post(message)
    return {"channel": channel.id, "ts": message.ts, "message": message.for_api(with_metadata=True)}


def post_ephemeral(stand_in: StandIn, arguments: Arguments) -> JSON:
    channel = writable_channel_of(stand_in, arguments, by_name=True, restriction="restricted_action")
    user = arguments.required("user")
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    content = content_of(arguments)
    message = stand_in.bot_message(
        channel, ephemeral_to=user, thread_ts=thread_of(stand_in, arguments, channel), **content
    )
    stand_in.post(message)
    return {"message_ts": message.ts}


def update(stand_in: StandIn, arguments: Arguments) -> JSON:
    message = own_message_of(stand_in, arguments, "cant_update_message")
    check_editable(stand_in, message)
    stand_in.streams.end_old()
    if message.streaming:
        raise SlackError("streaming_state_conflict")
    if "metadata" in arguments:
        message.metadata = limits.check_metadata(arguments.json("metadata", "invalid_metadata_format"))
    content = content_of(arguments, text_at_most=limits.UPDATED_TEXT)
    # An update of the text alone removes the blocks, and keeps the attachments.
    if "attachments" not in arguments:
        del content["attachments"]
    if not {"text", "markdown_text", "blocks"} & arguments.names():
        del content["blocks"]
    if "text" not in arguments and "markdown_text" not in arguments:
        del content["text"]
    edits.change(stand_in, message, content, by=seed.BOT_USER)
    return {
        "channel": message.channel,
        "ts": message.ts,
        "text": message.text,
        "message": _as_updated(message),
    }


def _as_updated(message: Message) -> JSON:
    """The message as chat.update returns it: without its place and its replies."""
    fields = message.for_api(with_metadata=True)
    return {name: value for name, value in fields.items() if name not in _NOT_IN_UPDATES}


def delete(stand_in: StandIn, arguments: Arguments) -> JSON:
    message = own_message_of(stand_in, arguments, "cant_delete_message")
    edits.delete(stand_in, message)
    return {"channel": message.channel, "ts": message.ts}


def get_permalink(stand_in: StandIn, arguments: Arguments) -> JSON:
    arguments.required("message_ts")
    message = message_of(stand_in, arguments, "message_ts")
    link = f"https://{seed.TEAM_DOMAIN}.slack.com/archives/{message.channel}/p{message.ts.replace('.', '')}"
    if message.is_reply:
        link += f"?thread_ts={message.thread_ts}&cid={message.channel}"
    return {"channel": message.channel, "permalink": link}


def add_reaction(stand_in: StandIn, arguments: Arguments) -> JSON:
    name = arguments.required("name").strip(":")
    message = message_of(stand_in, arguments, "timestamp")
    given = next((r for r in message.reactions if r["name"] == name), None)
    if given is not None and seed.BOT_USER in given["users"]:
        raise SlackError("already_reacted")
    if given is None:
        message.reactions = [*message.reactions, {"name": name, "users": [seed.BOT_USER], "count": 1}]
    else:
        given["users"].append(seed.BOT_USER)
        given["count"] += 1
    stand_in.workspace.changed(message)
    return {}


def remove_reaction(stand_in: StandIn, arguments: Arguments) -> JSON:
    name = arguments.required("name").strip(":")
    message = message_of(stand_in, arguments, "timestamp")
    given = next((r for r in message.reactions if r["name"] == name), None)
    if given is None or seed.BOT_USER not in given["users"]:
        raise SlackError("no_reaction")
    given["users"].remove(seed.BOT_USER)
    given["count"] -= 1
    message.reactions = [r for r in message.reactions if r["count"]]
    stand_in.workspace.changed(message)
    return {}
