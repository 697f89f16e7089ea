"""Refusals after which Slack accepts no call of the bot, and the line that the bot prints before it ends."""

import threading
from collections.abc import Callable

from bot.slack.failures import SlackFailed

BOT_TOKEN, APP_TOKEN = "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"

_COPY = "Copy the Bot User OAuth Token (xoxb-…) again from OAuth & Permissions into SLACK_BOT_TOKEN"
_INSTALL = "Install the app again, and copy its new Bot User OAuth Token (xoxb-…) into SLACK_BOT_TOKEN"
_MIGRATION = "the workspace is being moved to an Enterprise organization"
_AFTER_MIGRATION = (
    "Wait until an administrator confirms that the move is complete. If the token has changed, copy it again"
)

CAUSES = {
    "invalid_auth": ("the token is not valid", _COPY),
    "not_authed": ("the call carried no token", _COPY),
    "token_expired": ("the token has expired", f"Turn token rotation off in the app's settings. {_INSTALL}"),
    "token_revoked": ("the token was revoked, or the app was uninstalled", _INSTALL),
    "tokens_revoked": ("the token was revoked", _INSTALL),
    "app_uninstalled": ("the app was uninstalled from the workspace", _INSTALL),
    "account_inactive": ("the app was uninstalled, or the workspace was deleted", _INSTALL),
    "team_added_to_org": (_MIGRATION, _AFTER_MIGRATION),
    "org_login_required": (_MIGRATION, _AFTER_MIGRATION),
}
"""Cause and mend by Slack's error code, or by the name of its event."""

_NEW_APP_LEVEL = (
    "Create an app-level token (xapp-…) with connections:write in Basic Information, and set SLACK_APP_TOKEN to it"
)


class LockedOut(SlackFailed):
    """Slack accepts no call of the bot, and the bot is ending. The call has had no effect."""


class Lockout:
    """Ends the bot when Slack no longer accepts its calls. Shared by all parts that call Slack or receive from it."""

    def __init__(self, end: Callable[[str], None]) -> None:
        """`end` is called once, with a sentence of the cause, the consequence and the mend."""
        self._end = end
        self._lock = threading.Lock()
        self.code = ""
        """Slack's code; empty while Slack accepts calls."""

    def begin(self, code: str, token: str = BOT_TOKEN) -> None:
        """`code`: one of `CAUSES`. `token`: the variable of the refused token."""
        with self._lock:
            if self.code:
                return
            self.code = code
        self._end(_sentence(code, token))


def _sentence(code: str, token: str) -> str:
    cause, mend = CAUSES[code]
    if token == APP_TOKEN and mend in (_COPY, _INSTALL):
        mend = _NEW_APP_LEVEL
    return (
        f"Slack refuses {token} ({code}): {cause}. The bot ends. Deployments and their machines continue, and cost "
        f"money; `mixtral-bot machines` lists them. {mend}, and start the bot again."
    )
