"""PURE: causes and mends of a card that Slack refuses, and the notice about it to the launcher."""

from bot.slack.message import Message
from bot.views.escape import escape
from workers.deployment.state import Deployment

GONE = frozenset({"message_not_found", "cant_update_message"})
"""The card was deleted. It is replaced once, and not posted again after that."""

NOT_EDITABLE = frozenset({"edit_window_closed"})
"""The workspace limits how long messages may be edited. The card is replaced once; the next refusal is reported."""

_INVITE = "Invite the bot there with `/invite @mixtral`"
_ELSEWHERE = "use another channel"

CAUSES = {
    "not_in_channel": f"the bot is not a member of it. {_INVITE}",
    "channel_not_found": f"the bot has no access to it. {_INVITE}",
    "is_archived": f"the channel is archived. Unarchive it, or {_ELSEWHERE}",
    "is_inactive": f"the channel is archived or frozen. Unarchive it, or {_ELSEWHERE}",
    "restricted_action": f"its settings do not let the bot post. Change them, or {_ELSEWHERE}",
    "restricted_action_read_only_channel": f"it is read-only. Let the bot post in its settings, or {_ELSEWHERE}",
    "restricted_action_thread_only_channel": f"it accepts only replies in threads. Change that, or {_ELSEWHERE}",
    "restricted_action_non_threadable_channel": f"it accepts no threads. Change its settings, or {_ELSEWHERE}",
    "restricted_action_thread_locked": "the thread is locked. Unlock it",
    "edit_window_closed": "this workspace limits the time in which messages may be edited. "
    "An administrator can lift the limit under Settings & permissions",
    "message_limit_exceeded": "the workspace has reached its limit of messages. An administrator can raise it",
    "messages_tab_disabled": "the app's Messages tab is off. Turn it on under App Home in the app's settings",
    "user_disabled": f"the person's account is deactivated. {_ELSEWHERE.capitalize()}",
    "ekm_access_denied": "administrators have suspended posting in this workspace. They can allow it again",
    "missing_scope": "the app lacks a scope. Paste its manifest again under App Manifest, and reinstall the app",
}
"""Cause and mend by Slack's error code. After each of them, the card is retried later."""

_UNKNOWN = "Slack refused it (`{code}`). Report this code to the operator of this bot, or {elsewhere}"

NOTICE = "mixtral_no_room"
"""The beginning of each kind of notice."""


def kind(code: str) -> str:
    """The prefix of the notice's block id. Each cause is reported once."""
    return f"{NOTICE}_{code}"


def notice(deployment: Deployment, code: str, *, stands: bool) -> Message:
    """The notice that the card cannot be posted or, if it `stands`, updated in the channel of the launch."""
    name, channel = escape(deployment.name), f"<#{deployment.place.channel}>"
    why = CAUSES.get(code) or _UNKNOWN.format(code=escape(code), elsewhere=_ELSEWHERE)
    what = "updated" if stands else "posted"
    then = "What the card shows is no longer current" if stands else f"*{name}* continues without a card"
    return Message(
        f"The card of *{name}* cannot be {what} in {channel}: {why}. "
        f"{then}: `/mixtral status {name}` shows its state, `/mixtral down {name}` ends it. "
        "The bot tries again every few minutes. Alerts are sent to you here."
    )
