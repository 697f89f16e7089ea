"""The audit on a real Valkey: appended with the events, once for each request, without a gap."""

import io
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from bot.cli import audit_command, operate_command
from bot.commands.context import Caller
from bot.commands.errors import CommandError, Denied
from bot.commands.settle import settle
from bot.slack.message import Message
from tests.builders.events import requested
from tests.builders.logs import Logs, append
from tests.builders.offers import offer
from tests.builders.recipes import SCRIPTED, scaled_by
from tests.builders.story import Story
from tests.contract.test_control_loop import Loop
from workers.deployment import log as log_module
from workers.deployment.asked import asked
from workers.deployment.audit import AuditEntry, AuditOutcome, Source, audit_of, decode, gaps
from workers.deployment.audit_stream import AUDIT, AuditStream
from workers.deployment.events import Control, ScaleRequested, StopRequested
from workers.deployment.log import Log, new_id

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
OFFER = offer("r-1", "7.20")
SOURCE = Source(who="U1", where="C1", how="button scale", request="4.abc")


@pytest.fixture
def audit(redis):
    return AuditStream(redis)


@pytest.fixture
def log(redis):
    return Log(redis)


def entries(audit):
    return [decode(entry) for _, entry in audit.read()]


def scaled(by="U1"):
    return ScaleRequested(**log_module.stamp(NOW), replicas=2, by=by)


def look(n=0, at=NOW):
    return AuditEntry(at=at, who="U1", what=f"status {n}")


def test_an_event_and_its_entry_are_appended_together_or_not_at_all(log, audit):
    id_ = log.open(new_id(), requested("m"), "mxk_secret", "t1")
    assert log.append(id_, 1, [scaled()])
    assert not log.append(id_, 1, [scaled()])
    assert [(entry.what, entry.deployment) for entry in entries(audit)] == [("launch", id_), ("scale", id_)]
    log.open(new_id(), requested("m"), "mxk_secret", "t1")
    assert len(entries(audit)) == 2


def test_with_a_damaged_audit_nothing_is_appended_and_so_nothing_is_bought(redis, log):
    id_ = log.open(new_id(), requested("m"), "mxk_secret", "t1")
    redis.delete(AUDIT)
    redis.set(AUDIT, "no stream")
    with pytest.raises(ResponseError):
        log.append(id_, 1, [scaled()])
    assert log.version(id_) == 1


def test_a_request_whose_event_is_in_the_audit_is_not_there_twice(log, audit):
    id_ = log.open(new_id(), requested("m"), "mxk_secret", "t1")
    with asked(SOURCE, "trigger-1"):
        assert log.append(id_, 1, [scaled()])
    assert not audit.append(look(), once="trigger-1")
    assert audit.append(look(), once="trigger-2")
    assert not audit.append(look(), once="trigger-2")
    _, scale, status = entries(audit)
    assert (scale.what, scale.how, scale.where, scale.request) == ("scale", "button scale", "C1", "4.abc")
    assert status.what == "status 0"


def test_what_one_person_does_on_behalf_of_another_names_both():
    entry = audit_of(new_id(), scaled(by="U2"), SOURCE)
    assert entry is not None
    assert (entry.who, entry.detail) == ("U1", "replicas 2, on behalf of U2")
    stopped = audit_of(new_id(), StopRequested(**log_module.stamp(NOW), by=""))
    assert stopped is not None
    assert (stopped.who, stopped.why) == ("mixtral-bot", "the time of its end has come")


def test_concurrent_writers_leave_no_gap(redis, audit):
    logs = [Log(redis) for _ in range(4)]

    def write(n):
        id_ = logs[n].open(new_id(), requested(f"m{n}"), "mxk_secret", f"t{n}")
        for round_ in range(20):
            assert logs[n].append(id_, 1 + round_, [scaled()])
            assert audit.append(look(), once=f"{n}.{round_}")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [number for number, _ in audit.read()] == list(range(1, 4 * 41 + 1))
    assert audit.missing() == []


@pytest.mark.parametrize("lost", [1, 5, 10])
def test_an_entry_that_was_deleted_is_found_missing(redis, audit, lost):
    for n in range(10):
        audit.append(look(n), once=str(n))
    redis.xdel(AUDIT, f"{lost}-0")
    audit.append(look(), once="next")
    assert audit.missing() == [(lost, lost)]
    assert [number for number, _ in audit.read()][-1] == 11


def test_a_lost_stream_is_found_missing(redis, audit):
    for n in range(3):
        audit.append(look(n), once=str(n))
    redis.delete(AUDIT)
    assert audit.missing() == [(1, 3)]


def test_old_entries_are_removed_from_the_old_end_only(audit):
    for n in range(10):
        audit.append(look(n, NOW + timedelta(days=n)), once=str(n))
    assert audit.trim(NOW + timedelta(days=4)) == 4
    assert [number for number, _ in audit.read()] == [5, 6, 7, 8, 9, 10]
    assert audit.missing() == []
    assert audit.trim(NOW + timedelta(days=400)) == 5  # the newest stays
    audit.append(look(), once="next")
    assert [number for number, _ in audit.read()] == [10, 11]
    assert audit.missing() == []


def test_the_sweeper_removes_what_is_older_than_the_setting_once_an_hour(redis, audit, monkeypatch):
    loop = Loop(redis, monkeypatch)
    for n, age in enumerate([500, 401, 399, 0]):
        audit.append(look(n, loop.now - timedelta(days=age)), once=str(n))
    loop.sweeper.trim()
    assert [entry.what for entry in entries(audit)] == ["status 2", "status 3"]
    loop.now += timedelta(days=2)
    loop.sweeper.trim()
    assert [entry.what for entry in entries(audit)] == ["status 3"]
    loop.now += timedelta(minutes=59)
    audit.append(look(9, loop.now), once="9")
    loop.sweeper.trim()
    assert len(entries(audit)) == 2
    assert audit.missing() == []


