"""The fields for teams in payloads: the app's own, those of other companies, and those of the same enterprise.

The fields are those that Slack's SDKs record for shared channels. They differ: a `message` names its author's team in
`event.team`, an `app_mention` the app's own one, and the author's in `event.user_team`, which may be an enterprise.
"""

from typing import Final

import msgspec

from bot.sandbox import seed
from bot.sandbox.limits import JSON
from bot.sandbox.seed import ChannelId, User, UserId
from bot.sandbox.workspace import Workspace

NAMES: Final = {seed.TEAM_ID: seed.TEAM_NAME, seed.ACME_TEAM: "Acme", seed.SIBLING_TEAM: "Sibling"}
_DOMAINS: Final = {team: name.lower() for team, name in NAMES.items()}
ENTERPRISE_NAME: Final = "Sandbox Group"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event comes from. Enterprises are empty outside a Grid."""

    team_id: str = seed.TEAM_ID
    enterprise_id: str = ""
    own_enterprise_id: str = ""
    is_ext_shared: bool = False


def origin_of(workspace: Workspace, event: JSON) -> Origin:
    """Messages come from their author's team, all other events from the app's own."""
    author = workspace.users.get(UserId(str(event.get("user")))) if event["type"] == "message" else None
    channel = workspace.channels.get(ChannelId(str(event.get("channel"))))
    return Origin(
        team_id=author.team_id if author else seed.TEAM_ID,
        enterprise_id=workspace.enterprise_of(author) if author else workspace.enterprise_id,
        own_enterprise_id=workspace.enterprise_id,
        is_ext_shared=channel is not None and bool(channel.external_teams),
    )


def of_mention(workspace: Workspace, author: User) -> JSON:
    """The fields of an `app_mention` for an author of another team; none for the app's own team."""
    if author.team_id == seed.TEAM_ID:
        return {}
    team = workspace.enterprise_of(author) or author.team_id
    profile = {
        "name": author.name,
        "real_name": author.real_name,
        "display_name": author.name,
        "team": team,
        "is_restricted": author.is_guest,
        "is_ultra_restricted": author.is_guest,
    }
    return {"user_team": team, "source_team": team, "user_profile": profile}


def of_command(workspace: Workspace, user: User) -> JSON:
    """The fields of a slash command: the team of the person."""
    enterprise = workspace.enterprise_of(user)
    named = {"enterprise_id": enterprise, "enterprise_name": ENTERPRISE_NAME} if enterprise else {}
    return {"team_id": user.team_id, "team_domain": _DOMAINS[user.team_id], **named}


def of_interaction(workspace: Workspace, user: User, *, in_view: bool) -> JSON:
    """The fields of an interaction: the person's team in a modal, the app's own team elsewhere."""
    team = user.team_id if in_view else seed.TEAM_ID
    enterprise = workspace.enterprise_of(user) if in_view else workspace.enterprise_id
    named = {"enterprise_id": enterprise, "enterprise_name": ENTERPRISE_NAME} if enterprise else {}
    return {
        "team": {"id": team, "domain": _DOMAINS[team], **named},
        "enterprise": {"id": enterprise, "name": ENTERPRISE_NAME} if enterprise else None,
    }


def of_person(workspace: Workspace, user: User) -> JSON:
    """The fields of a user object that depend on the team; `is_stranger` if an external person shares no channel."""
    fields: JSON = {
        "team_id": user.team_id,
        "is_restricted": user.is_guest,
        "is_ultra_restricted": user.is_guest,
    }
    enterprise = workspace.enterprise_of(user)
    if enterprise and not user.is_bot:
        fields["enterprise_user"] = {
            "id": user.id,
            "enterprise_id": enterprise,
            "enterprise_name": ENTERPRISE_NAME,
            "is_admin": False,
            "is_owner": False,
            "teams": [user.team_id],
        }
    if user.is_external:
        shared = (c for c in workspace.channels.values() if seed.BOT_USER in c.members)
        fields["is_stranger"] = not any(user.id in channel.members for channel in shared)
    return fields
