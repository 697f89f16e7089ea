"""The stack of modals of each person: at most three, the last on top."""

import secrets
import time

from bot.sandbox import limits, seed
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.seed import UserId
from bot.sandbox.workspace import Workspace


def stored(view: JSON, *, team_id: str = seed.TEAM_ID, view_id: str | None = None, under: JSON | None = None) -> JSON:
    """The view as Slack stores it: with its reader's team, its id, hash and place in the stack."""
    own_id = view_id or f"V{secrets.token_hex(5).upper()}"
    defaults = {
        "private_metadata": "",
        "callback_id": "",
        "external_id": "",
        "clear_on_close": False,
        "notify_on_close": False,
        "submit": None,
        "close": None,
        "title": None,
    }
    return (
        defaults
        | view
        | {
            "id": own_id,
            "team_id": team_id,
            "app_id": seed.APP_ID,
            "app_installed_team_id": seed.TEAM_ID,
            "bot_id": seed.BOT_ID,
            "state": {"values": {}},
            "hash": f"{int(time.time())}.{secrets.token_hex(4)}",
            "previous_view_id": under["id"] if under else None,
            "root_view_id": under["root_view_id"] if under else own_id,
        }
    )


def open_modal(workspace: Workspace, user: str, view: JSON) -> JSON:
    """Show a modal in place of the person's present stack."""
    _check_external_id(workspace, view)
    shown = stored(view, team_id=_team_of(workspace, user))
    workspace.modals[user] = [shown]
    workspace.show_modals(user)
    return shown


def push(workspace: Workspace, user: str, view: JSON) -> JSON:
    """Show a modal on top of the stack. Raises SlackError: `not_found` if no modal is open, `push_limit_reached`."""
    stack = workspace.modals[user]
    if not stack:
        raise SlackError("not_found")
    if len(stack) >= limits.VIEW_STACK:
        raise SlackError("push_limit_reached")
    _check_external_id(workspace, view)
    shown = stored(view, team_id=_team_of(workspace, user), under=stack[-1])
    stack.append(shown)
    workspace.show_modals(user)
    return shown


def replace(workspace: Workspace, user: str, old: JSON, view: JSON) -> JSON:
    """Replace a view; the new one has its id and its place in the stack.

    Raises SlackError: `not_found` if the old one was closed meanwhile.
    """
    shown = stored(view, team_id=old["team_id"], view_id=old["id"]) | {
        "previous_view_id": old["previous_view_id"],
        "root_view_id": old["root_view_id"],
    }
    stack = workspace.modals[user]
    at = next((n for n, view in enumerate(stack) if view["id"] == old["id"]), None)
    if at is None:
        raise SlackError("not_found")
    stack[at] = shown
    workspace.show_modals(user)
    return shown


def close(workspace: Workspace, user: str, view_id: str) -> None:
    """Close a view and those above it."""
    stack = workspace.modals[user]
    at = next((n for n, view in enumerate(stack) if view["id"] == view_id), len(stack))
    del stack[at:]
    workspace.show_modals(user)


def clear(workspace: Workspace, user: str) -> None:
    workspace.modals[user] = []
    workspace.show_modals(user)


def find(workspace: Workspace, name: str, value: str) -> tuple[str, JSON]:
    """The person to whom the modal with `value` in its field `name` is shown, and the modal.

    Raises SlackError: `not_found`.
    """
    for user, stack in workspace.modals.items():
        for view in stack:
            if view[name] == value:
                return user, view
    raise SlackError("not_found")


def _team_of(workspace: Workspace, user: str) -> str:
    return workspace.users[UserId(user)].team_id


def _check_external_id(workspace: Workspace, view: JSON) -> None:
    wanted = view.get("external_id")
    taken = {shown["external_id"] for stack in workspace.modals.values() for shown in stack}
    if wanted and wanted in taken:
        raise SlackError("duplicate_external_id")