def test_gaps():
    assert list(gaps([3, 4, 7], first=2, last=9)) == [(2, 2), (5, 6), (8, 9)]
    assert list(gaps([], first=1, last=0)) == []
    assert list(gaps([1, 2, 3], first=1, last=2)) == []  # appended after the bounds were read


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, AuditOutcome.DONE),
        (Denied("no"), AuditOutcome.DENIED),
        (CommandError("no"), AuditOutcome.REFUSED),
        (RedisConnectionError("away"), AuditOutcome.UNKNOWN),
        (ValueError("a defect"), AuditOutcome.UNKNOWN),
    ],
)
def test_each_outcome_of_a_request(audit, error, outcome):
    def work():
        if error:
            raise error
        return Message(text="mxk_shown to one person")

    caller = Caller(team="T1", channel="C1", user="U1", once="1.2.abc")
    settle("status", caller, work, audit)
    settle("status", caller, work, audit)  # as Slack delivers it again
    (entry,) = entries(audit)
    assert (entry.who, entry.what, entry.where, entry.outcome) == ("U1", "status", "C1", outcome)
    assert "mxk_" not in str(entry)


def test_each_deed_of_a_whole_life_is_there_once_without_a_key_a_value_or_a_text(redis, audit):
    recipe = replace(SCRIPTED, envs={"HF_TOKEN": "hf_value"})
    story = Story("m", recipe).planned(OFFER).asked(OFFER).refused().asked(OFFER).created().ready().published()
    story.tested().scaled(2).key_issued("k-1", "U2").key_revoked("k-1").kept_until(NOW).announced(NOW).moved(
        1
    ).exhausted()
    story.control_lost(Control.END, "denied").given_up().gone(log="the engine said condiment").stopped().ended()
    append(redis, story, "mxk_the_launchers_key")
    assert [(entry.what, entry.outcome.value) for entry in entries(audit)] == [
        ("launch", "done"),
        ("buy", "done"),
        ("bought", "refused"),
        ("buy", "done"),
        ("bought", "done"),
        ("scale", "done"),
        ("issue a key", "done"),
        ("revoke a key", "done"),
        ("set the end", "done"),
        ("announce the end", "done"),
        ("autoscale", "done"),
        ("buy", "refused"),
        ("control", "refused"),
        ("give a replica up", "done"),
        ("machine gone", "done"),
        ("end", "done"),
        ("ended", "done"),
    ]
    raw = b"".join(entry for _, entry in audit.read())
    assert not any(secret in raw for secret in (b"mxk_", b"hf_value", b"condiment", b"mustard"))


@pytest.fixture
def ran(redis, valkey_url, tmp_path):
    def run(**options):
        out, err = io.StringIO(), io.StringIO()
        environ = {"REDIS_URL": valkey_url, "HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home")}
        asked_for = {"since": None, "until": None, "as_json": False} | options
        return audit_command.run(environ, out, err, **asked_for), out.getvalue(), err.getvalue()

    return run


def test_the_audit_is_shown_to_people_and_exported_for_programs(redis, audit, ran):
    append(redis, Story("fast", at=NOW - timedelta(days=9)).planned())
    audit.append(look(), once="1")
    status, said, _ = ran()
    assert status == 0
    assert "launch" in said
    assert "status 0" in said
    status, said, _ = ran(as_json=True, since=NOW - timedelta(days=1), until=NOW + timedelta(days=1))
    assert [json.loads(line) for line in said.splitlines()] == [
        {"id": "2-0", "at": "2026-11-30T09:00:00Z", "who": "U1", "what": "status 0", "outcome": "done"}
    ]
    assert ran(until=NOW - timedelta(days=99))[1] == "The audit has no entry of this time.\n"


def test_a_gap_is_reported_and_the_exit_status_says_so(redis, audit, ran):
    for n in range(5):
        audit.append(look(n), once=str(n))
    redis.xdel(AUDIT, "2-0", "3-0")
    status, said, told = ran(as_json=True)
    assert status == 1
    assert len(said.splitlines()) == 3
    assert "these entries are missing: 2-3." in told


def test_an_entry_of_a_newer_version_is_exported_as_it_is(redis, ran):
    redis.xadd(AUDIT, {"e": '{"at":"later","who":7}'}, id="1-0")
    redis.xadd(AUDIT, {"e": "no JSON"}, id="2-0")
    status, said, _ = ran(as_json=True)
    assert status == 0
    assert [json.loads(line)["id"] for line in said.splitlines()] == ["1-0", "2-0"]
    assert "not readable by this version" in ran()[1]


def test_what_the_operator_does_is_in_the_audit_once(redis, valkey_url, audit, tmp_path):
    Logs(redis).put("fast", "http://models.example:8000", recipe=scaled_by(min_replicas=1, max_replicas=3))
    environ = {"REDIS_URL": valkey_url, "HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home")}
    before = len(entries(audit))

    def operate(what, work):
        return operate_command.run(environ, work, io.StringIO(), io.StringIO(), what)

    operate("status", operate_command.status(as_json=True))
    operate("scale", operate_command.scale("fast", 2))
    operate("scale", operate_command.scale("fast", 99))
    operate("down", operate_command.down("fast", lambda _: True))
    found = [(e.who, e.what, e.how, e.outcome.value) for e in entries(audit)[before:]]
    assert found == [
        ("the operator", "status", "", "done"),
        ("the operator", "scale", "scale", "done"),
        ("the operator", "scale", "", "refused"),
        ("the operator", "end", "down", "done"),
    ]
