"""`mixtral-bot check`: what works and what does not, a line each, with the mend."""

from collections.abc import Iterator, Mapping
from typing import TextIO

from msgspec import Struct
from redis.exceptions import RedisError
from rich.console import Console
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from workers.clouds.usability import statuses
from workers.errors import WorkersError
from workers.run import connect, drivers_of
from workers.settings import from_environ


class Finding(Struct, frozen=True):
    """One line."""

    what: str
    works: bool
    says: str


def run(environ: Mapping[str, str], out: TextIO) -> int:
    """Print a line for each thing looked at; 0 if a launch could work, 1 if not."""
    console = Console(file=out, highlight=False, soft_wrap=True)
    findings = [*_redis(environ), *_slack(environ), *_clouds(environ)]
    for finding in findings:
        mark = "[green]ok [/]" if finding.works else "[red]no [/]"
        console.print(f"{mark} {finding.what:6} {finding.says}", markup=True)
    clouds = [f.works for f in findings if f.what in {"AWS", "GCP", "local"}]
    rest = [f.works for f in findings if f.what not in {"AWS", "GCP", "local"}]
    return 0 if all(rest) and any(clouds) else 1


def _redis(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        settings = from_environ(environ)
        info = connect(settings.redis_url).info("persistence")
    except WorkersError as error:
        yield Finding("Redis", False, str(error))
    except RedisError as error:
        yield Finding("Redis", False, f"{error}. Start it, or correct REDIS_URL.")
    else:
        kept = bool(info.get("aof_enabled"))
        advice = "keeps every append on disk" if kept else "forgets on a crash: start it with --appendonly yes"
        yield Finding("Redis", kept, f"answers, and {advice}")


def _slack(environ: Mapping[str, str]) -> Iterator[Finding]:
    token = environ.get("SLACK_BOT_TOKEN")
    if not token:
        yield Finding("Slack", False, "SLACK_BOT_TOKEN is not set. Copy the Bot User OAuth Token of your Slack app.")
        return
    try:
        who = WebClient(token, base_url=environ.get("SLACK_API_URL") or WebClient.BASE_URL, timeout=10).auth_test()
    except SlackApiError as error:
        yield Finding("Slack", False, f"refuses SLACK_BOT_TOKEN ({error.response['error']}). Copy it anew.")
    except OSError as error:
        yield Finding("Slack", False, f"cannot be reached: {error}. Check the network and SLACK_API_URL.")
    else:
        yield Finding("Slack", True, f"{who['user']} in {who['team']}")
    if not environ.get("SLACK_APP_TOKEN") and not environ.get("SLACK_SIGNING_SECRET"):
        yield Finding("Slack", False, "SLACK_APP_TOKEN is not set. Make an app-level token with connections:write.")


def _clouds(environ: Mapping[str, str]) -> Iterator[Finding]:
    settings = from_environ(environ, needs_redis=False)
    drivers = drivers_of(settings)
    known = {**statuses(environ, drivers=frozenset(drivers)), **{c: d.status() for c, d in drivers.items()}}
    for cloud, status in sorted(known.items()):
        name = cloud if cloud == "local" else cloud.upper()
        says = "usable" if status.usable else f"{status.reason}. To mend it: {status.mend or 'nothing yet'}."
        yield Finding(name, status.usable, says)
