"""`mixtral-bot machines`: nothing of ours is overlooked, and nothing that is wanted is ended."""

import io
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from bot.cli import machines_command
from bot.cli.machines_command import run
from recipes.loader import find, load
from tests.builders.events import requested
from tests.builders.machines import INSTALLATION, SECRETS, request
from tests.builders.offers import offer
from tests.fakes.driver import FakeDriver
from workers.deployment.audit import decode
from workers.deployment.audit_stream import AuditStream
from workers.deployment.events import (
    LaunchIntended,
    MachineCreated,
    MachineGone,
    ScaleRequested,
    Version,
)
from workers.deployment.identity import INSTALLATION as INSTALLATION_KEY
from workers.deployment.log import Log, new_id, stamp
from workers.machines import Presence, Token
from workers.placement.offer import CloudStatus
from workers.sandbox.valkey import free_port

AGE = timedelta(hours=2)


class Ring:
    """An installation with one cloud and its logs. Machines are made at one time, and the command runs AGE later."""

    def __init__(self, redis, url, home):
        self.redis, self.log = redis, Log(redis)
        self.environ = {
            "HOME": str(home),
            "MIXTRAL_HOME": str(home / "home"),
            "MIXTRAL_INSTALLATION": INSTALLATION,
            "REDIS_URL": url,
        }
        self.cloud = FakeDriver("gcp", clock=lambda: self.now)
        self.runs_at = datetime.now(UTC)
        self.now = self.runs_at - AGE
        self.asked = []

    def deployment(self, name):
        """One with a machine that it wants; returns its id and the machine's request."""
        id_, at = new_id(), datetime.now(UTC)
        self.log.open(id_, requested(name, load(find("smollm2-135m"), {})), "mxk_key", name)
        asked = self.machine(f"{id_}-1", deployment=id_, attempt=1)
        made = self.cloud.find(asked.token)
        self.log.record(id_, Version(1), [LaunchIntended(**stamp(at), request=asked)])
        self.log.record(id_, Version(2), [MachineCreated(**stamp(at), attempt=1, machine=made)])
        return id_, asked

    def machine(self, token, **changes):
        offers = (offer("us-central1-a", "3.60"),)
        asked = request(token, offers, expires_at=datetime.now(UTC) + timedelta(days=1), **changes)
        self.cloud.create(asked, SECRETS)
        return asked

    def run(self, *, answer=True, **options):
        """Exit status, standard output, standard error."""
        self.now = self.runs_at
        out, err = io.StringIO(), io.StringIO()

        def confirm(question):
            self.asked.append((question, err.getvalue()))
            return answer

        environ = self.environ | {"MIXTRAL_GCE_ENDPOINT": "http://127.0.0.1:9", "GOOGLE_CLOUD_PROJECT": "p"}
        status = run(environ, out, err, confirm=confirm, drivers=lambda _: {"gcp": self.cloud}, **options)
        return status, out.getvalue(), err.getvalue()


