"""The environment of the bot, typed: its Slack settings, and those of the workers."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

from msgspec import Struct

from bot.slack.client import API_URL
from workers import settings as workers_settings
from workers.settings import Settings, SettingsError
from workers.settings_table import Setting

PORT = 3000
HTTP_HOST = "127.0.0.1"
CONFIRM_ABOVE = Decimal(60)
"""USD per hour."""
ADMIN = "a person (U… or W…). In Slack, open the person's profile, and choose Copy member ID in its menu."
TEAM = "a workspace (T…) or of an enterprise (E…). Slack's web address has it: app.slack.com/client/T…"

SETTINGS = (
    Setting("SLACK_BOT_TOKEN", "run, check", "Bot User OAuth Token of the Slack app (`xoxb-…`).", secret=True),
    Setting("SLACK_APP_TOKEN", "run, check", "App-level token for Socket Mode (`xapp-…`).", secret=True),
    Setting(
        "SLACK_SIGNING_SECRET", "run, check", "Signing secret of the app, for HTTP without Socket Mode.", secret=True
    ),
    Setting("PORT", "run, check", "Port on which the bot serves HTTP; not used in Socket Mode.", str(PORT)),
    Setting(
        "MIXTRAL_HTTP_HOST",
        "run",
        "Address on which the bot serves HTTP; not used in Socket Mode. In a container: `0.0.0.0`.",
        HTTP_HOST,
    ),
    Setting("SLACK_API_URL", "run, check", "Address of Slack's Web API, with its path.", API_URL),
    Setting(
        "MIXTRAL_STREAM_IN_CHANNELS",
        "run",
        "`1`: answers are streams in channels too. Other people than the asker see the first part, and the rest at the "
        "end.",
    ),
    Setting(
        "MIXTRAL_POLICY",
        "run, check",
        "YAML file with the policy of the installation: who may do what, and up to which limits. It is read again "
        "when it changes. Default: everyone of the workspace asks and launches.",
    ),
    Setting(
        "MIXTRAL_ADMINS", "run, check", "Comma-separated Slack user ids that may see, scale and end every deployment."
    ),
    Setting(
        "MIXTRAL_CONFIRM_ABOVE",
        "run, check",
        "USD per hour. A launch or a scale by hand whose replicas cost more at the cheapest offer has to be confirmed "
        "by the person who asks for it.",
        f"{CONFIRM_ABOVE}",
    ),
    Setting(
        "MIXTRAL_SLACK_TEAMS",
        "run, check",
        "Comma-separated ids of workspaces (`T…`) or enterprises (`E…`) of other companies whose people may use the "
        "bot. If it is empty: only people of the bot's workspace or, on Enterprise Grid, of its enterprise.",
    ),
)
"""Variables that the bot reads in addition to the workers' settings."""


class BotSettings(Struct, frozen=True, kw_only=True):
    workers: Settings
    bot_token: str
    app_token: str | None
    """Token for Socket Mode; None: Slack calls the bot over HTTP."""
    signing_secret: str | None
    port: int
    """Port of the HTTP server."""
    http_host: str
    """Address on which the HTTP server listens."""
    api_url: str
    policy: Path | None
    """The file of the policy; None: the defaults hold."""
    admins: frozenset[str]
    streams_in_channels: bool
    confirm_above: Decimal
    """USD per hour above which a launch or scale by hand is confirmed first."""
    teams: frozenset[str]
    """Ids of workspaces and enterprises of other companies that are let in."""

    def __repr__(self) -> str:
        return f"BotSettings(api_url={self.api_url})"  # without the tokens, for log lines


