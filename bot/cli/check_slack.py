"""Checks of Slack for `mixtral-bot check`: the tokens, the scopes, and whether Slack accepts the bot's messages."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from bot.cli.sample_views import samples
from bot.settings import PORT, misplaced
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from bot.slack.failures import SlackBusy, SlackFailed, SlackRefused
from bot.slack.lockout import CAUSES
from workers.clouds.findings import Finding

MANIFEST = Path(__file__).parents[1] / "manifest.json"

WITHOUT = {
    "app_mentions:read": "mentions of the bot are not answered",
    "assistant:write": "threads do not show that an answer is prepared",
    "channels:history": "messages in public channels are not received, except mentions",
    "channels:read": "what runs in a public channel is listed in that channel alone",
    "chat:write": "no card and no answer is posted",
    "commands": "/mixtral does not exist",
    "files:read": "files that are attached to a question are left out",
    "groups:history": "messages in private channels are not received, except mentions",
    "groups:read": "what runs in a private channel is listed in that channel alone",
    "im:history": "direct messages are not received",
    "im:read": "before a launch in a direct message, it is not checked that the bot can post there",
    "im:write": "messages that a channel refuses are not sent as direct messages",
    "mpim:history": "messages in group direct messages are not received",
    "mpim:read": "before a launch in a group direct message, it is not checked that the bot can post there",
    "team:read": "other companies that read a channel are named by their ids",
    "usergroups:read": "a policy that names a user group is refused",
    "users:read": "guests can launch",
}
"""What does not work without a scope."""
NOT_USED_YET = frozenset({"mpim:write"})
"""Scopes of the manifest that later versions use."""
NEEDED = frozenset({"chat:write", "commands"})
"""Scopes without which the bot cannot work."""
REINSTALL = (
    f"paste {MANIFEST} under App Manifest, choose Reinstall to Workspace under OAuth & Permissions, and copy the token "
    "again if it has changed"
)


def slack(environ: Mapping[str, str]) -> list[Finding]:
    """Check that Slack accepts the tokens, and which scopes it grants."""
    return [*_bot_token(environ), *_app_token(environ)]


def blocks(environ: Mapping[str, str]) -> list[Finding]:
    """Have Slack validate samples of the bot's messages and views; nothing is posted."""
    found = partial(Finding, about="Slack", what="blocks")
    token = _token(environ)
    if not token:
        return []  # the cause is in the finding about the token
    slack_, checked, wrong = _slack(environ, token), 0, list[str]()
    try:
        for name, shown in samples():
            wrong += [f"{name} at {fault}" for fault in slack_.faults(shown)]
            checked += 1
    except SlackBusy as busy:
        return [found(works=None, says=f"{checked} messages were validated; then {str(busy).rstrip('.')}")]
    except SlackRefused as refused:
        if refused.known:
            return []
        return [found(works=None, says=f"Slack does not validate them here ({refused.code})")]
    except SlackFailed:
        return []
    if wrong:
        says = f"Slack does not accept the bot's {'; '.join(wrong)}"
        return [found(works=False, says=says, mend="update mixtral-bot, or report this line")]
    return [found(works=True, says=f"Slack accepts {checked} samples of the bot's messages and views")]


def user_groups(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The handles of the user groups by id. Raises SlackFailed."""
    return _slack(environ, _token(environ)).user_groups()


def _bot_token(environ: Mapping[str, str]) -> Iterator[Finding]:
    found = partial(Finding, about="Slack", what="bot token")
    token = _token(environ)
    if not token:
        mend = "copy the Bot User OAuth Token (xoxb-…) of your Slack app, under OAuth & Permissions"
        yield found(works=False, says="SLACK_BOT_TOKEN is not set", mend=mend)
        return
    if wrong := misplaced(bot_token=token):
        yield _misplaced(found, wrong)
        return
    try:
        who = _slack(environ, token).identity()
    except SlackRefused as refused:
        cause, mend = CAUSES.get(refused.code, ("", "copy it again"))
        says = f"Slack refuses SLACK_BOT_TOKEN: {refused.code}{f' ({cause})' if cause else ''}"
        yield found(works=False, says=says, mend=mend)
    except SlackFailed as failed:
        yield found(works=False, says=str(failed).rstrip("."), mend="check the network and SLACK_API_URL")
    else:
        yield found(works=True, says=f"{who.name} in {who.team}")
        yield from scopes(who.granted)


def scopes(granted: Collection[str]) -> Iterator[Finding]:
    """Compare the scopes of the token with those of the manifest."""
    found = partial(Finding, about="Slack", what="scopes")
    wanted = json.loads(MANIFEST.read_text(encoding="utf-8"))["oauth_config"]["scopes"]["bot"]
    if not granted:
        yield found(works=None, says="Slack did not report them")
        return
    missing = [scope for scope in wanted if scope not in granted]
    lost = [f"{scope} ({WITHOUT[scope]})" for scope in missing if scope in WITHOUT]
    if lost:
        says = f"the token lacks {', '.join(lost)}"
        yield found(works=False if NEEDED & set(missing) else None, says=says, mend=REINSTALL)
    later = [scope for scope in missing if scope not in WITHOUT]
    if later:
        yield found(works=None, says=f"the token lacks {', '.join(later)}, which this version does not use")
    surplus = sorted(set(granted) - set(wanted))
    if surplus:
        yield found(works=None, says=f"the token also has {', '.join(surplus)}: not used; nothing has to be done")
    if not missing:
        yield found(works=True, says=f"all {len(wanted)} of the manifest are granted")


def _app_token(environ: Mapping[str, str]) -> Iterator[Finding]:
    found = partial(Finding, about="Slack", what="app token")
    token = environ.get("SLACK_APP_TOKEN", "").strip()
    if not token:
        if environ.get("SLACK_SIGNING_SECRET", "").strip():
            says = f"the bot serves HTTP at port {environ.get('PORT') or PORT}; Slack's first request tests the secret"
            yield Finding(about="Slack", what="signing", works=None, says=says)
            return
        mend = "create an app-level token (xapp-…) with connections:write, under Basic Information"
        yield found(works=False, says="SLACK_APP_TOKEN is not set", mend=mend)
        return
    if wrong := misplaced(app_token=token):
        yield _misplaced(found, wrong)
        return
    try:
        _slack(environ, token).check_app_token(token)
    except SlackRefused as refused:
        mend = "create a new one with connections:write"
        yield found(works=False, says=f"Slack refuses SLACK_APP_TOKEN: {refused.code}", mend=mend)
    except SlackFailed as failed:
        yield found(works=False, says=str(failed).rstrip("."), mend="check the network and SLACK_API_URL")
    else:
        yield found(works=True, says="Socket Mode opens")


def _misplaced(found: Callable[..., Finding], wrong: str) -> Finding:
    says, mend = wrong.rstrip(".").split(". ")
    return found(works=False, says=says, mend=f"{mend[0].lower()}{mend[1:]}")


def _token(environ: Mapping[str, str]) -> str:
    return environ.get("SLACK_BOT_TOKEN", "").strip()


def _slack(environ: Mapping[str, str], token: str) -> SlackCalls:
    return SlackCalls(web_client(token, environ.get("SLACK_API_URL", "").strip()), None)
