"""An installation moves to another Valkey: what runs there goes on being controlled."""

import io
import json
import shutil
import stat
import time
from datetime import UTC, datetime

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.cli import transfer_command as command
from tests.builders.logs import Logs, append
from tests.builders.story import Story
from tests.contract.test_control_loop import Loop, running
from tests.patience import PATIENCE
from tests.reference.redis_keys import KEYS
from workers.deployment import transfer
from workers.deployment.audit_stream import AuditStream
from workers.deployment.condition import DeploymentStatus, condition_of
from workers.deployment.identity import INSTALLATION
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log
from workers.deployment.transfer_file import BadExport, Part, read, written
from workers.processes import Children
from workers.sandbox.valkey import free_port, valkey


@pytest.fixture(scope="module")
def other_url(tmp_path_factory):
    folder, port, children = tmp_path_factory.mktemp("other"), free_port(), Children()
    children.start(valkey(port, folder, folder / "valkey.log"))
    with Redis(port=port) as client:
        for _ in range(100 * PATIENCE):
            try:
                client.ping()
                break
            except RedisConnectionError:
                time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    children.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def other(other_url):
    with Redis.from_url(other_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def moved(redis, valkey_url, other_url, tmp_path):
    """Export, and import elsewhere; `between` may change the file."""
    file = tmp_path / "installation.jsonl"

    def environ(url):
        return {"REDIS_URL": url, "HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home")}

    def move(*, with_keys=True, between=lambda text: text):
        out, err = io.StringIO(), io.StringIO()
        file.unlink(missing_ok=True)
        assert command.export(environ(valkey_url), file, out, err, with_keys=with_keys) == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        file.write_text(between(file.read_text()))
        status = command.import_from(environ(other_url), file, out, err)
        return status, out.getvalue() + err.getvalue(), file.read_text()

    return move


def test_machines_that_run_are_scaled_and_ended_from_the_new_redis(redis, other, moved, monkeypatch):
    before = Loop(redis, monkeypatch)
    redis.set(INSTALLATION, "i-1")
    id_ = before.launch(name="fast")
    before.settle()
    assert len(running(before)) == 1
    status, said, _ = moved()
    assert status == 0
    assert "1 deployment (fast)" in said

    after = Loop(other, monkeypatch)
    after.cloud, after.now = before.cloud, before.now
    after.drivers["fake"] = before.cloud
    before.cloud.clock = lambda: after.now  # the cloud's time goes on
    assert after.log.secrets(id_) == before.log.secrets(id_)
    assert condition_of(after.requests.get("fast")).status is DeploymentStatus.READY
    after.settle()
    assert len(running(after)) == 1  # nothing was bought again
    after.requests.scale(id_, 2, by="U1")
    after.settle()
    assert len(running(after)) == 2
    after.requests.stop(id_, by="U1")
    after.settle()
    assert running(after) == []
    assert after.log.names() == {}


def test_the_past_the_ledger_the_audit_and_the_settings_are_there_and_expire_as_before(redis, other, moved):
    append(redis, Story("old").planned().ended())
    Logs(redis).put("fast", "http://models.example:8000")
    redis.set(INSTALLATION, "i-1")
    redis.hset("mixtral:config", "C1", b'{"system":"\xff"}')
    redis.hset("mixtral:questions", "C1:1", "a prompt")
    redis.set("mixtral:once:t1", "d1", ex=1800)
    assert moved()[0] == 0
    for key in ("mixtral:names", "mixtral:config", "mixtral:keys", INSTALLATION):
        assert other.dump(key) == redis.dump(key) or other.type(key) == b"hash"
    assert other.hget("mixtral:config", "C1") == b'{"system":"\xff"}'
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert Log(other).past(since) == Log(redis).past(since)
    assert Ledger(other).book() == Ledger(redis).book()
    assert AuditStream(other).missing() == []
    assert not other.exists("mixtral:questions", "mixtral:feed")
    for key in ("mixtral:once:t1", f"mixtral:d:{Story('old').id}"):
        assert abs(other.pttl(key) - redis.pttl(key)) < 5000


@pytest.mark.parametrize(
    "between",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.rsplit("\n", 2)[0] + "\n",
        lambda text: text.replace("fast", "slow"),
        lambda text: text.replace('"has_keys":false', '"has_keys":true'),
        lambda text: text.replace('"installation":"i-1"', '"installation":"i-2"'),
        lambda text: "",
        lambda text: "no export\n" + text,
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_refused_whole(redis, other, moved, between):
    Logs(redis).start("fast")
    redis.set(INSTALLATION, "i-1")
    with pytest.raises(BadExport, match="othing was imported"):
        moved(with_keys=False, between=between)
    assert other.dbsize() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        Part(key="other:x", kind="string", values=[("1",)]),
        Part(key="mixtral:x", kind="string", values=[()]),
        Part(key="mixtral:x", kind="hash", values=[("field",)]),
        Part(key="mixtral:x", kind="zset", values=[("member", "much")]),
        Part(key="mixtral:x", kind="zset", values=[("member", "nan")]),
        Part(key="mixtral:feed", kind="stream", values=[("2-0", "a", "b"), ("1-0", "a", "b")]),
        Part(key="mixtral:feed", kind="stream", values=[("now", "a", "b")]),
        Part(key="mixtral:feed", kind="stream", values=[("1-0", "a")]),
        Part(key="mixtral:config", kind="string", values=[("1",)]),
        Part(key="mixtral:x", kind="string", values=[("1",)], expires_at=2**70),
        Part(key="mixtral:x", kind="string", values=[(chr(0xD800),)]),
    ],
)
def test_a_file_whose_checksum_is_right_and_whose_entries_are_not_changes_nothing(redis, other, moved, wrong):
    redis.set(INSTALLATION, "i-1")
    redis.hset("mixtral:config", "C1", "{}")

    def forged(text):
        header, parts = read(text)
        return written(header, [*parts, wrong])

    with pytest.raises(BadExport, match="nothing was imported"):
        moved(between=forged)
    assert other.dbsize() == 0


