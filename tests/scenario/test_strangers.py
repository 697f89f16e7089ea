"""Other companies, guests, siblings and private channels, in a workspace that has them all."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.admission import REFUSED, Admission
from bot.commands.channels import SlackChannels
from bot.commands.sight import Askable, Sight
from bot.commands.strangers import Home
from bot.listeners import Listeners
from bot.prompting.pool import AnswerPool
from bot.prompting.store import Threads
from bot.run import context_of, slack_of
from bot.sandbox.seed import (
    ACME,
    ACME_TEAM,
    APP_TOKEN,
    BOT_TOKEN,
    BOT_USER,
    COMPANY,
    EVE,
    GRID,
    GROUP,
    GUS,
    MIXTRAL,
    NEWS,
    OPS,
    PAIR,
    THREADS,
)
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.settings import from_environ
from bot.slack.client import ACK_TIMEOUT
from bot.slack.connections import app_of, serve_sockets
from bot.slack.fair_threads import FairThreads
from bot.slack.lockout import Lockout
from tests.builders.logs import Logs
from tests.person import ADA, GENERAL, NOOR, ROBIN, Person, words
from workers.run import wire_deployments

RECIPES = Path(__file__).parents[1] / "recipes"


class Bot:
    """Everything but the follower."""

    def __init__(self, redis, redis_url, slack, home, teams=""):
        environ = {
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_API_URL": slack.api_url,
            "REDIS_URL": redis_url,
            "MIXTRAL_HOME": str(home),
            "MIXTRAL_RECIPES": str(RECIPES),
            "MIXTRAL_SLACK_TEAMS": teams,
        }
        settings = from_environ(environ)
        self.logs, self.requests = Logs(redis), wire_deployments(settings.workers, redis)
        calls, quick = slack_of(settings, redis), slack_of(settings, redis, timeout=ACK_TIMEOUT)
        ourselves, channels = calls.identity(), SlackChannels(quick, redis)
        directory = channels.directory
        askable = Askable(self.requests, Sight(directory, settings.admins))
        self.answers = AnswerPool(self.requests, calls, redis, askable=askable, watch_every=timedelta(seconds=0.2))
        self._later = FairThreads(8, "later")
        context = context_of(settings, redis, self.answers, channels)
        whose = Home(team=ourselves.team_id, enterprise=ourselves.enterprise, others=settings.teams)
        admission = Admission(
            whose, directory=directory, slack=calls, redis=redis, later=self._later, bot_user=BOT_USER
        )
        app = app_of(BOT_TOKEN, slack.api_url)
        Listeners(context, Threads(redis), BOT_USER, self._later, calls, admission=admission).register(app)
        self._close = serve_sockets(app, APP_TOKEN, Lockout(pytest.fail))

    def runs(self, name, channel):
        """A deployment of Robin's that answers commands; a question to it waits."""
        return self.logs.start(name, channel, user=ROBIN)

    def close(self):
        self._close()
        self.answers.close()
        self._later.close()


@pytest.fixture(scope="module")
def slack():
    with start(Settings(rate_scale=0, contents=COMPANY)) as running:
        yield running


@pytest.fixture
def people(slack):
    found = {user: Person(slack.url, user) for user in (ROBIN, ADA, NOOR, EVE, GUS, GRID)}
    yield found
    for person in found.values():
        person.close()


@pytest.fixture
def open_bot(redis, valkey_url, slack, people, tmp_path):
    bots = []
    people[ROBIN].wait_disconnected()

    def opened(teams=""):
        bots.append(Bot(redis, valkey_url, slack, tmp_path, teams))
        people[ROBIN].wait_connected()
        return bots[-1]

    yield opened
    for bot in bots:
        bot.close()


def waits(person, channel, text):
    """The name of the deployment for which a question waits."""
    root = person.say(channel, text)
    return words(person.wait_for_message(channel, "Your question waits", thread_ts=root)).split("*")[1]


def answered(person, text, channel):
    before = {m["ts"] for m in person.ephemerals(channel)}
    person.command(channel, text)
    return words(person.wait_for_ephemeral(lambda m: m["ts"] not in before, channel=channel))


def test_a_person_of_another_company_sees_nothing_starts_nothing_and_gets_one_refusal(open_bot, people, redis):
    bot, eve, robin = open_bot(), people[EVE], people[ROBIN]
    bot.runs("joint", ACME)
    for text in ("status", "launch scripted", "ask Hello", "logs joint", "down joint"):
        assert answered(eve, f"/mixtral {text}", ACME) == REFUSED.text
    told = len(eve.ephemerals(ACME))
    root = eve.say(ACME, "@mixtral What is salt?")
    for _ in range(3):
        eve.say(ACME, "@mixtral And pepper?", thread_ts=root)
    eve.wait_for(lambda p: len(p.ephemerals(ACME)) > told)
    # Events arrive in order on the same sockets: once Robin's question is received, Eve's have been received.
    assert waits(robin, ACME, "@mixtral Hello") == "joint"
    assert len(eve.ephemerals(ACME)) == told + 1
    assert [state.name for state in bot.requests.all()] == ["joint"]
    assert not [m for m in robin.messages(ACME, root) if m["user"] == BOT_USER]
    assert redis.hlen("mixtral:questions") == 1


def test_a_company_that_the_operator_named_is_let_in_and_sees_what_runs_where_it_reads(open_bot, people):
    bot, eve = open_bot(ACME_TEAM), people[EVE]
    bot.runs("joint", ACME)
    bot.runs("inner", MIXTRAL)
    bot.runs("closed", OPS)
    said = answered(eve, "/mixtral status", ACME)
    assert "joint" in said
    assert "inner" not in said
    assert "closed" not in said
    assert "There is no deployment `inner`" in answered(eve, "/mixtral logs inner", ACME)


