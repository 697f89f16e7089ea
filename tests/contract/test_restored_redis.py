"""A real Valkey whose files are put back to an earlier state while machines run that it then does not know."""

import io
import shutil
import time
from datetime import timedelta

import pytest
from redis import Redis
from redis.exceptions import RedisError
from slack_sdk import WebClient

from bot.cards.orphan_reports import OrphanReports, reported
from bot.cli import operate_command
from bot.sandbox import server
from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.stand_in import Settings
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from tests.builders.offers import offer
from tests.fakes.driver import FakeDriver
from tests.patience import PATIENCE
from tests.person import ADA, words
from tests.worker_hosts import LEASE, Company
from workers.api import Deployments
from workers.decision.next_step import PLAN_AGES
from workers.deployment.attempt import Phase
from workers.deployment.orphans import SEEN_WITHIN
from workers.processes import Children
from workers.sandbox.valkey import free_port, valkey

PRICED = "fake here-1"


class Files:
    """A Valkey whose files can be backed up and put back."""

    def __init__(self, folder):
        self._folder, self._backup, self._log = folder / "valkey", folder / "backup", folder / "valkey.log"
        self._port, self._children = free_port(), Children()
        self.redis = Redis(port=self._port)
        self.start()

    def start(self):
        self._children.start(valkey(self._port, self._folder, self._log))
        for _ in range(200 * PATIENCE):
            try:
                self.redis.ping()
            except RedisError:
                time.sleep(0.02)
            else:
                return

    def stop(self):
        self._children.stop()
        self.redis.connection_pool.disconnect()

    def back_up(self):
        self.stop()
        shutil.copytree(self._folder, self._backup)
        self.start()

    def restore(self):
        self.stop()
        shutil.rmtree(self._folder)
        shutil.copytree(self._backup, self._folder)
        self.start()


@pytest.fixture
def files(tmp_path):
    there = Files(tmp_path)
    yield there
    there.stop()


@pytest.fixture
def company(files, monkeypatch):
    made = Company(files.redis, monkeypatch)
    made.cloud = FakeDriver("fake", clock=lambda: made.now, offers=(offer(PRICED, "21.96", gpu=""),))
    made.requests = Deployments(files.redis, made.nudged.append, {}, clock=lambda: made.now)
    return made


def day_after(company, files):
    """m has a machine when the backup is made; afterwards it gets a second one, and n is launched."""
    worker = company.host("h-a", rung=PRICED, price="21.96")
    id_ = company.launch()
    company.settle(worker)
    files.back_up()
    company.now += PLAN_AGES + timedelta(seconds=10)
    company.requests.scale(id_, 2, by="U0ROBIN0001")
    company.launch(name="n")
    company.settle(worker)
    assert len(company.cloud.running()) == 3
    files.restore()
    company.hosts.clear()
    return id_, company.host("h-a", rung=PRICED, price="21.96")


def test_machines_that_a_restored_redis_does_not_know_are_never_ended_and_recorded_with_their_price(company, files):
    id_, worker = day_after(company, files)
    company.settle(worker, rounds=40)
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert len(company.cloud.running()) == 3
    assert [str(orphan.usd_per_hour) for orphan in company.requests.orphans()] == ["21.96", "21.96"]
    company.requests.stop(id_, by="U0ROBIN0001")
    company.settle(worker, rounds=40)
    assert company.requests.by_id(id_).ended
    assert len(company.cloud.running()) == 2
    company.now += LEASE
    assert company.cloud.running() == []
    company.now += SEEN_WITHIN
    assert company.requests.orphans() == []


def test_no_token_is_used_twice_after_a_restore(company, files):
    id_, worker = day_after(company, files)
    before = list(company.cloud.bought)
    company.now += PLAN_AGES + timedelta(seconds=10)
    company.requests.scale(id_, 2, by="U0ROBIN0001")
    company.launch(name="n")
    company.settle(worker, rounds=10)
    again = company.cloud.bought[len(before) :]
    assert len(again) == 2
    assert len(set(company.cloud.bought)) == len(company.cloud.bought) == 5
    assert company.attempts(id_) == [(1, Phase.READY), (2, Phase.READY)]


@pytest.fixture
def slack():
    with server.start(Settings(rate_scale=0)) as running:
        yield running


class Admin:
    def __init__(self, company, slack):
        self.company = company
        self.web = WebClient(BOT_TOKEN, base_url=slack.api_url)
        self.calls = SlackCalls(web_client(BOT_TOKEN, slack.api_url), Budgets(company.redis))

    def look(self):
        """A new process of the bot looks once."""
        OrphanReports(self.company.requests, self.calls, self.company.redis, admins={ADA}).look()

    def heard(self):
        channel = self.web.conversations_open(users=ADA)["channel"]["id"]
        found = self.web.conversations_history(channel=channel, include_all_metadata=True)["messages"]
        return [words(m) for m in reversed(found) if (m.get("metadata") or {}).get("event_type") == "mixtral_orphans"]


def test_the_admins_hear_of_them_once_with_their_price_and_what_to_do(company, files, slack, tmp_path):
    _, worker = day_after(company, files)
    admin = Admin(company, slack)
    admin.look()
    assert admin.heard() == []
    company.settle(worker, rounds=40)
    for _ in range(3):
        admin.look()
    (told,) = admin.heard()
    assert "2 machines run without a deployment, for 43.92 USD/h (1,054.08 USD per day)" in told
    assert "The bot does not end them, because they may be wanted" in told
    assert "each ends itself when its lease has passed" in told
    assert "`mixtral-bot machines --end-orphans` ends them" in told
    environ = {
        "REDIS_URL": f"redis://127.0.0.1:{company.redis.connection_pool.connection_kwargs['port']}/0",
        "MIXTRAL_HOME": str(tmp_path / "home"),
    }
    shown = io.StringIO()
    company.redis.hset("mixtral:orphans", mapping=fresh(company))
    operate_command.run(environ, operate_command.status(as_json=False), shown, io.StringIO(), "status")
    assert "2 machines run without a deployment, for 43.92 USD/h" in shown.getvalue()


def fresh(company):
    """The orphans as seen now, by the clock of this computer."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
    seen_at = company.requests.orphans()[0].seen_at.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    return {key: value.replace(seen_at, now) for key, value in company.redis.hgetall("mixtral:orphans").items()}


def test_a_bot_that_dies_while_it_reports_leaves_one_message(company, files, slack):
    _, worker = day_after(company, files)
    admin = Admin(company, slack)
    company.settle(worker, rounds=40)
    admin.look()
    for field, value in company.redis.hgetall(reported(ADA)).items():
        assert not value.startswith(b"begun")
        company.redis.hset(reported(ADA), field, report_of(admin))
    admin.look()
    assert len(admin.heard()) == 1
    assert not any(value.startswith(b"begun") for value in company.redis.hvals(reported(ADA)))


def report_of(admin):
    channel = admin.web.conversations_open(users=ADA)["channel"]["id"]
    found = admin.web.conversations_history(channel=channel, include_all_metadata=True)["messages"]
    return next(m["metadata"]["event_payload"]["report"] for m in found if m.get("metadata"))