def test_a_file_of_a_newer_version_is_refused(redis, other, moved):
    newer = '{"mixtral_export":2,"version":"9.0","installation":"i-1","at":"2027-01-01T00:00:00Z","parts":0,'
    with pytest.raises(BadExport, match=r"9\.0.*Upgrade"):
        moved(between=lambda _: newer + '"has_keys":true}\n')


def test_a_redis_that_is_in_use_is_not_changed(redis, other, moved):
    Logs(redis).start("fast")
    Logs(other).start("theirs")
    before = {key: other.dump(key) for key in other.scan_iter()}
    with pytest.raises(transfer.CannotTransfer, match="in use"):
        moved()
    assert {key: other.dump(key) for key in other.scan_iter()} == before


def test_a_redis_that_a_worker_has_founded_for_another_installation_is_refused(redis, other, moved):
    redis.set(INSTALLATION, "i-1")
    other.set(INSTALLATION, "i-2")
    with pytest.raises(transfer.CannotTransfer, match="mixtral:installation"):
        moved()
    other.set(INSTALLATION, "i-1")
    assert moved()[0] == 0


def test_keys_are_in_the_file_only_if_they_are_asked_for_and_what_runs_needs_them(redis, other, moved):
    Logs(redis).start("fast")
    redis.set(INSTALLATION, "i-1")
    assert "mxk_" in str(transfer.exported(redis, with_keys=True))
    assert "mxk_" not in str(transfer.exported(redis, with_keys=False))
    with pytest.raises(transfer.CannotTransfer, match="--with-keys"):
        moved(with_keys=False)
    assert other.dbsize() == 0


def test_without_deployments_that_run_an_export_needs_no_keys(redis, other, moved):
    append(redis, Story("old").planned().ended())
    redis.set(INSTALLATION, "i-1")
    status, _, text = moved(with_keys=False)
    assert status == 0
    assert "mxk_" not in text
    assert json.loads(text.splitlines()[0])["installation"] == "i-1"


def test_an_export_during_changes_is_repeated_and_then_refused(redis, monkeypatch):
    logs = Logs(redis)
    taken = transfer._snapshot
    changes = iter(["a", "b"])

    def meanwhile(*given):
        if (name := next(changes, None)) is not None:
            logs.start(name)
        return taken(*given)

    monkeypatch.setattr(transfer, "_snapshot", meanwhile)
    _, parts = transfer.exported(redis, with_keys=True)
    assert {row[0] for part in parts if part.key == "mixtral:names" for row in part.values} == {"a", "b"}
    changes = iter("cdefghij")
    with pytest.raises(transfer.CannotTransfer, match="changed during each attempt"):
        transfer.exported(redis, with_keys=True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://someone:else@127.0.0.1:{own}/0", "so nothing was imported. Correct the password in REDIS_URL, and"),
        ("redis://127.0.0.1:{free}/0", "so it is not certain whether the file was imported. Start it, or correct"),
    ],
)
@pytest.mark.usefixtures("redis")
def test_an_import_that_redis_did_not_do_is_told_with_a_mend_that_empties_nothing(valkey_url, tmp_path, url, says):
    file, err, home = tmp_path / "export", io.StringIO(), {"HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "m")}
    assert command.export({"REDIS_URL": valkey_url, **home}, file, io.StringIO(), err, with_keys=False) == 0
    there = url.format(own=valkey_url.rpartition(":")[2].partition("/")[0], free=free_port())
    assert command.import_from({"REDIS_URL": there, **home}, file, io.StringIO(), err) == 1
    assert says in err.getvalue()
    assert "empty this Redis" not in err.getvalue()


def test_a_file_that_exists_is_not_replaced(redis, valkey_url, tmp_path):
    file, err = tmp_path / "there", io.StringIO()
    file.write_text("mine")
    environ = {"REDIS_URL": valkey_url, "HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home")}
    assert command.export(environ, file, io.StringIO(), err, with_keys=False) == 1
    assert "Name another file" in err.getvalue()
    assert file.read_text() == "mine"


def test_each_key_that_is_left_out_is_described():
    for beginning in transfer.LEFT_OUT:
        assert any(key.startswith(beginning) for key in KEYS), beginning
