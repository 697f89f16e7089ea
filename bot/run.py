"""`mixtral-bot run`: the bot's life, from the first connection to SIGTERM."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import TypeVar

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from slack_bolt import App
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.channels import SlackChannels
from bot.commands.desk import Desk
from bot.commands.shelf import Shelf
from bot.connections import ENVELOPES_AT_ONCE, app_of, client_of, quick_redis, serve
from bot.follower import Follower
from bot.listeners import Listeners
from bot.prompting.answers import Answers
from bot.prompting.store import Threads
from bot.rate import Rates
from bot.settings import BotSettings, from_environ
from workers.errors import WorkersError
from workers.placement import catalog
from workers.run import connect, drivers_of, ladder_of, now, wire_requests

_LOG = logging.getLogger(__name__)

LATER_THREADS = ENVELOPES_AT_ONCE
AGAIN_AFTER = timedelta(seconds=1)
GONE_WITHIN = timedelta(seconds=1.8)
"""What has not ended by then is cut off: every thread of ours may die at any line."""

_TOO_MANY, _SERVER_ERROR = 429, 500

Found = TypeVar("Found")


class CannotStart(WorkersError):
    """Only a person can mend what keeps the bot from starting."""


class Stopped(Exception):
    """The end was asked for before the start was over."""


def main(environ: Mapping[str, str]) -> int:
    """Run in the foreground until SIGTERM or SIGINT: then 0, or 2 with a sentence on what to mend."""
    stop = threading.Event()

    def end(*_: object) -> None:
        if not stop.is_set():
            stop.set()
            cut_off = threading.Timer(GONE_WITHIN.total_seconds(), os._exit, (0,))
            cut_off.daemon = True
            cut_off.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        run(from_environ(environ), stop)
    except Stopped:
        return 0
    except WorkersError as error:
        sys.stderr.write(f"mixtral-bot: {error}\n")
        return 2
    return 0


def run(settings: BotSettings, stop: threading.Event) -> None:
    """Connect, serve until `stop`, and tidy up. Raises CannotStart, Stopped."""
    redis = connect(settings.workers.redis_url)
    _until_it_works(redis.ping, "Redis", stop)
    client = client_of(settings)
    ourselves = _until_it_works(lambda: _who_we_are(client), "Slack", stop)
    with ExitStack() as closing:
        quick = quick_redis(settings.workers.redis_url)
        inside = settings.workers.gateway.internal_url
        answers = Answers(wire_requests(settings.workers, redis), client, redis, quick=quick, gateway=inside)
        closing.callback(answers.close)
        later = ThreadPoolExecutor(LATER_THREADS, thread_name_prefix="later")
        closing.callback(later.shutdown, wait=False, cancel_futures=True)
        app = app_of(settings, client)
        desk = desk_of(settings, quick, answers)
        Listeners(desk, Threads(quick), ourselves["user_id"], later, Rates(quick)).register(app)
        closing.callback(_until_it_works(lambda: _serve(app, settings), "Slack's sockets", stop))
        _follow(settings, client, redis, answers, stop)
        answers.resume()
        desk.requests.all()  # the first look reads every log: nobody is to wait for it
        _LOG.info("bot is up: %s in %s", ourselves.get("user", "it"), ourselves.get("team", "a workspace"))
        stop.wait()


def desk_of(settings: BotSettings, redis: Redis, answers: Answers) -> Desk:
    """What commands work with."""
    core = settings.workers
    return Desk(
        requests=wire_requests(core, redis),
        shelf=Shelf(core.recipe_folders, core.environ, core.default_recipe),
        ladder=ladder_of(core, drivers_of(core)),
        priced=catalog.dated(catalog.chosen(core.environ)),
        answers=answers,
        channels=SlackChannels(settings.bot_token, settings.api_url, redis),
        admins=settings.admins,
        now=now,
    )


def _follow(
    settings: BotSettings, client: WebClient, redis: Redis, answers: Answers, stop: threading.Event
) -> threading.Thread:
    follower = Follower(wire_requests(settings.workers, redis), client, redis, ready=answers.ready)
    thread = threading.Thread(target=follower.run, args=(stop,), name="follower", daemon=True)
    thread.start()
    return thread


def _who_we_are(client: WebClient) -> Mapping[str, str]:
    try:
        told = client.auth_test()
    except SlackApiError as error:
        _check_final(error, "SLACK_BOT_TOKEN", "Copy the Bot User OAuth Token (xoxb-…) anew from OAuth & Permissions.")
        raise
    return {key: str(told[key]) for key in ("user_id", "user", "team") if told.get(key)}


def _serve(app: App, settings: BotSettings) -> Callable[[], None]:
    try:
        return serve(app, settings)
    except SlackApiError as error:
        mend = (
            "Make an app-level token (xapp-…) with connections:write under Basic Information, and turn Socket Mode on."
        )
        _check_final(error, "SLACK_APP_TOKEN", mend)
        raise
    except OSError as error:
        if settings.app_token is None:
            raise CannotStart(
                f"PORT {settings.port} cannot be listened on: {error.strerror}. Choose another."
            ) from error
        raise


def _check_final(error: SlackApiError, variable: str, mend: str) -> None:
    """Raise CannotStart for a refusal that waiting does not mend."""
    status = getattr(error.response, "status_code", 200)
    if status != _TOO_MANY and status < _SERVER_ERROR:
        raise CannotStart(f"Slack refuses {variable} ({error.response.get('error')}). {mend}") from error


def _until_it_works(attempt: Callable[[], Found], what: str, stop: threading.Event) -> Found:
    """Repeat a connection until it stands; says once what is waited for. Raises Stopped, CannotStart."""
    said = False
    while not stop.is_set():
        try:
            return attempt()
        except (RedisConnectionError, RedisTimeoutError, SlackClientError, OSError) as error:
            if not said:
                _LOG.warning("waiting for %s: %s", what, error)
            said = True
            stop.wait(AGAIN_AFTER.total_seconds())
    raise Stopped
