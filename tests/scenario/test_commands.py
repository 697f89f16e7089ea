"""Commands, buttons and modals: the real Bolt over a real socket, against a strict stand-in for Slack."""

import logging
import os
import signal
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.exceptions import RedisError
from slack_bolt import BoltRequest
from slack_sdk import WebClient

from bot.admission import Admission
from bot.commands.channels import SlackChannels
from bot.commands.context import CommandContext
from bot.commands.direct_requests import DirectRequests
from bot.commands.recipe_catalog import RecipeCatalog
from bot.commands.sight import Askable, Sight
from bot.commands.strangers import Home
from bot.language.question import Question
from bot.listeners import Listeners
from bot.prompting import pool as prompting
from bot.prompting.channel_store import ChannelStore
from bot.prompting.drafts import Drafts
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.store import Threads
from bot.run import quick_redis, slack_of
from bot.sandbox import events
from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN, BOT_USER, TEAM_ID
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.settings import from_environ
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from bot.slack.client import ACK_TIMEOUT, web_client
from bot.slack.connections import app_of, serve_sockets
from bot.slack.directory import Directory
from bot.slack.fair_threads import FairThreads
from bot.slack.lockout import Lockout
from bot.views.card import card
from tests.builders.logs import Logs
from tests.person import ADA, MIXTRAL, RANDOM, ROBIN, Person, words
from workers.api import Deployments
from workers.deployment.audit_stream import AuditStream
from workers.policy.stored import StoredPolicy
from workers.run import ladder_of

RECIPES = Path(__file__).parents[1] / "recipes"
CONDIMENTS = "Name three condiments."
WORKERS = 8


class Answers:
    """Keeps the questions."""

    def __init__(self):
        self.asked = []
        self.claimed = set()

    def ask(self, question):
        self.asked.append(question)

    def claim(self, question):
        first = question.key not in self.claimed
        self.claimed.add(question.key)
        return first

    def stop(self, channel, thread, pressed):
        raise NotImplementedError

    def stop_one(self, channel, key):
        raise NotImplementedError

    def deleted(self, channel, ts):
        raise NotImplementedError


class Bot:
    """A bot as `run` wires it, without its follower and its answers."""

    def __init__(self, redis, slack, home, ladder=None, *, answers=None, later=None):
        environ = {
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_API_URL": slack.api_url,
            "REDIS_URL": "redis://not-used",
            "MIXTRAL_HOME": str(home),
        }
        settings = from_environ(environ)
        self.redis = redis
        self.nudged = []
        self.answers = answers or Answers()
        self.requests = Deployments(redis, self.nudged.append, {})
        self.running = Logs(redis)
        self.client = WebClient(BOT_TOKEN, base_url=slack.api_url)
        channels = SlackChannels(slack_of(settings, redis, timeout=ACK_TIMEOUT), redis)
        directory = channels.directory
        sight = Sight(directory, (), StoredPolicy(redis).current)
        self.context = CommandContext(
            deployments=self.requests,
            recipes=RecipeCatalog((RECIPES,), {}, "scripted"),
            ladder=ladder or ladder_of(settings.workers, {}),
            priced=lambda: "read today",
            answers=self.answers,
            settings=ChannelStore(redis),
            drafts=Drafts(redis),
            given=GivenAnswers(redis),
            threads=Threads(redis),
            channels=channels,
            admins=frozenset(),
            sight=sight,
            askable=Askable(self.requests, sight),
            direct_requests=DirectRequests(redis),
            policy=StoredPolicy(redis).current,
            audit=AuditStream(redis),
            now=lambda: datetime.now(UTC),
        )
        self._later = later or FairThreads(WORKERS, "later")
        self.app = app_of(BOT_TOKEN, slack.api_url)
        self.calls = calls = slack_of(settings, redis)
        admission = Admission(
            Home(team=TEAM_ID), directory=directory, slack=calls, redis=redis, later=self._later, bot_user=BOT_USER
        )
        self.listeners = Listeners(self.context, Threads(redis), BOT_USER, self._later, calls, admission=admission)
        self.listeners.register(self.app)
        self._close = serve_sockets(self.app, APP_TOKEN, Lockout(pytest.fail))

    def card(self, name, channel=MIXTRAL):
        """Post the card of a deployment of Robin's that answers."""
        id_ = self.put(name)
        shown = card(self.requests.by_id(id_), datetime.now(UTC))
        self.client.chat_postMessage(channel=channel, text=shown.text, blocks=list(shown.blocks))
        return id_

    def put(self, name):
        """A deployment of Robin's that answers."""
        return self.running.put(name, "http://127.0.0.1:1", MIXTRAL, user=ROBIN)

    def idle(self):
        """Wait until no command or press is being worked on: all threads meet."""
        met = threading.Barrier(WORKERS)
        for free in [self._later.submit(f"U{n}", met.wait, 60) for n in range(WORKERS)]:
            free.result()

    def close(self):
        self._close()
        self._later.close()


