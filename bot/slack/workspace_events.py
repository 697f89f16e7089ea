"""Events about the app's installation: it was uninstalled, or its token was revoked."""

import logging

from slack_bolt import App

from bot.slack.lockout import Lockout
from bot.slack.message import JSON

_LOG = logging.getLogger(__name__)


def register(app: App, lockout: Lockout, bot_user: str) -> None:
    """Listen to these events, before any other listener is registered: Bolt calls the first one that matches."""

    def uninstalled() -> None:
        lockout.begin("app_uninstalled")

    def revoked(event: JSON) -> None:
        # `tokens` has the ids of people (oauth) and of bots whose tokens were revoked.
        if bot_user in ((event.get("tokens") or {}).get("bot") or ()):
            lockout.begin("tokens_revoked")
        else:
            _LOG.info("tokens of other users were revoked")

    app.event("app_uninstalled")(uninstalled)
    app.event("tokens_revoked")(revoked)