@pytest.fixture
def ring(redis, valkey_url, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ring = Ring(redis, valkey_url, tmp_path)
    monkeypatch.setattr(machines_command, "datetime", SimpleNamespace(now=lambda _: ring.runs_at))
    return ring


def rows(ring, **options):
    status, out, err = ring.run(as_json=True, **options)
    return status, {row["id"]: row for row in json.loads(out)}, err


def test_each_machine_is_listed_with_cost_age_and_who_wants_it(ring):
    _, asked = ring.deployment("mixtral")
    status, out, err = ring.run()
    assert (status, err) == (0, "")
    told = next(line for line in out.splitlines() if asked.token in line)
    assert told.split() == [
        f"gcp-{asked.token}",
        "GCP",
        "us-central1-a",
        "3.60",
        "7.20",
        "2h00m",
        "mixtral",
    ]
    assert "1 machine, 3.60 USD/h, 7.20 USD so far." in out
    _, found, _ = rows(ring)
    row = found[f"gcp-{asked.token}"]
    assert (row["wanted"], row["usd_per_hour"], row["zone"]) == (True, 3.6, "us-central1-a")
    assert row["usd_so_far"] == pytest.approx(7.2, abs=0.01)


def test_a_machine_whose_log_is_gone_is_listed_and_ended_after_asking(ring):
    _, wanted = ring.deployment("mixtral")
    lost = ring.machine("dlost-1", deployment="dlost")
    _, out, _ = ring.run()
    assert "none: the log of its deployment does not exist" in out
    assert "1 of them is not wanted: `mixtral-bot machines --end-orphans` ends it." in out
    status, _, err = ring.run(end_orphans=True)
    (question, before) = ring.asked[0]
    assert question == "End this machine?"
    assert "gcp-dlost-1  GCP us-central1-a  3.60 USD/h" in before
    assert wanted.token not in before
    assert status == 0
    assert "gcp-dlost-1 was ended." in err
    assert ring.cloud.running() == [wanted.token]
    assert ("terminate", wanted.token) not in ring.cloud.calls
    assert lost.token not in ring.cloud.running()
    *_, entry = (decode(raw) for _, raw in AuditStream(ring.redis).read())
    assert (entry.who, entry.what, entry.detail) == ("the operator", "end an orphan", "gcp-dlost-1")


def test_without_a_yes_nothing_is_ended(ring):
    lost = ring.machine("dlost-1", deployment="dlost")
    _, _, err = ring.run(end_orphans=True, answer=False)
    assert "No machine was ended." in err
    assert ring.cloud.running() == [lost.token]


def test_what_a_log_has_ended_or_never_asked_for_is_an_orphan(ring):
    id_, asked = ring.deployment("mixtral")
    ring.log.record(id_, 3, [MachineGone(**stamp(datetime.now(UTC)), attempt=1, why="not wanted")])
    ring.machine(f"{id_}-9", deployment=id_, attempt=9)
    _, found, _ = rows(ring)
    assert found[f"gcp-{asked.token}"]["wanted_by"] == "none: mixtral has ended it"
    assert found[f"gcp-{id_}-9"]["wanted_by"] == "none: the log of mixtral does not contain it"


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:{port}/0"])
def test_without_redis_machines_are_listed_and_none_is_ended(ring, url):
    lost = ring.machine("dlost-1", deployment="dlost")
    ring.environ["REDIS_URL"] = url.format(port=free_port())
    status, out, err = ring.run(end_orphans=True)
    assert status == 1
    assert "unknown: " in out
    assert "No machine was ended, because each of them may be wanted." in err
    assert ring.asked == []
    assert ring.cloud.running() == [lost.token]
    status, found, _ = rows(ring)
    assert (status, found["gcp-dlost-1"]["wanted"]) == (0, None)
    assert found["gcp-dlost-1"]["wanted_by"].startswith("unknown: Redis does not answer") or not url


def test_an_emptied_redis_is_warned_of_before_the_question(ring):
    ring.deployment("mixtral")
    ring.redis.flushall()
    ring.run(end_orphans=True, answer=False)
    assert "Redis contains no deployments. If it was emptied" in ring.asked[0][1]


def test_a_machine_that_became_wanted_while_the_question_stood_is_left_alone(ring):
    id_, asked = ring.deployment("mixtral")
    log = ring.redis.dump(f"mixtral:d:{id_}")
    ring.redis.delete(f"mixtral:d:{id_}")
    ring.cloud.calls.clear()
    out, err = io.StringIO(), io.StringIO()

    def confirm(_):
        ring.redis.restore(f"mixtral:d:{id_}", 0, log)
        return True

    ring.environ |= {"MIXTRAL_GCE_ENDPOINT": "http://127.0.0.1:9", "GOOGLE_CLOUD_PROJECT": "p"}
    status = run(ring.environ, out, err, end_orphans=True, confirm=confirm, drivers=lambda _: {"gcp": ring.cloud})
    assert status == 1
    assert "was not ended, because it is now wanted by mixtral" in err.getvalue()
    assert [name for name, _ in ring.cloud.calls] == ["owned"]
    assert asked.token in ring.cloud.running()


def test_a_second_machine_of_one_intent_is_not_wanted_and_alone_is_ended(ring):
    _, asked = ring.deployment("mixtral")
    ring.cloud.twin(asked.token)
    status, found, _ = rows(ring, end_orphans=True)
    assert status == 0
    assert found[f"gcp-{asked.token}"]["wanted"] is True
    assert found[f"gcp-{asked.token}-twin"]["wanted_by"] == f"none: mixtral has gcp-{asked.token} in its place"
    assert [twin.presence for twin in ring.cloud.twins] == [Presence.ENDED]
    assert ring.cloud.running() == [asked.token]


def test_a_log_of_another_version_is_unknown_and_its_machine_never_ended(ring):
    ring.machine("dnew-1", deployment="dnew")
    ring.redis.xadd("mixtral:d:dnew", {"e": '{"type": "Teleported"}'}, id="1-0")
    status, found, err = rows(ring, end_orphans=True)
    assert found["gcp-dnew-1"]["wanted"] is None
    assert "written by another version" in found["gcp-dnew-1"]["wanted_by"]
    assert "No machine to end" in err
    assert status == 0


def test_a_cloud_that_does_not_answer_is_said_and_the_status_is_1(ring):
    ring.cloud.unreachable = True
    status, out, err = ring.run()
    assert status == 1
    assert "GCP could not be listed, so its machines are missing here: gcp does not answer." in err
    assert "was found, but GCP was not listed: machines there are not shown." in out


def test_a_machine_that_cannot_be_ended_is_said(ring):
    ring.machine("dlost-1", deployment="dlost")
    ring.cloud.lose_answers = True
    status, found, err = rows(ring, end_orphans=True)
    assert status == 1
    assert found["gcp-dlost-1"]["ended"] is False
    assert "gcp-dlost-1 could not be ended, and still costs money" in err


def test_machines_of_other_installations_and_ended_ones_are_not_listed(ring):
    ring.machine("other-1", installation="i-other")
    gone = ring.machine("gone-1")
    ring.cloud.end(Token(gone.token))
    _, out, _ = ring.run()
    assert f"No machine of installation {INSTALLATION} was found." in out


def test_a_machine_without_a_price_is_listed_all_the_same(ring):
    asked = request("x-1", (offer(usd=None),), expires_at=datetime.now(UTC) + timedelta(days=1))
    ring.cloud.create(asked, SECRETS)
    _, out, _ = ring.run()
    assert "unknown" in out
    assert "and 1 without a known price" in out


def test_a_scale_down_under_way_is_told_as_such(ring):
    id_, _ = ring.deployment("mixtral")
    ring.log.record(id_, 3, [ScaleRequested(**stamp(datetime.now(UTC)), replicas=0, by="U")])
    _, found, _ = rows(ring, end_orphans=True)
    assert [row["wanted"] for row in found.values()] == [True]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(ring, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    ring.deployment("mixtral")
    ring.machine("dlost-1", deployment="dlost")
    _, out, _ = ring.run()
    assert max(len(line) for line in out.splitlines() if "USD so far" in line and "machine" in line) > 0
    assert all(len(line) <= columns for line in out.splitlines()[:-1])


def test_machines_are_not_called_orphans_by_the_redis_of_another_installation(ring):
    ring.deployment("fast")
    ring.redis.set(INSTALLATION_KEY, "i-other")
    status, _, err = ring.run(end_orphans=True)
    assert "belongs to the installation i-other, and this host to i-test" in err
    assert "No machine was ended, because each of them may be wanted." in err
    assert ring.asked == []
    assert len(ring.cloud.running()) == 1
    assert status == 1
    status, out, err = ring.run()
    assert "belongs to the installation i-other" in err
    assert "unknown: Redis belongs to another installation" in out
    assert status == 1


def test_a_host_without_an_id_lists_the_machines_of_the_one_in_redis(ring):
    ring.deployment("fast")
    del ring.environ["MIXTRAL_INSTALLATION"]
    status, out, err = ring.run()
    assert (status, out) == (1, "")
    assert "Neither this host nor Redis has an installation id" in err
    assert "Start `mixtral-bot worker`, or set MIXTRAL_INSTALLATION." in err
    ring.redis.set(INSTALLATION_KEY, INSTALLATION)
    assert "fast" in ring.run()[1]


@pytest.mark.parametrize(
    ("url", "cause"), [("", "REDIS_URL is not set"), ("redis://127.0.0.1:{port}/0", "Redis does not answer")]
)
def test_a_host_without_an_id_is_told_why_redis_did_not_give_one(ring, url, cause):
    del ring.environ["MIXTRAL_INSTALLATION"]
    ring.environ["REDIS_URL"] = url.format(port=free_port())
    status, out, err = ring.run()
    assert (status, out) == (1, "")
    assert cause in err
    assert "Start Redis, or set REDIS_URL or MIXTRAL_INSTALLATION." in err


class NotSetUp(FakeDriver):
    def status(self):
        return CloudStatus(cloud="aws", usable=False, reason="AWS: no credentials found")


def test_a_cloud_that_is_not_set_up_is_said_with_the_remedy(ring):
    out, err = io.StringIO(), io.StringIO()
    aws = NotSetUp("aws", clock=lambda: ring.now)
    assert run(ring.environ, out, err, drivers=lambda _: {"aws": aws}) == 0
    assert "AWS was not listed: no credentials found. To list it, set AWS_ACCESS_KEY_ID and" in err.getvalue()
    assert "or run `aws configure`." in err.getvalue()
    assert "but AWS was not listed" in out.getvalue()
