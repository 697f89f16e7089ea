"""A person's interactions with the app: slash commands, actions on elements, submissions of modals."""

from bot.sandbox import manifest, modals, seed, teams
from bot.sandbox.block_kit import check_view
from bot.sandbox.block_kit.check import interactive
from bot.sandbox.commands import COMMANDS
from bot.sandbox.deliveries import NotConnected, Unacked
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.responses import respond
from bot.sandbox.seed import Channel, UserId
from bot.sandbox.stand_in import StandIn
from bot.sandbox.workspace import Message

TROUBLE = "We had some trouble connecting. Try again?"
SILENT = "{command} failed because the app did not respond. Please try again or contact the app developer."


class Interactions:
    """Each method sends one envelope, waits for its ack, and applies the ack."""

    def __init__(self, stand_in: StandIn, base_url: str) -> None:
        self._stand_in = stand_in
        self._base_url = base_url

    async def slash_command(self, user: UserId, channel: Channel, typed: str) -> JSON:
        """Send a slash command; its answer, or the error, is shown as an ephemeral message."""
        stand_in = self._stand_in
        command, _, text = typed.partition(" ")
        if (
            stand_in.revoked
            or "commands" not in stand_in.scopes
            or command not in {known.command for known in COMMANDS}
        ):
            return {"ok": False, "error": f"{command} is not a valid command."}
        path = stand_in.response_urls.issue(user, channel.id)
        payload = {
            "token": seed.VERIFICATION_TOKEN,
            **teams.of_command(stand_in.workspace, stand_in.workspace.users[user]),
            "channel_id": channel.id,
            "channel_name": _name(channel),
            "user_id": user,
            "user_name": stand_in.workspace.users[user].name,
            "command": command,
            "text": stand_in.stored(text.strip()),
            "api_app_id": seed.APP_ID,
            "is_enterprise_install": "false",
            "response_url": f"{self._base_url}/commands/{path}",
            "trigger_id": stand_in.triggers.issue(user),
        }
        try:
            ack = await stand_in.app.request("slash_commands", payload)
        except NotConnected:
            stand_in.slackbot(user, channel, SILENT.format(command=command))
            return {"ok": True, "acked": False}
        except Unacked:
            stand_in.slackbot(user, channel, f'{command} failed with the error "operation_timeout"')
            return {"ok": True, "acked": False}
        if ack:
            try:
                respond(stand_in, ack, user=user, channel=channel)
            except SlackError:
                stand_in.slackbot(user, channel, f'{command} failed with the error "invalid_command_response"')
        return {"ok": True, "acked": True}

    async def action_on_message(self, user: UserId, message: Message, action: JSON, state: JSON) -> JSON:
        """Send an action on an element of a message."""
        stand_in = self._stand_in
        channel = stand_in.workspace.channels[message.channel]
        acted = _acted(message.blocks, action, stand_in.workspace.new_ts())
        if acted is None:
            return {"ok": False, "error": "action_not_found"}
        path = stand_in.response_urls.issue(user, channel.id, message_ts=message.ts, thread_ts=message.thread_ts)
        container = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": message.ephemeral_to is not None,
        }
        payload = self._interaction("block_actions", user, in_view=False) | {
            "container": container | ({"thread_ts": message.thread_ts} if message.thread_ts else {}),
            "channel": {"id": channel.id, "name": _name(channel)},
            "state": state,
            "response_url": f"{self._base_url}/actions/{path}",
            "actions": [acted],
        }
        if message.ephemeral_to is None:
            payload["message"] = message.for_api(with_metadata=True)
        return await self._send(payload)

    async def message_shortcut(self, user: UserId, message: Message, callback_id: str) -> JSON:
        """Send a shortcut that a person chose in the menu of a message, also where the app is not a member."""
        stand_in = self._stand_in
        offered = {each["callback_id"] for each in manifest.SHORTCUTS if each["type"] == "message"}
        if stand_in.revoked or "commands" not in stand_in.scopes or callback_id not in offered:
            return {"ok": False, "error": "shortcut_not_found"}
        channel = stand_in.workspace.channels[message.channel]
        path = stand_in.response_urls.issue(user, channel.id, thread_ts=message.thread_ts)
        payload = self._interaction("message_action", user, in_view=False) | {
            "callback_id": callback_id,
            "action_ts": stand_in.workspace.new_ts(),
            "message_ts": message.ts,
            "message": message.for_api(),
            "channel": {"id": channel.id, "name": _name(channel)},
            "response_url": f"{self._base_url}/actions/{path}",
        }
        del payload["user"]["username"], payload["api_app_id"]  # which only other interactions have
        return await self._send(payload)

    async def action_in_view(self, user: UserId, view: JSON, action: JSON, state: JSON) -> JSON:
        """Send an action on an element of a modal or of the Home tab."""
        acted = _acted(view["blocks"], action, self._stand_in.workspace.new_ts())
        if acted is None:
            return {"ok": False, "error": "action_not_found"}
        in_modal = view["type"] == "modal"
        payload = self._interaction("block_actions", user, view_id=view["id"] if in_modal else None) | {
            "container": {"type": "view", "view_id": view["id"]},
            "view": view | {"state": state},
            "actions": [acted],
        }
        return await self._send(payload)

    async def submit(self, user: UserId, view: JSON, values: JSON) -> JSON:
        """Submit a modal, and apply its ack: close, errors, update, push or clear."""
        missing = {
            block["block_id"]: "Please complete this required field."
            for block in view["blocks"]
            if block["type"] == "input" and not block.get("optional") and not _filled(block, values)
        }
        if missing:
            return {"ok": False, "errors": missing}
        payload = self._interaction("view_submission", user, view_id=view["id"]) | {
            "view": view | {"state": {"values": values}},
            "response_urls": [],
        }
        try:
            ack = await self._stand_in.app.request("interactive", payload)
            return self._apply_ack(user, view, ack)
        except (Unacked, SlackError):
            return {"ok": False, "error": TROUBLE}

    async def close(self, user: UserId, view: JSON, *, whole_stack: bool = False) -> JSON:
        """Close a modal, or the whole stack, and notify the app if the view has notify_on_close."""
        is_cleared = whole_stack or view["clear_on_close"]
        if is_cleared:
            modals.clear(self._stand_in.workspace, user)
        else:
            modals.close(self._stand_in.workspace, user, view["id"])
        if not view["notify_on_close"]:
            return {"ok": True}
        return await self._send(self._interaction("view_closed", user) | {"view": view, "is_cleared": is_cleared})

    def _apply_ack(self, user: UserId, view: JSON, ack: JSON) -> JSON:
        workspace = self._stand_in.workspace
        match ack:
            case {"response_action": "errors", "errors": dict(errors)} if errors:
                if not set(errors) <= {b["block_id"] for b in view["blocks"] if b["type"] == "input"}:
                    raise SlackError("invalid_arguments")
                return {"ok": False, "errors": {block: str(error) for block, error in errors.items()}}
            case {"response_action": "update", "view": new}:
                modals.replace(workspace, user, view, check_view(new, "modal"))
            case {"response_action": "push", "view": new}:
                modals.push(workspace, user, check_view(new, "modal"))
            case {"response_action": "clear"}:
                modals.clear(workspace, user)
            case {"response_action": _}:
                raise SlackError("invalid_arguments")
            case _ if view["clear_on_close"]:
                modals.clear(workspace, user)
            case _:
                modals.close(workspace, user, view["id"])
        return {"ok": True}

    def _interaction(self, kind: str, user: UserId, *, view_id: str | None = None, in_view: bool = True) -> JSON:
        person = self._stand_in.workspace.users[user]
        payload = {
            "type": kind,
            **teams.of_interaction(self._stand_in.workspace, person, in_view=in_view),
            "user": {
                "id": user,
                "username": person.name,
                "name": person.name,
                "team_id": person.team_id,
            },
            "api_app_id": seed.APP_ID,
            "token": seed.VERIFICATION_TOKEN,
            "is_enterprise_install": False,
        }
        if kind == "view_closed":  # the only kind without a trigger id
            return payload
        return payload | {"trigger_id": self._stand_in.triggers.issue(user, view_id)}

    async def _send(self, payload: JSON) -> JSON:
        try:
            await self._stand_in.app.request("interactive", payload)
        except Unacked:
            return {"ok": False, "error": TROUBLE}
        return {"ok": True}


