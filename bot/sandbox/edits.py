"""Changed and deleted messages, and the events that Slack sends about them."""

import time

from bot.sandbox import events, teams
from bot.sandbox.limits import JSON
from bot.sandbox.seed import BOT_USER, UserId
from bot.sandbox.stand_in import StandIn
from bot.sandbox.workspace import Message

DELETED = "This message was deleted."


def edit(stand_in: StandIn, message: Message, typed: str) -> None:
    """A person replaces the text of a message."""
    stored = stand_in.stored(typed)
    change(stand_in, message, {"text": stored, "blocks": events.rich_text(stored)}, by=message.user or "")
    channel = stand_in.workspace.channels[message.channel]
    if f"<@{BOT_USER}>" in stored and BOT_USER in channel.members and not channel.is_im:
        mention = teams.of_mention(stand_in.workspace, stand_in.workspace.users[UserId(message.user or "")])
        stand_in.send_event(events.app_mention_event(message, channel) | mention)


def change(stand_in: StandIn, message: Message, content: JSON, *, by: str) -> None:
    """Replace parts of a message: text, blocks, attachments. Missing parts stay unchanged."""
    before = message.for_api()
    message.text = content.get("text", message.text)
    message.blocks = content.get("blocks", message.blocks)
    message.attachments = content.get("attachments", message.attachments)
    message.edited = {"user": by, "ts": f"{time.time():.6f}"}
    stand_in.workspace.changed(message)
    _tell_changed(stand_in, message, before)


def delete(stand_in: StandIn, message: Message) -> None:
    """Delete a message; the root of a thread with replies stays as a tombstone."""
    before = message.for_api()
    if message.reply_count:
        message.subtype, message.text, message.user = "tombstone", DELETED, "USLACKBOT"
        message.blocks, message.attachments, message.files, message.bot_id = [], [], [], None
        stand_in.workspace.changed(message)
        _tell_changed(stand_in, message, before)
        return
    stand_in.workspace.remove(message)
    channel = stand_in.workspace.channels[message.channel]
    if not message.ephemeral_to and BOT_USER in channel.members:
        stand_in.send_event(events.message_deleted_event(channel, before, ts=stand_in.workspace.new_ts()))


def _tell_changed(stand_in: StandIn, message: Message, before: JSON) -> None:
    channel = stand_in.workspace.channels[message.channel]
    if not message.ephemeral_to and BOT_USER in channel.members:
        stand_in.send_event(events.message_changed_event(message, channel, before, ts=stand_in.workspace.new_ts()))