@pytest.fixture(scope="module")
def slack():
    with start(Settings(rate_scale=0)) as running:
        yield running


@pytest.fixture
def robin(slack):
    with Person(slack.url, ROBIN) as person:
        yield person
        person.clear_faults()


@pytest.fixture
def ada(slack):
    with Person(slack.url, ADA) as person:
        yield person


@pytest.fixture
def bot(redis, slack, robin, tmp_path):
    robin.wait_disconnected()
    it = Bot(redis, slack, tmp_path)
    robin.wait_connected()
    yield it
    it.close()


def answered(person, text, channel=MIXTRAL):
    """What a command is answered with, which only its caller sees."""
    before = {m["ts"] for m in person.ephemerals(channel)}
    assert person.command(channel, text)["acked"]
    return words(person.wait_for_ephemeral(lambda m: m["ts"] not in before, channel=channel))


def pressed(person, message, button, channel=MIXTRAL):
    """What a press is answered with, which only its person sees: no word of an earlier test."""
    before = {m["ts"] for m in person.ephemerals(channel)}
    person.press(message, button)
    return words(person.wait_for_ephemeral(lambda m: m["ts"] not in before, channel=channel))


def test_reading_commands_are_answered_in_the_ack_alone(bot, robin):
    bot.put("fast")
    calls = len(robin.calls())
    assert "/mixtral launch" in answered(robin, "/mixtral help")
    assert "/mixtral scale NAME N" in answered(robin, "/mixtral help scale")
    assert "scripted" in answered(robin, "/mixtral recipes")
    assert "fast" in answered(robin, "/mixtral status")
    assert "fast" in answered(robin, "/mixtral status fast")
    assert "mixtral-8x7b" in answered(robin, "/mixtral plan mixtral-8x7b")
    assert "Did you mean `/mixtral launch`" in answered(robin, "/mixtral lanch")
    assert len(robin.calls()) == calls


def test_a_launch_is_in_the_log_when_it_is_acked(bot, robin):
    assert "Launching *fast*" in answered(robin, "/mixtral launch scripted as fast")
    state = bot.requests.get("fast")
    assert (state.place.channel, state.place.user) == (MIXTRAL, ROBIN)
    assert bot.nudged == [state.id]


def test_a_taken_name_is_refused_with_a_pointer_to_its_card(bot, robin, ada):
    id_ = bot.card("fast")
    posted = bot.client.chat_postMessage(channel=MIXTRAL, text="card")
    bot.redis.hset("mixtral:cards", id_, f'{{"channel": "{MIXTRAL}", "ts": "{posted["ts"]}"}}')
    said = answered(ada, "/mixtral launch scripted as fast")
    assert f"<@{ROBIN}> launched it" in said
    assert "|Its card.>" in said
    assert "fast-2" in said


def test_in_a_channel_without_the_bot_nothing_is_started(bot, robin):
    assert "/invite @mixtral" in answered(robin, "/mixtral launch", RANDOM)
    assert bot.requests.all() == []


def test_a_direct_message_is_a_channel_like_any_other(bot, robin):
    assert "Launching *scripted*" in answered(robin, "/mixtral launch", robin.dm())
    assert bot.requests.get("scripted").place.channel == robin.dm()


