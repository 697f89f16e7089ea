"""Workers that are away, on a real Valkey and the Slack stand-in: told once where people are, and once when back."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from slack_sdk import WebClient

from bot.cards.follower import Follower
from bot.cards.worker_watch import BEGUN, TOLD, WorkerWatch
from bot.sandbox import server
from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.stand_in import Settings
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from bot.slack.failures import SlackAway
from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.person import ADA, GENERAL, MIXTRAL, RANDOM, ROBIN, Person, words
from workers.api import Deployments
from workers.deployment.events import Place
from workers.deployment.log import new_id
from workers.heartbeats import HEARTBEATS, HeartbeatRecorder, WorkerPart

PRICE = "21.96"


@pytest.fixture
def slack():
    with server.start(Settings(rate_scale=0)) as running:
        yield running


class Installation:
    """Deployments with machines, workers that beat or do not, and a bot whose clocks tests move."""

    def __init__(self, redis, slack, admins=()):
        self.redis, self.now, self.monotonic = redis, datetime.now(UTC), 0.0
        self.web = WebClient(BOT_TOKEN, base_url=slack.api_url)
        self.calls = SlackCalls(web_client(BOT_TOKEN, slack.api_url), Budgets(redis))
        self.requests = Deployments(redis, lambda _: None, {})
        self.admins = admins
        self.watch = self.bot()
        self.silent = frozenset()

    def bot(self):
        return WorkerWatch(
            self.requests,
            self.calls,
            self.redis,
            admins=self.admins,
            clock=lambda: self.now,
            monotonic=lambda: self.monotonic,
        )

    def serve(self, name="fast", channel=GENERAL, price=PRICE):
        place = Place(team="T0SANDBOX01", channel=channel, user=ROBIN)
        told = Story(name, id_=new_id(), at=self.now - timedelta(seconds=30), place=place)
        append(self.redis, told.planned(offer("gcp r-a", price)).asked().created().ready().published().tested())
        return told

    def pass_time(self, seconds, *, steps=3):
        """The parts that are not silent beat, and the bot looks, every few seconds."""
        for _ in range(0, seconds, steps):
            self.now += timedelta(seconds=steps)
            self.monotonic += steps
            for part in set(WorkerPart) - self.silent:
                HeartbeatRecorder(self.redis, part, "h-a").beat()
                at = int(self.now.timestamp())  # Redis's own clock is not moved by the test
                self.redis.hset(HEARTBEATS, f"{part} h-a", f"{at} worker-1")
            self.watch.look()
            self.watch.tell()

    def said(self, channel=GENERAL):
        found = self.web.conversations_history(channel=channel, include_all_metadata=True)["messages"]
        return [words(m) for m in reversed(found) if (m.get("metadata") or {}).get("event_type") == "mixtral_workers"]

    def direct(self, user):
        return self.said(self.web.conversations_open(users=user)["channel"]["id"])


@pytest.fixture
def house(redis, slack):
    return Installation(redis, slack)


ALL = frozenset(WorkerPart)


def test_each_channel_hears_once_that_no_worker_answers_and_once_that_one_does(house):
    house.serve("fast")
    house.serve("slow")
    house.serve("other", channel=MIXTRAL)
    house.pass_time(30)
    house.silent = ALL
    house.pass_time(57)
    assert house.said() == []
    house.pass_time(300)
    (told,) = house.said()
    assert "No worker has answered since" in told
    assert "no lease is extended" in told
    assert "*fast* (21.96 USD/h): its machine ends itself" in told
    assert "and costs up to 52" in told
    assert "*slow* (21.96 USD/h)" in told
    assert "start `mixtral-bot worker`" in told
    assert "other" not in told
    (elsewhere,) = house.said(MIXTRAL)
    assert "fast" not in elsewhere
    house.silent = frozenset()
    house.pass_time(60)
    _, back = house.said()
    assert "A worker answers again* after 6 min" in back
    assert len(house.said(MIXTRAL)) == 2
    assert not house.redis.exists(TOLD)


def test_workers_that_observe_but_do_no_jobs_are_told_of_with_what_that_costs(house):
    house.serve()
    house.pass_time(30)
    house.silent = {WorkerPart.JOBS}
    house.pass_time(93)
    (told,) = house.said()
    assert "No worker has done a job since" in told
    assert "Machines are observed and kept, but nothing is launched, scaled or ended" in told
    assert "runs and costs until a worker does jobs again, even if you end it" in told


def test_machines_that_nobody_observes_are_not_called_observed_because_the_last_job_was_earlier(house):
    house.serve()
    house.pass_time(30)
    house.silent = {WorkerPart.JOBS}  # an idle worker of RQ works every 15 s
    house.pass_time(15)
    house.silent = ALL
    house.pass_time(120)
    (told,) = house.said()
    assert "No worker has answered since" in told
    assert "its machine ends itself" in told


def test_it_is_told_if_first_no_worker_does_jobs_and_later_none_observes(house):
    house.serve()
    house.pass_time(30)
    house.silent = {WorkerPart.JOBS}
    house.pass_time(180)
    house.silent = ALL
    house.pass_time(180)
    jobs, none = house.said()
    assert "No worker has done a job since" in jobs
    assert "No worker has answered since" in none
    house.silent = frozenset()
    house.pass_time(60)
    assert "A worker answers again" in house.said()[2]
    assert len(house.said()) == 3


def test_nothing_is_told_where_nothing_runs(house):
    house.silent = ALL
    house.pass_time(90)
    assert house.said() == []
    assert not house.redis.exists(TOLD)


def test_a_redis_that_was_away_and_a_clock_that_jumped_raise_no_alarm(house):
    house.serve()
    house.pass_time(30)
    house.monotonic += 600  # Redis did not answer for ten minutes, and no look succeeded
    house.watch._seen = None
    house.now += timedelta(hours=30)
    house.pass_time(30)
    house.now -= timedelta(hours=2)
    house.pass_time(30)
    assert house.said() == []


def test_a_worker_of_an_earlier_version_that_holds_the_lease_raises_no_alarm(house):
    house.serve()
    house.silent = ALL
    house.redis.set("mixtral:lease:sweeper", "held")
    house.pass_time(120)
    assert house.said() == []
    house.redis.delete("mixtral:lease:sweeper")
    house.pass_time(63)
    assert "No worker has answered." in house.said()[0]


def test_an_absence_that_begins_before_all_rooms_heard_of_the_end_of_another_is_told(house, monkeypatch):
    house.serve()
    house.serve("other", channel=MIXTRAL)
    house.pass_time(30)
    house.silent = ALL
    house.pass_time(90)
    post = house.calls.post

    def refused(channel, *arguments, **named):
        if channel == MIXTRAL:
            raise SlackAway("Slack does not answer")
        return post(channel, *arguments, **named)

    monkeypatch.setattr(house.calls, "post", refused)
    house.silent = frozenset()
    house.pass_time(30)
    house.silent = ALL
    house.pass_time(90)
    assert ["No worker" in text for text in house.said()] == [True, False, True]


def test_admins_are_told_of_all_in_a_direct_message(redis, slack):
    house = Installation(redis, slack, admins={ADA})
    house.serve("fast")
    house.serve("other", channel=MIXTRAL)
    house.silent = ALL
    house.pass_time(90)
    (told,) = house.direct(ADA)
    assert "fast" in told
    assert "other" in told


def test_the_launcher_is_told_where_the_channel_refuses_the_message(house):
    house.serve(channel=RANDOM)
    house.silent = ALL
    house.pass_time(90)
    assert len(house.direct(ROBIN)) == 1
    house.silent = frozenset()
    house.pass_time(30)
    assert len(house.direct(ROBIN)) == 2


def test_a_bot_that_is_restarted_during_the_absence_neither_repeats_it_nor_says_that_it_is_over(house):
    house.serve()
    house.pass_time(30)
    house.silent = ALL
    house.pass_time(90)
    house.redis.hset(TOLD, GENERAL, BEGUN)  # it died after the post, before it recorded the ts
    house.watch = house.bot()
    house.pass_time(90)
    assert len(house.said()) == 1
    house.silent = frozenset()
    house.watch = house.bot()
    house.pass_time(30)
    assert len(house.said()) == 2


def test_the_card_says_it_and_is_not_green_and_says_when_the_lease_has_passed(house, redis, slack, valkey_url):
    told = house.serve()
    house.pass_time(30)
    stop, client = threading.Event(), Redis.from_url(valkey_url)
    follower = Follower(
        house.requests,
        house.calls,
        client,
        clock=lambda: house.now,
        lease_for=timedelta(seconds=1),
        away=house.watch.away,
    )
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        with Person(slack.url) as robin:
            robin.wait_for_message(GENERAL, "🟢 fast is ready")
            house.silent = ALL
            house.pass_time(90)
            robin.wait_for_message(GENERAL, "🟠 fast has no worker")
            robin.wait_for_message(GENERAL, "Its machine ends itself")
            expires = house.requests.by_id(told.id).attempts[0].expires_at
            house.now = expires + timedelta(minutes=1, seconds=1)
            robin.wait_for_message(GENERAL, "🟠 fast has no worker, and its lease ran out")
            robin.wait_for_message(GENERAL, "The machine has probably ended")
            house.silent = frozenset()
            house.pass_time(30)
    finally:
        stop.set()
        thread.join(timeout=20)
        client.close()
