"""People, bot and team: auth.test, users.*, bots.info, team.info, api.test."""

from bot.sandbox import seed, teams
from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.seed import TeamId, User, UserId
from bot.sandbox.stand_in import StandIn
from bot.sandbox.workspace import Workspace


def api_test(_: StandIn, arguments: Arguments) -> JSON:
    if "error" in arguments:
        raise SlackError(arguments.text("error"))
    return {"args": {}}


def auth_test(stand_in: StandIn, _: Arguments) -> JSON:
    enterprise = stand_in.workspace.enterprise_id
    return {
        **({"enterprise_id": enterprise} if enterprise else {}),
        "url": f"https://{seed.TEAM_DOMAIN}.slack.com/",
        "team": seed.TEAM_NAME,
        "user": seed.BOT_NAME,
        "team_id": seed.TEAM_ID,
        "user_id": seed.BOT_USER,
        "bot_id": seed.BOT_ID,
        "is_enterprise_install": False,
    }


def _user_fields(workspace: Workspace, user: User) -> JSON:
    return {
        "id": user.id,
        **teams.of_person(workspace, user),
        "name": user.name,
        "real_name": user.real_name,
        "deleted": False,
        "color": user.color,
        "tz": "Etc/UTC",
        "tz_label": "Coordinated Universal Time",
        "tz_offset": 0,
        "is_admin": user.is_admin,
        "is_owner": user.is_admin,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "profile": {
            "real_name": user.real_name,
            "display_name": user.name,
            "real_name_normalized": user.real_name,
            "display_name_normalized": user.name,
            **({"bot_id": seed.BOT_ID, "api_app_id": seed.APP_ID} if user.is_bot else {}),
        },
    }


def users_info(stand_in: StandIn, arguments: Arguments) -> JSON:
    user = stand_in.workspace.users.get(UserId(arguments.text("user")))
    if user is None:
        raise SlackError("user_not_found")
    return {"user": _user_fields(stand_in.workspace, user)}


def users_list(stand_in: StandIn, _: Arguments) -> JSON:
    return {
        "members": [_user_fields(stand_in.workspace, user) for user in stand_in.workspace.users.values()],
        "cache_ts": int(stand_in.clock()),
        "response_metadata": {"next_cursor": ""},
    }


def bots_info(_: StandIn, arguments: Arguments) -> JSON:
    if arguments.text("bot", seed.BOT_ID) != seed.BOT_ID:
        raise SlackError("bot_not_found")
    return {
        "bot": {
            "id": seed.BOT_ID,
            "deleted": False,
            "name": seed.BOT_NAME,
            "user_id": seed.BOT_USER,
            "app_id": seed.APP_ID,
        }
    }


def team_info(stand_in: StandIn, arguments: Arguments) -> JSON:
    """The app's own team, or another one that shares a channel."""
    named = TeamId(arguments.text("team") or seed.TEAM_ID)
    channels = stand_in.workspace.channels.values()
    external = {team for channel in channels for team in channel.external_teams}
    known = external.union({seed.TEAM_ID}, *(channel.sibling_teams for channel in channels))
    if named not in known:
        raise SlackError("team_not_found")
    enterprise = "" if named in external else stand_in.workspace.enterprise_id
    on_grid = {"enterprise_id": enterprise, "enterprise_name": teams.ENTERPRISE_NAME} if enterprise else {}
    name = teams.NAMES[named]
    return {"team": {"id": named, "name": name, "domain": name.lower(), "email_domain": "", **on_grid}}


def user_groups(_: StandIn, __: Arguments) -> JSON:
    """The user groups, without their members, as Slack returns them unless they are asked for."""
    return {
        "usergroups": [
            {
                "id": id_,
                "team_id": seed.TEAM_ID,
                "is_usergroup": True,
                "name": handle.capitalize(),
                "description": "",
                "handle": handle,
                "is_external": False,
                "date_delete": 0,
                "user_count": len(members),
            }
            for id_, (handle, members) in seed.USER_GROUPS.items()
        ]
    }


def user_group_members(_: StandIn, arguments: Arguments) -> JSON:
    group = seed.USER_GROUPS.get(arguments.text("usergroup"))
    if group is None:
        raise SlackError("no_such_subteam")
    return {"users": list(group[1])}
