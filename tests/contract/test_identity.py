"""Which installation a Redis belongs to, on a real Valkey: who takes whose id, and who refuses to start."""

import threading
from datetime import UTC, datetime
from typing import cast

import pytest
from redis import Redis

from tests.builders.events import requested
from tests.builders.machines import request
from tests.builders.offers import offer
from workers.deployment.events import LaunchIntended
from workers.deployment.identity import INSTALLATION, AnotherInstallation, agree, held
from workers.deployment.log import Log, new_id, stamp
from workers.run import belong, wire_advance
from workers.settings import from_environ, host_of


def home(folder, id_=None):
    folder.mkdir(exist_ok=True)
    if id_ is not None:
        (folder / "installation").write_text(f"{id_}\n")
    return folder


def environ(valkey_url, folder, **more):
    return {"REDIS_URL": valkey_url, "MIXTRAL_HOME": str(folder), **more}


def started(redis, valkey_url, folder, *, may_found=True, **more):
    """The id with which a process of this home starts."""
    settings = from_environ(environ(valkey_url, folder, **more))
    return belong(settings, redis, may_found=may_found).installation


def logged(redis, *installations):
    """A deployment with an attempt of each of these installations."""
    log, id_ = Log(redis), new_id()
    log.open(id_, requested(name=id_), "mxk_of_a_test", id_)
    asked = [request(f"{id_}-{n}", [offer("aws use1-az1")], installation=i) for n, i in enumerate(installations)]
    log.record(id_, log.version(id_), [LaunchIntended(**stamp(datetime.now(UTC)), request=one) for one in asked])


def test_the_first_worker_names_the_installation_and_keeps_the_name_in_its_home(redis, valkey_url, tmp_path):
    id_ = started(redis, valkey_url, home(tmp_path / "a"))
    assert held(redis) == id_ == (tmp_path / "a" / "installation").read_text().strip() != ""
    assert started(redis, valkey_url, tmp_path / "a") == id_


def test_a_home_without_an_id_takes_the_one_of_redis(redis, valkey_url, tmp_path):
    first = started(redis, valkey_url, home(tmp_path / "a"))
    assert started(redis, valkey_url, home(tmp_path / "b")) == first
    assert (tmp_path / "b" / "installation").read_text().strip() == first
    assert host_of(tmp_path / "a") != host_of(tmp_path / "b")


def test_an_emptied_redis_takes_the_id_of_the_home(redis, valkey_url, tmp_path):
    assert started(redis, valkey_url, home(tmp_path / "a", "i-a")) == "i-a"
    redis.flushall()
    assert started(redis, valkey_url, tmp_path / "a") == "i-a"
    assert held(redis) == "i-a"


def test_a_redis_with_logs_and_no_id_takes_the_one_of_their_requests(redis, valkey_url, tmp_path):
    logged(redis, "i-old", "i-old")
    assert started(redis, valkey_url, home(tmp_path / "new")) == "i-old"
    assert held(redis) == "i-old"


def test_a_home_with_another_id_than_the_logs_refuses_to_start(redis, valkey_url, tmp_path):
    logged(redis, "i-old")
    with pytest.raises(AnotherInstallation):
        started(redis, valkey_url, home(tmp_path / "a", "i-stranger"))
    assert held(redis) == "i-old"


def test_of_several_ids_in_the_logs_the_home_s_own_is_taken(redis, valkey_url, tmp_path):
    logged(redis, "i-a", "i-b", "i-b")
    assert started(redis, valkey_url, home(tmp_path / "a", "i-a")) == "i-a"


def test_a_different_id_is_refused_with_both_ids_and_the_way_out(redis, valkey_url, tmp_path):
    started(redis, valkey_url, home(tmp_path / "a", "i-a"))
    with pytest.raises(AnotherInstallation) as refused:
        started(redis, valkey_url, home(tmp_path / "b", "i-b"))
    said = str(refused.value)
    assert "belongs to the installation i-a, and this host to i-b" in said
    assert "set MIXTRAL_INSTALLATION=i-a, or delete the file" in said
    assert "set REDIS_URL to the Redis of i-b" in said
    assert held(redis) == "i-a"


def test_the_variable_counts_like_the_file(redis, valkey_url, tmp_path):
    assert started(redis, valkey_url, home(tmp_path / "a"), MIXTRAL_INSTALLATION="i-a") == "i-a"
    with pytest.raises(AnotherInstallation):
        started(redis, valkey_url, home(tmp_path / "b"), MIXTRAL_INSTALLATION="i-b")
    assert started(redis, valkey_url, home(tmp_path / "c", "i-c"), MIXTRAL_INSTALLATION="i-a") == "i-a"


def test_a_bot_or_gateway_without_an_id_does_not_name_an_emptied_redis(redis, valkey_url, tmp_path):
    assert started(redis, valkey_url, home(tmp_path / "bot"), may_found=False) == ""
    assert held(redis) == ""
    assert started(redis, valkey_url, home(tmp_path / "worker", "i-a")) == "i-a"
    assert started(redis, valkey_url, tmp_path / "bot", may_found=False) == "i-a"


def test_of_many_workers_that_start_together_all_get_one_id(redis, valkey_url, tmp_path):
    found = []
    homes = [home(tmp_path / f"h{n}") for n in range(8)]
    threads = [threading.Thread(target=lambda h=h: found.append(started(redis, valkey_url, h))) for h in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {held(redis)}


def test_the_id_is_set_once(redis):
    redis.set(INSTALLATION, "i-first")
    with pytest.raises(AnotherInstallation):
        agree(redis, "i-second", may_found=True)
    assert redis.ttl(INSTALLATION) == -1


class Overtaken:
    """A client in whose first read another worker is faster: it sets its id between the read and the answer."""

    def __init__(self, redis, id_):
        self._redis, self._id = redis, id_

    def get(self, key):
        found = self._redis.get(key)
        self._redis.set(key, self._id, nx=True)
        return found

    def __getattr__(self, name):
        return getattr(self._redis, name)


def test_of_two_workers_that_find_no_id_the_slower_one_takes_the_other_s(redis):
    assert agree(cast(Redis, Overtaken(redis, "i-faster")), "", may_found=True) == "i-faster"
    redis.flushall()
    with pytest.raises(AnotherInstallation):
        agree(cast(Redis, Overtaken(redis, "i-faster")), "i-slower")
    assert held(redis) == "i-faster"


def test_a_log_that_cannot_be_read_keeps_no_worker_from_starting(redis, valkey_url, tmp_path):
    logged(redis, "i-old")
    damaged = new_id()
    redis.hset("mixtral:names", "damaged", damaged)
    redis.xadd(f"mixtral:d:{damaged}", {"e": "?"}, id="1-0")
    assert started(redis, valkey_url, home(tmp_path / "a")) == "i-old"


def test_a_job_puts_the_id_back_and_does_nothing_on_the_redis_of_another_installation(
    redis, valkey_url, tmp_path, monkeypatch
):
    for name, value in (environ(valkey_url, home(tmp_path / "a", "i-a")) | {"MIXTRAL_CLOUDS": "local"}).items():
        monkeypatch.setenv(name, value)
    wire_advance(forwards=True)
    assert held(redis) == "i-a"  # it was emptied while the worker ran
    redis.set(INSTALLATION, "i-b")
    with pytest.raises(AnotherInstallation):
        wire_advance(forwards=True)
