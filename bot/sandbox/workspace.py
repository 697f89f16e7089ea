"""The sandbox workspace in memory: people, channels, messages, and each person's modals and Home tab."""

import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from bot.sandbox import commands, manifest, seed
from bot.sandbox.feed import Feed
from bot.sandbox.limits import JSON
from bot.sandbox.seed import Channel, ChannelId, User, UserId

MESSAGES_KEPT = 5_000  # per channel
EPHEMERALS_KEPT = 500


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message as the workspace stores it; `ts` is unique in its channel."""

    channel: ChannelId
    ts: str
    text: str = ""
    user: str | None = None
    bot_id: str | None = None
    username: str | None = None
    thread_ts: str | None = None
    blocks: list[JSON] = []
    attachments: list[JSON] = []
    files: list[JSON] = []
    metadata: JSON | None = None
    subtype: str | None = None
    edited: JSON | None = None
    ephemeral_to: str | None = None
    streaming: bool = False
    recipient: str | None = None
    first_part: JSON | None = None
    reactions: list[JSON] = []
    client_msg_id: str | None = None
    reply_count: int = 0
    reply_users: list[str] = []
    latest_reply: str | None = None
    is_locked: bool = False
    team: str = seed.TEAM_ID

    @property
    def is_reply(self) -> bool:
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def root_ts(self) -> str:
        """The root of the message's thread; its own ts if it is in none."""
        return self.thread_ts or self.ts

    def for_api(self, *, with_metadata: bool = False) -> JSON:
        """The message in the form of the Web API and of events.

        While it is streamed to one person, other people and the Web API get its first part.
        """
        fields: JSON = msgspec.to_builtins(self) | (self.first_part or {})
        for inner in ("channel", "ephemeral_to", "streaming", "recipient", "first_part"):
            fields.pop(inner, None)
        if not with_metadata:
            fields.pop("metadata", None)
        fields |= {"type": "message", "text": fields.get("text", ""), "team": self.team}
        if self.bot_id:
            fields |= {"app_id": seed.APP_ID}
        if self.files:
            fields |= {"upload": False, "display_as_bot": False}
            for missing in ("team", "client_msg_id"):
                fields.pop(missing, None)
        if self.reply_count:
            fields |= {"reply_users_count": len(self.reply_users), "subscribed": False, "is_locked": self.is_locked}
        return fields

    def for_page(self, reader: str) -> JSON:
        """The message in the form of the page's API, as this person sees it."""
        fields: JSON = msgspec.to_builtins(self)
        fields.pop("first_part", None)
        seen = self.first_part if self.first_part is not None and reader != self.recipient else {}
        return (
            fields
            | {
                "text": self.text,
                "blocks": self.blocks,
                "attachments": self.attachments,
                "files": self.files,
                "edited": self.edited is not None,
                "reply_count": self.reply_count,
                "reply_users": self.reply_users,
            }
            | seen
        )