@pytest.mark.parametrize("fault", [{"kind": "refuse", "error": "unknown_method"}, {"kind": "http_500"}])
def test_where_slack_does_not_say_whether_the_bot_is_there_it_launches(bot, robin, fault):
    robin.fault(method="conversations.info", **fault)
    assert "Launching" in answered(robin, "/mixtral launch")


def test_a_slow_answer_of_slack_does_not_cost_the_ack(bot, robin):
    robin.fault("delay", method="conversations.info", seconds=5)
    assert "Launching" in answered(robin, "/mixtral launch")


@contextmanager
def frozen(redis):
    """A Redis that takes calls and answers none."""
    process = redis.info("server")["process_id"]
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_a_redis_that_is_frozen_does_not_cost_the_ack_and_the_outcome_follows(bot, redis, robin):
    with frozen(redis):
        robin.fault("delay", method="conversations.info", seconds=5)
        assert "takes longer than usual" in answered(robin, "/mixtral launch scripted as fast")
    # Not by the sentence alone: an earlier test may have left one.
    [launched] = robin.wait_for(lambda _: bot.requests.all())
    assert (launched.name, launched.place.user) == ("fast", ROBIN)
    robin.wait_for_ephemeral("Launching *fast*", channel=MIXTRAL)


def test_a_click_is_acked_while_redis_is_frozen(bot, redis, robin):
    bot.card("fast")
    shown = robin.wait_for_message(MIXTRAL, lambda m: any(b["type"] == "actions" for b in m["blocks"]))
    before = {m["ts"] for m in robin.ephemerals(MIXTRAL)}
    with frozen(redis):
        assert robin.press(shown, "card_endpoint")["ok"]
    robin.wait_for_ephemeral(lambda m: m["ts"] not in before and "mxk_" in words(m), channel=MIXTRAL)


def test_what_is_asked_before_an_ack_gives_up_in_time(redis, valkey_url, slack):
    with quick_redis(valkey_url) as quick:
        calls, deployments = SlackCalls(web_client(BOT_TOKEN), Budgets(redis)), Deployments(redis, print, {})
        askable = Askable(deployments, Sight(Directory(calls), ()))
        answers = prompting.AnswerPool(deployments, calls, redis, askable=askable, quick=quick)
        quick.ping()
        began = time.monotonic()
        with frozen(redis), pytest.raises(RedisError):
            answers.ask(Question(id="E1", team="T1", channel=MIXTRAL, user=ROBIN, text="Hello", message_ts="1.0"))
        assert time.monotonic() - began < 4.5, "one timeout of the ordinary client is 5 s"
        answers.close()


@pytest.mark.parametrize(
    "kind", ["assistant_thread_started", "assistant_thread_context_changed", "member_left_channel"]
)
def test_events_that_nobody_needs_are_acked(bot, kind, caplog):
    caplog.set_level(logging.INFO)
    body = events.envelope({"type": kind, "user": ROBIN, "channel": MIXTRAL, "event_ts": "1.0"}, at=1)
    assert bot.app.dispatch(BoltRequest(body=body, mode="socket_mode")).status == 200
    assert "no listener" not in caplog.text


def test_the_key_is_shown_to_its_launcher_and_to_nobody_else(bot, robin, ada):
    bot.put("fast")
    assert "mxk_" in answered(robin, "/mixtral endpoint fast")
    assert f"<@{ROBIN}> launched *fast*" in answered(ada, "/mixtral endpoint fast")
    assert not any("mxk_" in words(m) for m in robin.messages(MIXTRAL))


def test_the_cards_buttons_answer_only_who_pressed_them(bot, robin, ada):
    bot.card("fast")
    shown = robin.wait_for_message(MIXTRAL, lambda m: any(b["type"] == "actions" for b in m["blocks"]))
    assert "mxk_" in pressed(robin, shown, "card_endpoint")
    said = pressed(ada, shown, "card_endpoint")
    assert f"<@{ROBIN}> launched" in said
    assert "mxk_" not in said
    assert "may end it" in pressed(ada, shown, "card_down")


