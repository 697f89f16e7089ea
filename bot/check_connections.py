"""Whether Redis and Slack answer as the bot needs them to, for `mixtral-bot check`."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from workers.clouds.findings import Finding

SLACK_WITHIN = 10  # seconds


def redis(environ: Mapping[str, str]) -> list[Finding]:
    """Whether the event log's server answers, and keeps what it is told."""
    url = environ.get("REDIS_URL", "")
    if not url:
        mend = "start a Valkey or Redis with --appendonly yes, and set REDIS_URL=redis://localhost:6379/0"
        return [Finding(about="Redis", what="", works=False, says="REDIS_URL is not set", mend=mend)]
    try:
        client: Any = Redis.from_url(
            url, socket_connect_timeout=5, socket_timeout=5, retry=Retry(NoBackoff(), 0), retry_on_timeout=False
        )
        kept = bool(client.info("persistence").get("aof_enabled"))
    except ValueError as error:
        says, mend = f"REDIS_URL cannot be read: {error}", "write it as redis://localhost:6379/0"
        return [Finding(about="Redis", what="", works=False, says=says, mend=mend)]
    except (RedisError, OSError) as error:
        says, mend = " ".join(str(error).split()).rstrip("."), "start it, or correct REDIS_URL"
        return [Finding(about="Redis", what="", works=False, says=says, mend=mend)]
    if not kept:
        says, mend = "answers, and forgets on a crash", "start it with --appendonly yes"
        return [Finding(about="Redis", what="", works=False, says=says, mend=mend)]
    return [Finding(about="Redis", what="", works=True, says="answers, and keeps every append on disk")]


def slack(environ: Mapping[str, str]) -> list[Finding]:
    """Whether Slack takes the tokens."""
    return [*_bot_token(environ), *_app_token(environ)]


def _bot_token(environ: Mapping[str, str]) -> Iterator[Finding]:
    found = partial(Finding, about="Slack", what="bot token")
    token = environ.get("SLACK_BOT_TOKEN", "").strip()
    if not token:
        mend = "copy the Bot User OAuth Token (xoxb-…) of your Slack app, under OAuth & Permissions"
        yield found(works=False, says="SLACK_BOT_TOKEN is not set", mend=mend)
        return
    try:
        who = _slack(environ, token).auth_test()
    except SlackApiError as error:
        says = f"Slack refuses SLACK_BOT_TOKEN: {_slack_code(error)}"
        yield found(works=False, says=says, mend="copy it anew")
    except (OSError, ValueError) as error:
        yield found(works=False, says=f"Slack cannot be reached: {error}", mend="check the network and SLACK_API_URL")
    else:
        yield found(works=True, says=f"{who['user']} in {who['team']}")


def _app_token(environ: Mapping[str, str]) -> Iterator[Finding]:
    found = partial(Finding, about="Slack", what="app token")
    token = environ.get("SLACK_APP_TOKEN", "").strip()
    if not token:
        if environ.get("SLACK_SIGNING_SECRET", "").strip():
            says = f"called over HTTP at port {environ.get('PORT') or 3000}, with SLACK_SIGNING_SECRET"
            yield Finding(about="Slack", what="signing", works=True, says=says)
            return
        mend = "make an app-level token (xapp-…) with connections:write, under Basic Information"
        yield found(works=False, says="SLACK_APP_TOKEN is not set", mend=mend)
        return
    try:
        _slack(environ, token).apps_connections_open(app_token=token)
    except SlackApiError as error:
        mend = "make it anew, with connections:write"
        yield found(works=False, says=f"Slack refuses SLACK_APP_TOKEN: {_slack_code(error)}", mend=mend)
    except (OSError, ValueError) as error:
        yield found(works=False, says=f"Slack cannot be reached: {error}", mend="check the network and SLACK_API_URL")
    else:
        yield found(works=True, says="Socket Mode opens")


def _slack(environ: Mapping[str, str], token: str) -> WebClient:
    base = environ.get("SLACK_API_URL", "").strip() or WebClient.BASE_URL
    return WebClient(token, base_url=base if base.endswith("/") else f"{base}/", timeout=SLACK_WITHIN)


def _slack_code(error: SlackApiError) -> str:
    said: Any = error.response
    try:
        return str(said["error"])
    except (KeyError, TypeError, ValueError):
        return "an answer that is not Slack's"