class Workspace:
    """The state of the stand-in. Every change is published to the feed."""

    def __init__(
        self, feed: Feed, clock: Callable[[], float] = time.time, *, contents: seed.Seed = seed.SANDBOX
    ) -> None:
        self.feed = feed
        self.clock = clock
        self.enterprise_id = contents.enterprise_id
        self.users: dict[UserId, User] = {user.id: user for user in (*contents.people, seed.BOT)}
        self.channels: dict[ChannelId, Channel] = {channel.id: channel for channel in contents.channels}
        self.me: UserId = contents.people[0].id
        self.has_messages_tab = True
        self.edit_window: float | None = None  # seconds within which a message may be edited
        self.offline: set[str] = set()
        self.moved: dict[ChannelId, ChannelId] = {}  # previous ids of channels
        self.homes: dict[str, JSON] = {}
        self.modals: dict[str, list[JSON]] = {user.id: [] for user in contents.people}
        self.statuses: dict[str, str] = {}
        self.prompts: dict[str, list[JSON]] = {}
        self._messages: dict[ChannelId, dict[str, Message]] = {channel: {} for channel in self.channels}
        self._ephemerals: deque[Message] = deque(maxlen=EPHEMERALS_KEPT)
        self._last_micros = 0

    def new_ts(self) -> str:
        """A timestamp in Slack's form, later than all previous ones."""
        self._last_micros = max(self._last_micros + 1, int(self.clock() * 1_000_000))
        return f"{self._last_micros // 1_000_000}.{self._last_micros % 1_000_000:06d}"

    def dm_of(self, user: str) -> Channel | None:
        """The direct message between this person and the bot."""
        return next((c for c in self.channels.values() if c.is_bot_im and user in c.members), None)

    def channel_named(self, name: str) -> Channel | None:
        """The channel with this id, this name (with or without #), or the direct message with this user."""
        found = self.channels.get(ChannelId(name))
        plain = name.removeprefix("#")
        return (
            found
            or next((c for c in self.channels.values() if not c.is_direct and c.name == plain), None)
            or (self.dm_of(name) if UserId(name) in self.users and name != seed.BOT_USER else None)
        )

    def join(self, channel: Channel, user: UserId) -> Channel:
        joined = msgspec.structs.replace(channel, members=(*channel.members, user))
        self.change(joined)
        return joined

    def enterprise_of(self, user: User) -> str:
        """The enterprise of a person's team; empty if the workspace does not have the team."""
        return "" if user.is_external else self.enterprise_id

    def change(self, channel: Channel) -> None:
        """Replace a channel by a changed one of the same id."""
        self.channels[channel.id] = channel
        self.feed.publish(("channel", channel.id), lambda: {"channel": page_channel(self.channels[channel.id])})

    def move(self, channel: Channel, to: ChannelId) -> None:
        """Give a channel another id. Its messages keep their ts."""
        del self.channels[channel.id]
        self.moved[channel.id] = to
        messages = self._messages[to] = self._messages.pop(channel.id)
        for message in [*messages.values(), *(m for m in self._ephemerals if m.channel == channel.id)]:
            message.channel = to
        self.change(msgspec.structs.replace(channel, id=to))

    def message(self, channel: ChannelId, ts: str) -> Message | None:
        return self._messages[channel].get(ts)

    def ephemeral(self, channel: ChannelId, ts: str) -> Message | None:
        return next((m for m in self._ephemerals if m.ts == ts and m.channel == channel), None)

    def messages(self, channel: ChannelId) -> Iterator[Message]:
        """All messages of a channel, including replies, oldest first."""
        return iter(self._messages[channel].values())

    def add(self, message: Message) -> Message:
        """Add a message, and remove the channel's oldest beyond MESSAGES_KEPT."""
        if message.ephemeral_to:
            self._ephemerals.append(message)
        else:
            kept = self._messages[message.channel]
            kept[message.ts] = message
            if len(kept) > MESSAGES_KEPT:
                del kept[next(iter(kept))]
            self._count_reply(message)
        self.changed(message)
        return message

    def changed(self, message: Message) -> None:
        self.feed.publish(("message", message.channel, message.ts), lambda: {"message": message.for_page(self.me)})

    def remove(self, message: Message) -> None:
        if message.ephemeral_to:
            self._ephemerals.remove(message)
        else:
            del self._messages[message.channel][message.ts]
            root = self._messages[message.channel].get(message.thread_ts or "")
            if root is not None:
                root.reply_count -= 1
                self.changed(root)
        self.feed.publish(
            ("message_deleted", message.channel, message.ts),
            lambda: {"channel": message.channel, "ts": message.ts},
        )

    def _count_reply(self, message: Message) -> None:
        root = self._messages[message.channel].get(message.thread_ts or "")
        if root is None or root is message:
            return
        root.thread_ts = root.ts
        root.reply_count += 1
        root.latest_reply = message.ts
        author = message.user or message.bot_id or ""
        if author not in root.reply_users:
            root.reply_users = [*root.reply_users, author]
        self.changed(root)

    def show_modals(self, user: str) -> None:
        self.feed.publish(("modals", user), lambda: {"user": user, "stack": self.modals[user]})

    def show_home(self, user: str) -> None:
        self.feed.publish(("home", user), lambda: {"user": user, "view": self.homes.get(user)})

    def set_status(self, channel: str, thread_ts: str, text: str) -> None:
        """Show a status such as "is thinking…" under a thread; an empty text removes it."""
        key = f"{channel}:{thread_ts}"
        if self.statuses.get(key, "") == text:
            return
        self.statuses[key] = text
        if not text:
            del self.statuses[key]
        self.feed.publish(("status", key), lambda: {"key": key, "text": self.statuses.get(key, "")})

    def set_prompts(self, channel: str, thread_ts: str, prompts: list[JSON]) -> None:
        key = f"{channel}:{thread_ts}"
        self.prompts[key] = prompts
        self.feed.publish(("prompts", key), lambda: {"key": key, "prompts": self.prompts.get(key, [])})

    def snapshot(self, reader: str = "") -> JSON:
        """The complete state for the page of a person (`me` by default), at the feed's cursor."""
        reader = reader or self.me
        listed: dict[str, list[JSON]] = {c: [m.for_page(reader) for m in self.messages(c)] for c in self.channels}
        for ephemeral in self._ephemerals:
            listed[ephemeral.channel].append(ephemeral.for_page(reader))
        for messages in listed.values():
            messages.sort(key=lambda m: m["ts"])
        return {
            "cursor": self.feed.cursor,
            "team": {"id": seed.TEAM_ID, "name": seed.TEAM_NAME},
            "me": self.me,
            "app": {"id": seed.APP_ID, "bot_user_id": seed.BOT_USER, "name": seed.BOT_NAME},
            "users": [msgspec.to_builtins(user) for user in self.users.values()],
            "channels": [page_channel(channel) for channel in self.channels.values()],
            "commands": msgspec.to_builtins((*commands.COMMANDS, commands.INVITE)),
            "shortcuts": manifest.SHORTCUTS,
            "messages": listed,
            "homes": {user: self.homes.get(user) for user in self.modals},
            "modals": self.modals,
            "statuses": self.statuses,
            "suggested_prompts": self.prompts,
        }


def page_channel(channel: Channel) -> JSON:
    """The channel in the form of the page's API."""
    fields: JSON = msgspec.to_builtins(channel)
    kind = "im" if channel.is_direct else "channel"  # the page draws no other kinds
    return fields | {"kind": kind, "is_bot_im": channel.is_bot_im}
