"""Events about the installation: the app was uninstalled, its token was revoked, the id of a channel changed."""

import logging
from collections.abc import Callable

from slack_bolt import App

from bot.slack.channel_ids import ChannelIds
from bot.slack.lockout import Lockout
from bot.slack.message import JSON

_LOG = logging.getLogger(__name__)


def register(app: App, lockout: Lockout, bot_user: str, ids: ChannelIds) -> None:
    """Register the listeners of these events. Call it first: Bolt calls the first listener that matches."""

    def translate(body: JSON, next_: Callable[[], None]) -> None:
        ids.translate(body)
        next_()

    def renamed(event: JSON) -> None:
        old, new = str(event.get("old_channel_id") or ""), str(event.get("new_channel_id") or "")
        if old and new:
            _LOG.info("the id of channel %s has changed to %s", old, new)
            ids.changed(old, new)

    def uninstalled() -> None:
        lockout.begin("app_uninstalled")

    def revoked(event: JSON) -> None:
        # `tokens` has the ids of people (oauth) and of bots whose tokens were revoked.
        if bot_user in ((event.get("tokens") or {}).get("bot") or ()):
            lockout.begin("tokens_revoked")
        else:
            _LOG.info("tokens of other users were revoked")

    app.middleware(translate)
    app.event("channel_id_changed")(renamed)
    app.event("app_uninstalled")(uninstalled)
    app.event("tokens_revoked")(revoked)
