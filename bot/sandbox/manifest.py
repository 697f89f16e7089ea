"""The scopes, events and shortcuts in the app's manifest."""

import json
from pathlib import Path
from typing import Final

from bot.sandbox.limits import JSON

_MANIFEST = json.loads((Path(__file__).parents[1] / "manifest.json").read_text())

SCOPES: Final = frozenset(_MANIFEST["oauth_config"]["scopes"]["bot"])
EVENTS: Final = frozenset(_MANIFEST["settings"]["event_subscriptions"]["bot_events"])

SHORTCUTS: Final[list[JSON]] = _MANIFEST["features"]["shortcuts"]
"""Each has a name, type, callback_id and description."""

_MESSAGES = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}


def subscription(event: JSON) -> str:
    """The name under which a manifest subscribes to the event."""
    return _MESSAGES[event["channel_type"]] if event["type"] == "message" else str(event["type"])