@pytest.mark.parametrize("button", ["card_details", "card_logs"], ids=["of this version", "of the version before"])
def test_the_details_of_a_card_open_where_it_was_pressed_and_can_be_refreshed(bot, robin, ada, button):
    id_ = bot.card("fast")
    shown = robin.wait_for_message(MIXTRAL, lambda m: any(b["type"] == "actions" for b in m["blocks"]))
    old = {"type": "button", "action_id": "card_logs", "text": {"type": "plain_text", "text": "Logs"}, "value": id_}
    if button == "card_logs":
        blocks = [{"type": "actions", "elements": [old]}]
        bot.client.chat_update(channel=MIXTRAL, ts=shown["ts"], text="fast", blocks=blocks)
        shown = robin.wait_for_message(MIXTRAL, lambda m: "Logs" in words(m))
    before = len(ada.ephemerals())
    ada.press(shown, button)
    [view] = ada.wait_for(lambda p: [v for v in p.modals() if "has no log yet" in words(v)])
    for section in ("fast is ready", "*Recipe*  `scripted`", "Replicas", "replica 1", "Logs"):
        assert section in words(view)

    bot.requests.stop(id_, by=ROBIN)
    ada.press_in(view, "details_refresh")
    [ending] = ada.wait_for(lambda p: [v for v in p.modals() if "is shutting down" in words(v)])
    assert ending["id"] == view["id"]
    bot.redis.flushall()
    ada.press_in(ending, "details_refresh")
    [gone] = ada.wait_for(lambda p: [v for v in p.modals() if "its log no longer exists" in words(v)])
    assert words(gone).count("ended") == 1
    assert len(ada.ephemerals()) == before
    ada.dismiss(gone)


def test_only_who_may_end_it_is_asked_and_it_ends_once_they_say_so(bot, robin, ada):
    bot.card("fast")
    shown = robin.wait_for_message(MIXTRAL, lambda m: any(b["type"] == "actions" for b in m["blocks"]))
    assert "may end it" in pressed(ada, shown, "card_down")
    assert ada.modals() == []
    robin.press(shown, "card_down")
    [view] = robin.wait_for(lambda p: p.modals())
    assert "End *fast*? Its replica and its endpoint are removed, and its keys stop working." in words(view)
    assert bot.requests.get("fast").stopped_by is None
    robin.submit(view, {})
    robin.wait_for(lambda p: p.modals() == [])
    assert bot.requests.get("fast").stopped_by == ROBIN


def test_who_confirms_the_end_of_what_is_gone_is_told_so_in_the_window(bot, robin):
    bot.card("fast")
    shown = robin.wait_for_message(MIXTRAL, lambda m: any(b["type"] == "actions" for b in m["blocks"]))
    robin.press(shown, "card_down")
    [view] = robin.wait_for(lambda p: p.modals())
    bot.redis.flushall()
    robin.submit(view, {})
    [said] = robin.wait_for(lambda p: [v for v in p.modals() if v != view])
    assert "its log no longer exists" in words(said)
    robin.dismiss(said)


def test_the_modal_scales_and_says_what_is_wrong_beside_its_field(bot, robin, ada):
    bot.card("fast")
    shown = robin.wait_for_message(MIXTRAL, lambda m: any(b["type"] == "actions" for b in m["blocks"]))
    assert "may scale it" in pressed(ada, shown, "card_scale")
    assert ada.modals() == []
    robin.press(shown, "card_scale")
    [view] = robin.wait_for(lambda p: p.modals())

    def number(text):
        return {"replicas": {"replicas": {"type": "number_input", "value": text}}}

    assert "0 to 50" in robin.submit(view, number("51"))["errors"]["replicas"]
    assert bot.requests.get("fast").wanted == 1
    assert "errors" not in robin.submit(view, number("2"))
    robin.wait_for(lambda p: p.modals() == [])
    assert bot.requests.get("fast").wanted == 2


def test_buttons_that_nobody_knows_are_acked(bot, robin):
    button = {"type": "button", "action_id": "from_long_ago", "value": "x", "text": {"type": "plain_text", "text": "?"}}
    bot.client.chat_postMessage(channel=MIXTRAL, text="old", blocks=[{"type": "actions", "elements": [button]}])
    shown = robin.wait_for_message(MIXTRAL, "old")
    assert robin.press(shown, "from_long_ago")["ok"]


