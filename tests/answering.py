"""Fixtures for questions and answers: the real Bolt over a real socket, the Slack stand-in, a scripted engine."""

from datetime import timedelta
from functools import partial

import pytest
from redis import Redis

from bot.admission import Admission
from bot.commands.channels import SlackChannels
from bot.commands.context import CommandContext
from bot.commands.direct_requests import DirectRequests
from bot.commands.sight import Askable, Sight
from bot.commands.strangers import Home
from bot.listeners import Listeners
from bot.prompting.channel_store import ChannelStore
from bot.prompting.drafts import Drafts
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.pool import AnswerPool
from bot.prompting.store import QUESTIONS, Threads
from bot.run import slack_of
from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN, BOT_USER, TEAM_ID
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.settings import from_environ
from bot.slack.budgets import LIMITS, Budgets
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from bot.slack.connections import app_of, serve_sockets
from bot.slack.directory import Directory
from bot.slack.fair_threads import FairThreads
from bot.slack.lockout import Lockout
from tests.builders.logs import Logs
from tests.fakes.upstream import Upstream
from tests.person import ADA, MIXTRAL, ROBIN, Person, words
from workers.deployment.audit_stream import AuditStream
from workers.policy.stored import StoredPolicy
from workers.run import wire_deployments


class Line:
    """Bolt on its socket, as `run` wires it. The answering processes can be replaced, as by a restart."""

    def __init__(self, redis, redis_url, api_url, home):
        environ = {
            "REDIS_URL": redis_url,
            "MIXTRAL_HOME": str(home),
            "SLACK_API_URL": api_url,
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
        }
        settings = from_environ(environ)
        self.redis = redis
        self.settings = settings
        self.requests = wire_deployments(settings.workers, redis)
        self.bots = []
        directory = Directory(slack_of(settings, redis))
        sight = Sight(directory, ())
        self.askable = Askable(self.requests, sight)
        context = CommandContext(
            deployments=self.requests,
            recipes=None,
            ladder=None,
            priced=lambda: "",
            answers=self,
            settings=ChannelStore(redis),
            drafts=Drafts(redis),
            given=GivenAnswers(redis),
            threads=Threads(redis),
            channels=SlackChannels(slack_of(settings, redis), redis),
            admins=(),
            sight=sight,
            askable=self.askable,
            direct_requests=DirectRequests(redis),
            policy=StoredPolicy(redis).current,
            audit=AuditStream(redis),
            now=self.requests.now,
        )
        app = app_of(BOT_TOKEN, api_url)
        self._later = FairThreads(8, "later")
        calls = slack_of(settings, redis)
        admission = Admission(
            Home(team=TEAM_ID), directory=directory, slack=calls, redis=redis, later=self._later, bot_user=BOT_USER
        )
        Listeners(context, Threads(redis), BOT_USER, self._later, calls, admission=admission).register(app)
        self._end_sockets = serve_sockets(app, APP_TOKEN, Lockout(pytest.fail))

    def ask(self, question):
        """Every process receives the question, as if Slack repeated the event."""
        return True in [bot.ask(question) for bot in self.bots]

    def claim(self, question):
        return self.bots[-1].claim(question)

    def stop(self, channel, thread, pressed):
        """One process is told, and not always the one that answers."""
        self.bots[-1].stop(channel, thread, pressed)

    def stop_one(self, channel, key):
        return self.bots[-1].stop_one(channel, key)

    def deleted(self, channel, ts):
        self.bots[-1].deleted(channel, ts)

    def bot(self, budgets=LIMITS, **more):
        # A bot that ends gives its leases back; one that a busy machine holds up must not lose them to another.
        lease, watch = timedelta(seconds=20), timedelta(seconds=0.1)
        slack = SlackCalls(web_client(BOT_TOKEN, self.settings.api_url), Budgets(self.redis, budgets))
        pool = AnswerPool(
            self.requests, slack, self.redis, askable=self.askable, lease=lease, watch_every=watch, **more
        )
        self.bots.append(pool)
        self.bots[-1].resume()
        return self.bots[-1]

    def end(self, bot):
        self.bots.remove(bot)
        bot.close()

    def close(self):
        self._end_sockets()
        self._later.close()


class Place:
    """Everything that a test needs."""

    def __init__(self, redis, slack, line):
        self.redis, self.line = redis, line
        self.shelf = Logs(redis)
        self.robin = Person(slack.url, ROBIN)
        self.ada = Person(slack.url, ADA)
        self.robin.wait_connected()
        self.bot, self.end = line.bot, line.end

    def close(self):
        for bot in [*self.line.bots]:
            self.end(bot)
        self.robin.clear_faults()
        self.robin.close()
        self.ada.close()

    def answer(self, thread, contains, *, channel=MIXTRAL, timeout=15):
        """The bot's message in a thread that says this, with its footer below."""
        return self.robin.wait_for_message(
            channel, lambda m: m["user"] == BOT_USER and contains in words(m), thread_ts=thread, timeout=timeout
        )

    def settled(self, *threads, channel=MIXTRAL, timeout=15):
        """Wait until the last message in each of these threads is the bot's, and no question is left."""

        def answered(thread, person):
            return person.messages(channel, thread)[-1]["user"] == BOT_USER

        for thread in threads:
            self.robin.wait_for(partial(answered, thread), timeout)
        self.robin.wait_for(lambda _: self.redis.hlen(QUESTIONS) == 0, timeout)

    def said(self, thread, channel=MIXTRAL):
        """Everything that the bot says in a thread, joined."""
        said = [m for m in self.robin.messages(channel, thread) if m["user"] == BOT_USER and m["ts"] != thread]
        return "\n".join(words(m) for m in said)

    def markdown(self, thread, channel=MIXTRAL):
        """The Markdown of the bot's messages in a thread, without the lines below them."""
        said = [m for m in self.robin.messages(channel, thread) if m["user"] == BOT_USER and m["ts"] != thread]
        return ["".join(b["text"] for b in m["blocks"] if b["type"] == "markdown") for m in said]


def held(go, how):
    """A script of an engine that begins its answer when `go` is set."""

    def script(_):
        assert go.wait(60)
        return how

    return script


@pytest.fixture(scope="module")
def slack():
    with start(Settings(rate_scale=100, stream_life=timedelta(seconds=60))) as running:
        yield running


@pytest.fixture
def engine():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def line(valkey_url, slack, tmp_path_factory):
    with Redis.from_url(valkey_url) as redis:
        it = Line(redis, valkey_url, slack.api_url, tmp_path_factory.mktemp("home"))
        yield it
        it.close()


@pytest.fixture
def place(redis, slack, line):
    it = Place(redis, slack, line)
    yield it
    it.close()
