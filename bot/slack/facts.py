"""PURE: the parts of Slack's objects of channels and people that the bot uses."""

from msgspec import Struct

from bot.slack.message import JSON

OBSTACLES = {
    "is_archived": "is_archived",
    "is_read_only": "restricted_action_read_only_channel",
    "is_thread_only": "restricted_action_thread_only_channel",
}
"""Error codes by the flag of Slack's object of a channel. A channel without threads accepts cards, but no alerts."""


class ChannelFacts(Struct, frozen=True, kw_only=True):
    """A channel, a direct message, or a group direct message."""

    is_joined: bool = True
    """Whether the bot is a member."""
    obstacle: str = ""
    """The error code with which Slack refuses a new message of the bot; empty if it accepts one."""
    is_public: bool = False
    """Whether every member of the workspace can read it."""
    is_shared: bool = False
    """Whether people of another company can read it."""
    other_teams: tuple[str, ...] = ()
    """Ids of these companies. Slack may return some or none of them."""


class PersonFacts(Struct, frozen=True, kw_only=True):
    """A person, with their workspace and enterprise."""

    team: str = ""
    enterprise: str = ""
    is_guest: bool = False
    is_admin: bool = False
    """Whether they administrate the workspace."""
    is_deleted: bool = False
    """Whether the account is deactivated."""
    name: str = ""
    tz: str = ""
    """The IANA name of their time zone, as `Europe/Amsterdam`; empty if Slack reports none."""


def channel_facts(info: JSON) -> ChannelFacts:
    """Read Slack's object of a channel."""
    direct = bool(info.get("is_im") or info.get("is_mpim"))
    shared = bool(info.get("is_ext_shared"))
    ours = {*(info.get("internal_team_ids") or ()), info.get("context_team_id")}
    return ChannelFacts(
        is_joined=direct or info.get("is_member") is not False,
        obstacle=next((code for flag, code in OBSTACLES.items() if info.get(flag)), ""),
        is_public=not direct and info.get("is_private") is False,
        is_shared=shared,
        other_teams=tuple(t for t in info.get("connected_team_ids") or () if t not in ours) if shared else (),
    )


def person_facts(user: JSON) -> PersonFacts:
    """Read Slack's object of a person."""
    enterprise = (user.get("enterprise_user") or {}).get("enterprise_id") or user.get("enterprise_id")
    return PersonFacts(
        team=user.get("team_id") or "",
        enterprise=enterprise or "",
        is_guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        is_admin=bool(user.get("is_admin") or user.get("is_owner")),
        is_deleted=bool(user.get("deleted")),
        name=str(user.get("real_name") or user.get("name") or ""),
        tz=user.get("tz") or "",
    )