def test_a_button_of_a_deployment_long_gone_is_answered(bot, robin):
    id_ = bot.card("gone")
    shown = robin.wait_for_message(MIXTRAL, lambda m: id_ in str(m["blocks"]))
    bot.redis.flushall()
    assert "its log no longer exists" in pressed(robin, shown, "card_down")


def test_the_home_tab_shows_what_runs_and_its_buttons_open_modals(bot, robin):
    bot.put("fast")
    robin.open_home()
    assert robin.wait_for(lambda p: p.home() and "fast" in words(p.home()))


def test_questions_come_by_mention_message_thread_and_command_and_nothing_else_does(bot, robin):
    bot.put("fast")
    mention = robin.say(MIXTRAL, f"@mixtral {CONDIMENTS}")
    robin.wait_for(lambda _: bot.answers.asked)
    direct = robin.say(robin.open_dm(), CONDIMENTS)
    robin.wait_for(lambda _: any(q.message_ts == direct for q in bot.answers.asked))
    robin.say(MIXTRAL, "just talking")
    robin.say(MIXTRAL, "talking in a thread", thread_ts=mention)
    Threads(bot.redis).prompted(MIXTRAL, mention, CONDIMENTS)
    reply = robin.say(MIXTRAL, "And one more?", thread_ts=mention)
    robin.wait_for(lambda _: any(q.message_ts == reply for q in bot.answers.asked))
    assert "Asked *fast*" in answered(robin, f'/mixtral ask "{CONDIMENTS}"')
    keys = {q.key for q in bot.answers.asked}
    assert {q.text for q in bot.answers.asked} == {CONDIMENTS, "And one more?", f'"{CONDIMENTS}"'}
    assert len(keys) == 4  # a mention may come as two events of one key


def heard(person, channel, text, thread=None):
    """What a message is answered with, which only its author sees."""
    before = {m["ts"] for m in person.ephemerals(channel)}
    person.say(channel, text, thread)
    return person.wait_for_ephemeral(lambda m: m["ts"] not in before, channel=channel)


def test_a_mention_that_is_a_whole_command_which_reads_is_carried_out_once_and_privately(bot, robin):
    bot.put("fast")
    first = heard(robin, MIXTRAL, "@mixtral help scale")
    assert "/mixtral scale NAME N" in words(first)
    assert "1 deployment: fast." in words(heard(robin, MIXTRAL, "@mixtral status"))
    root = robin.say(MIXTRAL, "Is it up?")
    shown = heard(robin, MIXTRAL, "@mixtral status fast", root)
    assert "fast is ready" in words(shown)
    assert shown["thread_ts"] == root
    robin.say(MIXTRAL, "@mixtral plan a trip")
    robin.wait_for(lambda _: bot.answers.asked)
    assert {q.text for q in bot.answers.asked} == {"plan a trip"}
    since = [m for m in robin.ephemerals(MIXTRAL) if m["ts"] > first["ts"]]
    assert len([m for m in since if "1 deployment: fast." in words(m)]) == 1


def test_where_slack_shows_no_private_answer_it_comes_as_a_direct_message(bot, robin):
    robin.fault(method="chat.postEphemeral", kind="refuse", error="user_not_in_channel")
    robin.say(MIXTRAL, "@mixtral help logs")
    assert robin.wait_for_message(robin.open_dm(), lambda m: "/mixtral logs NAME" in words(m))


def test_in_a_direct_message_help_is_a_command_whose_answer_stays(bot, robin):
    bot.put("help")
    bot.put("fast")
    channel = robin.open_dm()
    asked = robin.say(channel, "help")
    shown = robin.wait_for_message(channel, lambda m: "The commands are" in words(m), thread_ts=asked)
    assert shown["user"] == BOT_USER
    question = robin.say(channel, "help: me with my homework")
    robin.wait_for(lambda _: any(q.message_ts == question for q in bot.answers.asked))
    assert len(bot.answers.asked) == 1