def _name(channel: Channel) -> str:
    """The name of a channel in an interaction, which does not contain the name of a private one."""
    return {"im": "directmessage", "private": "privategroup"}.get(channel.kind, channel.name)


def _acted(blocks: list[JSON], action: JSON, at: str) -> JSON | None:
    """The action for the payload, with the element's own type, value, text and style; None if there is no element."""
    for block in _with_children(blocks):
        if block["block_id"] != action.get("block_id"):
            continue
        for element in interactive(block):
            if element.get("action_id") == action.get("action_id"):
                own = _own(element, action)
                return None if own is None else action | own | {"type": element["type"], "action_ts": at}
    return None


def _own(element: JSON, action: JSON) -> JSON | None:
    """What the payload tells of the element itself; None if it has no button with the value of the action."""
    match element["type"]:
        case "button":
            return {name: element[name] for name in ("value", "text", "style") if name in element}
        case "feedback_buttons":
            both = (element["positive_button"], element["negative_button"])
            pressed = next((one for one in both if one["value"] == action.get("value")), None)
            return {name: pressed[name] for name in ("value", "text")} if pressed else None
        case _:
            return {}


def _with_children(blocks: list[JSON]) -> list[JSON]:
    """The blocks, and the blocks and cards that they contain."""
    found = []
    for block in blocks:
        inner = block.get("child_blocks", []) if block["type"] == "container" else []
        cards = block.get("elements", []) if block["type"] == "carousel" else []
        found += [block, *_with_children([*inner, *cards])]
    return found


def _filled(block: JSON, values: JSON) -> bool:
    """Whether an input block has a value that is not empty."""
    given = values.get(block["block_id"], {}).get(block["element"]["action_id"], {})
    return any(value not in (None, "", []) for name, value in given.items() if name != "type")
