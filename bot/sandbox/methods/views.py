"""views.*: modals and Home tabs."""

from bot.sandbox import modals
from bot.sandbox.arguments import Arguments
from bot.sandbox.block_kit import check_view
from bot.sandbox.limits import JSON, SlackError, refuse_arguments
from bot.sandbox.stand_in import StandIn


def open_modal(stand_in: StandIn, arguments: Arguments) -> JSON:
    view = check_view(arguments.json("view"), "modal")
    trigger = stand_in.triggers.exchange(arguments.required("trigger_id"))
    return {"view": modals.open_modal(stand_in.workspace, trigger.user, view)}


def push(stand_in: StandIn, arguments: Arguments) -> JSON:
    view = check_view(arguments.json("view"), "modal")
    trigger = stand_in.triggers.exchange(arguments.required("trigger_id"))
    if trigger.view_id is None:
        raise SlackError("not_found")
    return {"view": modals.push(stand_in.workspace, trigger.user, view)}


def update(stand_in: StandIn, arguments: Arguments) -> JSON:
    if ("view_id" in arguments) == ("external_id" in arguments):
        refuse_arguments("must provide either view_id or external_id")
    view = check_view(arguments.json("view"), "modal")
    wanted = (
        ("id", arguments.text("view_id"))
        if "view_id" in arguments
        else (
            "external_id",
            arguments.text("external_id"),
        )
    )
    user, old = modals.find(stand_in.workspace, *wanted)
    if "hash" in arguments and arguments.text("hash") != old["hash"]:
        raise SlackError("hash_conflict")
    return {"view": modals.replace(stand_in.workspace, user, old, view)}


def publish(stand_in: StandIn, arguments: Arguments) -> JSON:
    user = arguments.required("user_id")
    workspace = stand_in.workspace
    if user not in workspace.modals:
        raise SlackError("user_not_found")
    view = check_view(arguments.json("view"), "home")
    old = workspace.homes.get(user)
    if old is not None and "hash" in arguments and arguments.text("hash") != old["hash"]:
        raise SlackError("hash_conflict")
    workspace.homes[user] = modals.stored(view, view_id=old["id"] if old else None)
    workspace.show_home(user)
    return {"view": workspace.homes[user]}