def test_people_of_a_sibling_workspace_use_the_bot_as_if_it_were_theirs(open_bot, people):
    bot, grid = open_bot(), people[GRID]
    bot.runs("fast", MIXTRAL)
    assert "fast" in answered(grid, "/mixtral status", MIXTRAL)
    assert waits(grid, MIXTRAL, "@mixtral Hello") == "fast"
    grid.open_home()
    grid.wait_for(lambda p: "fast" in words(p.home() or {}))


def test_a_guest_asks_and_reads_but_launches_nothing(open_bot, people):
    bot, gus = open_bot(), people[GUS]
    bot.runs("fast", MIXTRAL)
    bot.runs("other", GENERAL)
    assert "Guests of the workspace cannot launch a model" in answered(gus, "/mixtral launch scripted", MIXTRAL)
    said = answered(gus, "/mixtral status", MIXTRAL)
    assert "fast" in said
    assert "other" not in said  # launched in a public channel of which a guest is no member
    assert len(bot.requests.all()) == 2


def test_what_runs_in_a_private_channel_is_shown_to_its_members_alone(open_bot, people):
    bot, ada, noor = open_bot(), people[ADA], people[NOOR]
    bot.runs("closed", OPS)
    bot.runs("mine", people[ROBIN].dm())
    assert "closed" in answered(ada, "/mixtral status", GENERAL)
    assert "closed" not in answered(noor, "/mixtral status", GENERAL)
    assert answered(noor, "/mixtral logs closed", GENERAL) == answered(noor, "/mixtral logs clo", GENERAL).replace(
        "`clo`", "`closed`"
    )
    assert "closed has no log yet" in answered(ada, "/mixtral logs closed", GENERAL)
    assert waits(ada, GENERAL, "@mixtral closed: Hello") == "closed"
    assert "mine" not in answered(ada, "/mixtral status", GENERAL)
    said = answered(noor, "/mixtral launch scripted as closed", GENERAL)
    assert "The name *closed* is taken. Choose another name." in said
    assert ROBIN not in said
    assert OPS not in said
    noor.say(GENERAL, "@mixtral closed: Hello")
    noor.wait_for_ephemeral("No deployment is running", channel=GENERAL)


def test_while_slack_does_not_answer_the_launcher_ends_a_hidden_deployment(open_bot, people):
    bot, robin, ada = open_bot(), people[ROBIN], people[ADA]
    bot.runs("closed", OPS)
    for method in ("conversations.info", "conversations.members", "users.info"):
        robin.fault("refuse", method=method, error="internal_error")
    try:
        assert "There is no deployment `closed`" in answered(ada, "/mixtral logs closed", GENERAL)
        robin.end(GENERAL, "closed")
        robin.wait_for(lambda _: bot.requests.get("closed").stopped_by == ROBIN)
    finally:
        robin.clear_faults()


def test_a_launch_in_a_shared_channel_names_its_other_readers(open_bot, people):
    bot, robin = open_bot(), people[ROBIN]
    said = answered(robin, "/mixtral launch scripted as joint", ACME)
    assert "Launching *joint*" in said
    assert f"People of Acme ({ACME_TEAM}) read this channel: they see the card, its thread and the answers." in said
    assert bot.requests.get("joint").place.shared_with == (f"Acme ({ACME_TEAM})",)
    assert "read this channel" not in answered(robin, "/mixtral launch scripted as inner", MIXTRAL)


def test_a_group_direct_message_launches_and_is_private_to_its_people(open_bot, people):
    bot, robin, ada, noor = open_bot(), people[ROBIN], people[ADA], people[NOOR]
    assert "Launching *shared*" in answered(robin, "/mixtral launch scripted as shared", GROUP)
    assert "shared" in answered(ada, "/mixtral status", GENERAL)
    assert "shared" not in answered(noor, "/mixtral status", GENERAL)
    assert waits(ada, GROUP, "@mixtral Hello") == "shared"
    assert bot.requests.get("shared").place.channel == GROUP


def test_a_question_from_a_direct_message_of_two_people_is_refused_with_a_mend_that_is_possible(open_bot, people):
    open_bot().runs("fast", MIXTRAL)
    people[ROBIN].command(PAIR, "/mixtral ask Hello")
    told = words(people[ROBIN].wait_for_ephemeral("The question was not sent", channel=PAIR))
    assert "your own direct message with the bot" in told
    assert "/invite" not in told


@pytest.mark.parametrize(
    ("channel", "why"), [(NEWS, "it is read-only"), (THREADS, "it accepts only replies in threads")]
)
def test_a_channel_that_would_refuse_the_card_or_the_answer_is_named_before_anything_starts(
    open_bot, people, channel, why
):
    bot = open_bot()
    bot.runs("fast", MIXTRAL)
    assert why in answered(people[ROBIN], "/mixtral launch scripted as other", channel)
    assert why in answered(people[ROBIN], "/mixtral ask fast What is salt?", channel)
    assert [state.name for state in bot.requests.all()] == ["fast"]


def test_in_a_read_only_channel_whose_permissions_name_the_bot_it_launches_and_answers(open_bot, people):
    bot = open_bot()
    people[ROBIN].administer("channel", channel=NEWS, lets_app_post=True)
    try:
        assert "Launching *other*" in answered(people[ROBIN], "/mixtral launch scripted as other", NEWS)
        assert [state.name for state in bot.requests.all()] == ["other"]
    finally:
        people[ROBIN].administer("channel", channel=NEWS, lets_app_post=False)
