"""Events in the form of Slack's Events API, and the conversion of typed text to Slack's markup."""

import html
import re
import secrets
from collections.abc import Sequence

from bot.sandbox import seed
from bot.sandbox.limits import JSON
from bot.sandbox.seed import Channel, User
from bot.sandbox.teams import Origin
from bot.sandbox.workspace import Message

HOME = Origin()
_AT = re.compile(r"(?<![\w@;])@([A-Za-z][\w.-]*)")
_HASH = re.compile(r"(?<![\w#&])#([a-z][\w-]*)")
_URL = re.compile(r"(?<![<|\w])https?://[^\s<>|]+")
_BROADCASTS = frozenset({"channel", "here", "everyone"})


def envelope(event: JSON, *, at: float, origin: Origin = HOME) -> JSON:
    """The payload that contains an event; `at` is in seconds since 1970."""
    context = {"context_team_id": seed.TEAM_ID, "context_enterprise_id": origin.own_enterprise_id or None}
    return {
        "token": seed.VERIFICATION_TOKEN,
        "team_id": origin.team_id,
        **({"enterprise_id": origin.enterprise_id} if origin.enterprise_id else {}),
        **({} if event["type"] == "app_mention" else context),
        "api_app_id": seed.APP_ID,
        "event": event,
        "type": "event_callback",
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(at),
        "authorizations": [
            {
                "enterprise_id": origin.own_enterprise_id or None,
                "team_id": seed.TEAM_ID,
                "user_id": seed.BOT_USER,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": origin.is_ext_shared,
        "event_context": secrets.token_urlsafe(24),
    }


def message_event(message: Message, channel: Channel) -> JSON:
    event = (
        message.for_api()
        | {
            "channel": channel.id,
            "event_ts": message.ts,
            "channel_type": channel.type,
        }
        | _files(message, channel)
    )
    for counted in ("reply_count", "reply_users", "reply_users_count", "latest_reply", "reactions"):
        event.pop(counted, None)
    return event


def message_changed_event(message: Message, channel: Channel, before: JSON, *, ts: str) -> JSON:
    """The event of a message that was edited, by a person or by the app, or of a root that was deleted."""
    teams = {"source_team": seed.TEAM_ID, "user_team": seed.TEAM_ID}
    hidden = {"hidden": True} if message.subtype == "tombstone" else {}
    return _about(channel, "message_changed", ts) | {
        "message": message.for_api() | teams | hidden,
        "previous_message": before,
    }


def message_deleted_event(channel: Channel, before: JSON, *, ts: str) -> JSON:
    return _about(channel, "message_deleted", ts) | {"deleted_ts": before["ts"], "previous_message": before}


def _about(channel: Channel, subtype: str, ts: str) -> JSON:
    """The fields of events about another message, which has a ts of its own."""
    event = {"type": "message", "subtype": subtype, "channel": channel.id, "hidden": True, "ts": ts, "event_ts": ts}
    return event | {"channel_type": channel.type}


def _files(message: Message, channel: Channel) -> JSON:
    """The files in an event. In a channel of several companies only their ids; the Web API has the whole objects."""
    if not message.files:
        return {}
    if not channel.external_teams:
        return {"files": message.files}
    stub = {"created": 0, "timestamp": 0, "mode": "file_access", "file_access": "check_file_info"}
    return {"files": [{"id": file["id"], **stub} for file in message.files]}


def app_mention_event(message: Message, channel: Channel) -> JSON:
    """An `app_mention` event, which is sent in addition to the `message` event of the same text."""
    event: JSON = {
        "user": message.user,
        "type": "app_mention",
        "ts": message.ts,
        "client_msg_id": message.client_msg_id,
        "text": message.text,
        "team": seed.TEAM_ID,
        "blocks": message.blocks,
        "channel": message.channel,
        "event_ts": message.ts,
    }
    if message.files:
        event |= _files(message, channel) | {"upload": False, "display_as_bot": False}
    optional = {"thread_ts": message.thread_ts, "edited": message.edited, "attachments": message.attachments}
    return event | {name: value for name, value in optional.items() if value}


def app_home_opened_event(user: str, channel: Channel, *, tab: str, view: JSON | None, ts: str) -> JSON:
    """An `app_home_opened` event; `tab` is "home" or "messages"."""
    event: JSON = {
        "type": "app_home_opened",
        "user": user,
        "channel": channel.id,
        "tab": tab,
        "event_ts": ts,
    }
    return event | ({"view": view} if view and tab == "home" else {})


def agent_session_stopped_event(
    user: str, channel: Channel, thread_ts: str, streams: Sequence[str], *, ts: str
) -> JSON:
    """The event of a Stop button; `streams` are the messages whose streams Slack has ended for it."""
    return {
        "type": "agent_session_stopped",
        "channel": channel.id,
        "event_ts": ts,
        "streaming_message_ts": list(streams),
        "thread_ts": thread_ts,
        "user": user,
    }


def forwarded(message: Message, channel: Channel, author: User, base_url: str) -> JSON:
    """The attachment by which a person forwards a message: its text, its author and its files."""
    url = f"{base_url}/archives/{channel.id}/p{message.ts.replace('.', '')}"
    files = {"files": message.files} if message.files else {}
    return {
        "ts": message.ts,
        "author_id": author.id,
        "author_name": author.real_name,
        "author_subname": author.name,
        "author_link": f"{base_url}/team/{author.id}",
        "channel_id": channel.id,
        "channel_team": seed.TEAM_ID,
        "is_msg_unfurl": True,
        "is_share": True,
        "id": 1,
        "color": "D0D0D0",
        "fallback": f"[{message.ts}] {author.name}: {message.text}",
        "text": message.text,
        "message_blocks": [
            {"team": seed.TEAM_ID, "channel": channel.id, "ts": message.ts, "message": {"blocks": message.blocks}}
        ],
        "mrkdwn_in": ["text"],
        "from_url": url,
        "original_url": url,
        "footer": f"Posted in #{channel.name}",
        **files,
    }


def typed(text: str, users: Sequence[User], channels: Sequence[Channel]) -> str:
    """Typed text as Slack stores it: escaped, with mentions, channels and URLs as links."""
    ids = {name: user.id for user in users for name in (user.name, user.id)}
    named = {channel.name: channel.id for channel in channels if not channel.is_direct}

    def mention(found: re.Match[str]) -> str:
        name = found[1]
        if name in _BROADCASTS:
            return f"<!{name}>"
        bare = name.rstrip(".-")
        user = ids.get(bare) or ids.get(bare.lower())
        return f"<@{user}>{name[len(bare) :]}" if user else found[0]

    def channel_link(found: re.Match[str]) -> str:
        return f"<#{named[found[1]]}|{found[1]}>" if found[1] in named else found[0]

    linked = _URL.sub(lambda found: f"<{found[0]}>", html.escape(text, quote=False))
    named_ones = _HASH.sub(channel_link, _AT.sub(mention, linked))
    # The composer itself inserts <@U…> for a person whom it offers.
    for user in users:
        named_ones = named_ones.replace(f"&lt;@{user.id}&gt;", f"<@{user.id}>")
    return named_ones


def rich_text(text: str) -> list[JSON]:
    """The blocks that a client sends with typed text: one plain section of rich text."""
    parts: list[JSON] = []
    for piece in re.split(r"(<@U\w+>)", text):
        if piece.startswith("<@U"):
            parts.append({"type": "user", "user_id": piece[2:-1]})
        elif piece:
            parts.append({"type": "text", "text": html.unescape(piece)})
    section = {"type": "rich_text_section", "elements": parts}
    return [{"type": "rich_text", "block_id": secrets.token_hex(2), "elements": [section]}]