def test_what_a_mention_may_not_do_is_done_by_one_press_of_the_button_in_its_answer(bot, robin, ada):
    bot.put("fast")
    said = ("launch as x", "scale fast 5", "down fast")
    launch, scale, end = (heard(robin, MIXTRAL, f"@mixtral {typed}") for typed in said)
    assert "Launch *x*?" in words(launch)
    assert "Scale *fast* from 1 to 5?" in words(scale)
    assert "End *fast*?" in words(end)
    assert "only they may end it" in words(heard(ada, MIXTRAL, "@mixtral down fast"))
    [state] = bot.requests.all()
    assert (state.wanted, state.stopped_by) == (1, None)
    for _ in range(2):
        robin.press(launch, "do_command")
    robin.press(scale, "do_command")
    robin.wait_for_ephemeral("from 1 replica to 5")
    robin.press(end, "do_command")
    robin.wait_for_ephemeral("Ending *fast*")
    robin.wait_for(lambda _: {s.name: s.stopped_by for s in bot.requests.all()} == {"fast": ROBIN, "x": None})
    assert bot.answers.asked == []


def test_a_reply_to_another_person_in_an_answered_thread_is_left_alone(bot, robin):
    bot.put("fast")
    mention = robin.say(MIXTRAL, f"@mixtral {CONDIMENTS}")
    Threads(bot.redis).prompted(MIXTRAL, mention, CONDIMENTS)
    robin.say(MIXTRAL, "@ada lol, that is wrong, shall we end it?", thread_ts=mention)
    robin.say(MIXTRAL, "@ada @mixtral And what is right?", thread_ts=mention)
    last = robin.say(MIXTRAL, "Ask @ada what she likes.", thread_ts=mention)
    robin.wait_for(lambda _: any(q.message_ts == last for q in bot.answers.asked))
    assert {q.text for q in bot.answers.asked} == {
        CONDIMENTS,
        f"@{ADA} And what is right?",
        f"Ask @{ADA} what she likes.",
    }


def test_a_dropped_socket_is_connected_again(bot, robin):
    for kind in ("drop_socket", "refresh_socket"):
        robin.fault(kind)
        robin.wait_connected()
        robin.wait_for(lambda p: p.command(MIXTRAL, "/mixtral help")["acked"])


def test_an_error_that_nobody_expected_is_owned_up_to(bot, robin):
    bot.redis.set("mixtral:names", "not a hash")
    assert "Redis" in answered(robin, "/mixtral status")
    bot.redis.delete("mixtral:names")
    bot.redis.zadd("mixtral:past", {"neither a name nor an id": time.time()})
    assert "incident" in answered(robin, "/mixtral status odd")
    bot.redis.delete("mixtral:past")
    bot.redis.hset("mixtral:names", "odd", "d-odd")
    bot.redis.xadd("mixtral:d:d-odd", {"e": "no JSON"}, id="1-0")
    assert "it is damaged" in answered(robin, "/mixtral status odd")
    assert "incident" not in answered(robin, "/mixtral status")


def test_home_is_a_dashboard_whose_buttons_work(bot, robin, ada):
    id_ = bot.put("fast")
    posted = bot.client.chat_postMessage(channel=MIXTRAL, text="card")
    bot.redis.hset("mixtral:cards", id_, f'{{"channel": "{MIXTRAL}", "ts": "{posted["ts"]}"}}')
    over = bot.put("over")
    bot.running.append(bot.running.story(over).stopped().ended())
    robin.open_home()
    home = robin.wait_for(lambda p: p.home() if "*over* is down" in words(p.home() or {}) else None)
    said = words(home)
    assert "*fast* is ready" in said
    assert "|Card>" in said
    robin.press_in(home, "card_scale")
    form = robin.wait_for(lambda p: next((m for m in p.modals() if m["callback_id"] == "scale_deployment"), None))
    robin.submit(form, {"replicas": "2"})
    robin.wait_for(lambda _: bot.requests.get("fast").wanted == 2)
    bot.listeners.home.refresh()
    robin.wait_for(lambda p: "of 2 replicas" in words(p.home()))