def from_environ(environ: Mapping[str, str]) -> BotSettings:
    """Read the settings. Raises SettingsError, whose message contains the fix."""
    core = workers_settings.from_environ(environ)
    bot_token = environ.get("SLACK_BOT_TOKEN", "").strip()
    if not bot_token:
        raise SettingsError(
            "SLACK_BOT_TOKEN is not set. Copy the Bot User OAuth Token (xoxb-…) of your Slack app, under "
            "OAuth & Permissions. To try the bot without Slack, run `make demo`."
        )
    app_token = environ.get("SLACK_APP_TOKEN", "").strip() or None
    if wrong := misplaced(bot_token=bot_token, app_token=app_token or ""):
        raise SettingsError(wrong)
    signing_secret = environ.get("SLACK_SIGNING_SECRET", "").strip() or None
    if app_token is None and signing_secret is None:
        raise SettingsError(
            "SLACK_APP_TOKEN is not set. Create an app-level token (xapp-…) with connections:write under Basic "
            "Information; or set SLACK_SIGNING_SECRET and PORT to use HTTP instead of Socket Mode."
        )
    return BotSettings(
        workers=core,
        bot_token=bot_token,
        app_token=app_token,
        signing_secret=signing_secret,
        port=_port(environ),
        http_host=environ.get("MIXTRAL_HTTP_HOST", "").strip() or HTTP_HOST,
        api_url=_api_url(environ),
        streams_in_channels=environ.get("MIXTRAL_STREAM_IN_CHANNELS", "").strip() == "1",
        policy=Path(path) if (path := environ.get("MIXTRAL_POLICY", "").strip()) else None,
        admins=_admins(environ),
        confirm_above=_confirm_above(environ),
        teams=_teams(environ),
    )


def mistakes(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each value that `from_environ` refuses, but for tokens and what the workers read, too."""
    for read in (_port, _api_url, _admins, _confirm_above, _teams):
        try:
            read(environ)
        except SettingsError as error:
            yield str(error)


def _admins(environ: Mapping[str, str]) -> frozenset[str]:
    return _ids(environ, "MIXTRAL_ADMINS", r"[UW][A-Z0-9]+", ADMIN)


def _teams(environ: Mapping[str, str]) -> frozenset[str]:
    return _ids(environ, "MIXTRAL_SLACK_TEAMS", r"[TE][A-Z0-9]+", TEAM)


def _ids(environ: Mapping[str, str], variable: str, form: str, meaning: str) -> frozenset[str]:
    """`form`: a regular expression of one id. `meaning`: what an id is of, and where Slack shows it."""
    ids = frozenset(word.strip() for word in environ.get(variable, "").split(",") if word.strip())
    if wrong := sorted(id_ for id_ in ids if not re.fullmatch(form, id_)):
        raise SettingsError(f"{variable} contains {wrong[0]!r}, which is not the id of {meaning}")
    return ids


def _confirm_above(environ: Mapping[str, str]) -> Decimal:
    text = environ.get("MIXTRAL_CONFIRM_ABOVE", "").strip()
    if not text:
        return CONFIRM_ABOVE
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise SettingsError(
            f"MIXTRAL_CONFIRM_ABOVE={text!r} is not a price in USD per hour. Write it as in 60 or 12.50."
        )
    return amount


def misplaced(*, bot_token: str = "", app_token: str = "") -> str:
    """Return the sentence about a token in the other one's variable; empty if each is in its own, or not set."""
    if bot_token.startswith("xapp-"):
        return "SLACK_BOT_TOKEN has an app-level token. Set it to the Bot User OAuth Token (xoxb-…)."
    if app_token.startswith(("xoxb-", "xoxp-")):
        return "SLACK_APP_TOKEN has no app-level token. Set it to the one with connections:write (xapp-…)."
    return ""


def _port(environ: Mapping[str, str]) -> int:
    text = environ.get("PORT", "").strip()
    if not text:
        return PORT
    if not text.isdecimal() or not 0 < int(text) < 65_536:  # noqa: PLR2004 - the number of ports
        raise SettingsError(f"PORT={text!r} is not a port. Write a number from 1 to 65535.")
    return int(text)


def _api_url(environ: Mapping[str, str]) -> str:
    text = environ.get("SLACK_API_URL", "").strip()
    if not text:
        return API_URL
    if not text.startswith(("http://", "https://")):
        raise SettingsError(f"SLACK_API_URL={text!r} is not an address. Write it as in http://127.0.0.1:3000/api/.")
    return text
