"""Slack's object of a channel, whose keys depend on the kind (docs.slack.dev/reference/objects/conversation-object)."""

from bot.sandbox import seed
from bot.sandbox.limits import JSON
from bot.sandbox.seed import Channel

CREATED = 1_700_000_000


def channel_object(channel: Channel, *, with_members: bool = False) -> JSON:
    """The object of a channel in conversations.info; `with_members`: with the number of members."""
    alone: JSON = {"is_open": True} if channel.is_im else _connected(channel) | _restrictions(channel)
    return _common(channel) | alone | ({"num_members": len(channel.members)} if with_members else {})


def listed_object(channel: Channel) -> JSON:
    """The object of a channel in lists: without restrictions and connected teams."""
    return _common(channel) | ({} if channel.is_im else {"num_members": len(channel.members)})


def _common(channel: Channel) -> JSON:
    if channel.is_im:
        return _im(channel)
    fields = {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": channel.kind != "mpim",
        "is_group": channel.kind == "mpim",
        "is_im": False,
        "is_mpim": channel.kind == "mpim",
        "is_private": channel.kind != "channel",
        "created": CREATED,
        "updated": CREATED * 1000,
        "creator": seed.ROBIN,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "is_member": seed.BOT_USER in channel.members,
        "unlinked": 0,
        "previous_names": [],
        "context_team_id": seed.TEAM_ID,
        "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }
    return fields | _sharing(channel)


def _im(channel: Channel) -> JSON:
    """The object of a direct message with the app: it has no name, no members and no `is_member`."""
    return {
        "id": channel.id,
        "created": CREATED,
        "updated": CREATED * 1000,
        "is_archived": channel.is_archived,
        "is_im": True,
        "is_org_shared": False,
        "context_team_id": seed.TEAM_ID,
        "user": next(user for user in channel.members if user != seed.BOT_USER),
    }


def _sharing(channel: Channel) -> JSON:
    return {
        "is_shared": bool(channel.sibling_teams or channel.external_teams),
        "is_org_shared": bool(channel.sibling_teams),
        "is_ext_shared": bool(channel.external_teams),
        "is_pending_ext_shared": False,
        "pending_shared": [],
        "pending_connected_team_ids": [],
        "shared_team_ids": [seed.TEAM_ID, *channel.sibling_teams, *channel.external_teams],
    }


def _connected(channel: Channel) -> JSON:
    if not channel.external_teams:
        return {}
    return {
        "internal_team_ids": [seed.TEAM_ID, *channel.sibling_teams],
        "connected_team_ids": [*channel.external_teams],
        "conversation_host_id": seed.TEAM_ID,
    }


def _restrictions(channel: Channel) -> JSON:
    """The keys of restrictions, which only restricted channels have."""
    fields = {
        "is_read_only": channel.is_read_only,
        "is_thread_only": channel.is_thread_only,
        "is_non_threadable": channel.is_non_threadable,
    }
    return {name: True for name, restricted in fields.items() if restricted}
