"""`mixtral-bot run`: creates the parts of the bot, and runs them until SIGTERM."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import TypeVar

from msgspec.structs import replace
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from bot.admission import Admission
from bot.cards.budget_warnings import BudgetWarnings
from bot.cards.follower import Follower
from bot.cards.gateway_alerts import GatewayAlerts
from bot.cards.orphan_reports import OrphanReports
from bot.cards.redis_watch import RedisWatch, UnsharedBudgets
from bot.cards.worker_watch import WorkerWatch
from bot.commands.channels import SlackChannels
from bot.commands.context import Answers, CommandContext
from bot.commands.direct_requests import DirectRequests
from bot.commands.policy_file import PolicyFile
from bot.commands.recipe_catalog import RecipeCatalog
from bot.commands.sight import Askable, Sight
from bot.commands.strangers import Home
from bot.listeners import Listeners
from bot.prompting.channel_store import ChannelStore
from bot.prompting.drafts import Drafts
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.pool import AnswerPool
from bot.prompting.store import Threads
from bot.screens.digests import Digests
from bot.screens.direct_messages import DirectMessages
from bot.settings import BotSettings, from_environ
from bot.slack import workspace_events
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from bot.slack.channel_ids import ChannelIds
from bot.slack.client import ACK_TIMEOUT, TIMEOUT, web_client
from bot.slack.connections import ENVELOPES_AT_ONCE, app_of, serve_requests, serve_sockets
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.fair_threads import FairThreads
from bot.slack.lockout import APP_TOKEN, CAUSES, LockedOut, Lockout
from bot.slack.message import Identity
from workers.deployment.audit_stream import AuditStream
from workers.errors import WorkersError
from workers.placement.in_use import in_use
from workers.placement.shared_prices import reader
from workers.policy.schema import PolicyError
from workers.policy.stored import StoredPolicy
from workers.run import belong, connect, drivers_of, ladder_of, wire_deployments

_LOG = logging.getLogger(__name__)

LATER_THREADS = ENVELOPES_AT_ONCE
RETRY_PAUSE = timedelta(seconds=1)
EXIT_WITHIN = timedelta(seconds=1.8)
"""Maximum time from SIGTERM to the exit. Threads that still run are ended: each may die at any line."""

QUICK_TIMEOUT = 0.7
"""Timeout in seconds of Redis calls that a person waits for. It can pass three times in one call: in the call, in the
handshake of its retry, and in that handshake's retry. The sum is below the 3 seconds that Slack waits for an ack."""

Found = TypeVar("Found")


class CannotStart(WorkersError):
    """The bot cannot start until a person changes its set-up."""


class Stopped(Exception):
    """SIGTERM arrived during the start."""


def main(environ: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT, and return 0. Return 2 after a failed start or a lockout, with a line on stderr."""
    ending = Exit()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.begin(0))
    try:
        run(from_environ(environ), ending.stop, Lockout(ending.locked_out))
    except Stopped:
        pass
    except WorkersError as error:
        sys.stderr.write(f"mixtral-bot: {error}\n")
        return 2
    return ending.status


class Exit:
    """Why the process ends: by a signal, or because Slack accepts no call of the bot."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.status = 0

    def begin(self, status: int) -> None:
        """End within EXIT_WITHIN. The first cause determines the exit status."""
        if not self.stop.is_set():
            self.status = status
            self.stop.set()
            cut_off = threading.Timer(EXIT_WITHIN.total_seconds(), os._exit, (status,))
            cut_off.daemon = True
            cut_off.start()

    def locked_out(self, sentence: str) -> None:
        sys.stderr.write(f"mixtral-bot: {sentence}\n")
        self.begin(2)


def run(settings: BotSettings, stop: threading.Event, lockout: Lockout) -> None:
    """Connect, serve until `stop` is set, and close. Raises CannotStart, Stopped."""
    redis = connect(settings.workers.redis_url)
    _until_it_works(lambda: belong(settings.workers, redis), "Redis", stop)
    quick = quick_redis(settings.workers.redis_url)
    ids = ChannelIds(quick)
    ids.read()
    slack = slack_of(settings, redis, stop, lockout, ids=ids)
    ourselves = _until_it_works(lambda: _who_we_are(slack), "Slack", stop)
    policy_file = PolicyFile(settings.policy, StoredPolicy(quick), slack.user_groups, AuditStream(quick))
    _until_it_works(lambda: _load(policy_file), "the policy", stop)
    with ExitStack() as closing:
        inside = settings.workers.gateway.internal_url
        deployments = wire_deployments(settings.workers, redis)
        channels = SlackChannels(slack_of(settings, quick, lockout=lockout, ids=ids, timeout=ACK_TIMEOUT), quick)
        policy = StoredPolicy(quick).current
        askable = Askable(deployments, Sight(channels.directory, settings.admins, policy))
        answers = AnswerPool(
            deployments,
            slack,
            redis,
            askable=askable,
            quick=quick,
            gateway=inside,
            streams_in_channels=settings.streams_in_channels,
        )
        closing.callback(answers.close)
        later = FairThreads(LATER_THREADS, "later")
        closing.callback(later.close)
        context = replace(context_of(settings, quick, answers, channels), policy_fault=policy_file.fault)
        calls = slack_of(settings, quick, stop, lockout, ids=ids)
        closing.callback(calls.outbox.close)
        home = Home(team=ourselves.team_id, enterprise=ourselves.enterprise, others=settings.teams)
        admission = Admission(
            home, directory=channels.directory, slack=calls, redis=quick, later=later, bot_user=ourselves.user
        )
        listeners = Listeners(context, Threads(quick), ourselves.user, later, calls, admission=admission)
        serving = _until_it_works(
            lambda: _serve(listeners, settings, lockout, ourselves.user, ids), "Slack's sockets", stop
        )
        closing.callback(serving)
        unshared = slack_of(settings, quick, stop, lockout, ids=ids, budgets=UnsharedBudgets())
        watch = _watch(settings, calls, unshared, redis, stop)
        _follow(settings, slack, redis, answers, stop, watch=watch)
        _begin_notices(settings, redis, calls, stop)
        _begin("digests", Digests(context, slack, redis).run, stop)
        _begin("direct messages", DirectMessages(context, calls, redis).run, stop)
        _begin("policy", policy_file.run, stop)
        _begin("open homes", listeners.home.keep_fresh, stop)
        answers.resume()
        context.deployments.all()  # reads every log before the first command needs them
        _LOG.info("bot is up: %s in %s", ourselves.name or "it", ourselves.team or "a workspace")
        stop.wait()


def slack_of(
    settings: BotSettings,
    redis: Redis,
    stop: threading.Event | None = None,
    lockout: Lockout | None = None,
    *,
    ids: ChannelIds | None = None,
    timeout: int = TIMEOUT,
    budgets: Budgets | None = None,
) -> SlackCalls:
    """Return the calls of the Web API. `budgets`: those in this Redis by default. `timeout`: seconds for one call."""
    web = web_client(settings.bot_token, settings.api_url, timeout=timeout)
    return SlackCalls(web, budgets or Budgets(redis), stop, lockout=lockout, ids=ids)


def quick_redis(url: str) -> Redis:
    """Return a Redis client with timeouts shorter than Slack's wait for an ack."""
    return Redis.from_url(
        url,
        socket_timeout=QUICK_TIMEOUT,
        socket_connect_timeout=QUICK_TIMEOUT,
        retry=Retry(ConstantBackoff(0.05), 1),
        health_check_interval=30,
    )


def context_of(settings: BotSettings, redis: Redis, answers: Answers, channels: SlackChannels) -> CommandContext:
    """Return the dependencies of the command handlers. `channels`: with `ACK_TIMEOUT`."""
    core = settings.workers
    policy = StoredPolicy(redis).current
    deployments, sight = wire_deployments(core, redis), Sight(channels.directory, settings.admins, policy)
    return CommandContext(
        deployments=deployments,
        recipes=RecipeCatalog(core.recipe_folders, core.environ, core.default_recipe),
        ladder=ladder_of(core, drivers_of(core), redis),
        priced=lambda: in_use(core.environ, reader(redis)).dated,
        answers=answers,
        settings=ChannelStore(redis),
        drafts=Drafts(redis),
        given=GivenAnswers(redis),
        threads=Threads(redis),
        channels=channels,
        admins=settings.admins,
        sight=sight,
        askable=Askable(deployments, sight),
        direct_requests=DirectRequests(redis),
        policy=policy,
        audit=AuditStream(redis),
        now=deployments.now,
        confirm_above=settings.confirm_above,
    )


def _watch(
    settings: BotSettings, calls: SlackCalls, unshared: SlackCalls, redis: Redis, stop: threading.Event
) -> WorkerWatch:
    """Start to watch workers, Redis, and machines without a deployment. `unshared`: without budgets in Redis."""
    deployments, admins = wire_deployments(settings.workers, redis), settings.admins
    workers = WorkerWatch(deployments, calls, redis, admins=admins, clock=deployments.now)
    outages = RedisWatch(deployments, unshared, redis, admins=admins, clock=deployments.now)
    reports = OrphanReports(deployments, calls, redis, admins=admins, clock=deployments.now)
    for name, look in (("workers", workers.run), ("redis", outages.run), ("orphans", reports.run)):
        _begin(f"{name} watch", look, stop)
    return workers


def _follow(
    settings: BotSettings,
    slack: SlackCalls,
    redis: Redis,
    answers: AnswerPool,
    stop: threading.Event,
    *,
    watch: WorkerWatch,
) -> None:
    deployments = wire_deployments(settings.workers, redis)
    follower = Follower(deployments, slack, redis, ready=answers.ready, away=watch.away, clock=deployments.now)
    _begin("follower", follower.run, stop)


def _begin_notices(settings: BotSettings, redis: Redis, calls: SlackCalls, stop: threading.Event) -> None:
    """Begin what tells people of budgets, and admins of the gateway."""
    deployments, admins = wire_deployments(settings.workers, redis), settings.admins
    clock, policy = deployments.now, StoredPolicy(redis).current
    warnings = BudgetWarnings(deployments, calls, redis, policy=policy, admins=admins, clock=clock)
    alerts = GatewayAlerts(
        calls, redis, admins=admins, serves=lambda: any(s.ready for s in deployments.all()), clock=clock
    )
    _begin("budget warnings", warnings.run, stop)
    _begin("gateway alerts", alerts.run, stop)


def _begin(name: str, run: Callable[[threading.Event], None], stop: threading.Event) -> None:
    """Run something in a thread of its own, which returns once `stop` is set, and ends with the process."""
    threading.Thread(target=run, args=(stop,), name=name, daemon=True).start()


def _load(policy: PolicyFile) -> None:
    try:
        policy.load()
    except PolicyError as error:
        raise CannotStart(
            f"The policy (MIXTRAL_POLICY) is wrong: {str(error).rstrip('.')}. Correct it, and start again."
        ) from error


def _who_we_are(slack: SlackCalls) -> Identity:
    try:
        return slack.identity()
    except SlackRefused as refused:
        mend = "Copy the Bot User OAuth Token (xoxb-…) again from OAuth & Permissions."
        raise CannotStart(f"Slack refuses SLACK_BOT_TOKEN ({refused.code}). {mend}") from refused


def _serve(
    listeners: Listeners, settings: BotSettings, lockout: Lockout, bot_user: str, ids: ChannelIds
) -> Callable[[], None]:
    app = app_of(settings.bot_token, settings.api_url)
    workspace_events.register(app, lockout, bot_user, ids)
    listeners.register(app)
    try:
        if settings.app_token is None:
            return serve_requests(app, settings.signing_secret or "", settings.port, settings.http_host)
        return serve_sockets(app, settings.app_token, lockout)
    except SlackRefused as refused:
        if refused.code in CAUSES:
            lockout.begin(refused.code, APP_TOKEN)
            raise LockedOut(str(refused)) from refused
        mend = "Create an app-level token (xapp-…) with connections:write in Basic Information; turn Socket Mode on."
        raise CannotStart(f"Slack refuses SLACK_APP_TOKEN ({refused.code}). {mend}") from refused
    except OSError as error:
        raise CannotStart(
            f"The bot cannot listen on PORT {settings.port}: {error.strerror}. Set another PORT."
        ) from error


def _until_it_works(attempt: Callable[[], Found], what: str, stop: threading.Event) -> Found:
    """Repeat `attempt` until it succeeds; log once what is waited for. Raises Stopped, CannotStart."""
    logged = False
    while not stop.is_set():
        try:
            return attempt()
        except LockedOut:
            break  # its line is written
        except (RedisError, SlackFailed) as error:
            if not logged:
                _LOG.warning("waiting for %s: %s", what, error)
            logged = True
            stop.wait(RETRY_PAUSE.total_seconds())
    raise Stopped
