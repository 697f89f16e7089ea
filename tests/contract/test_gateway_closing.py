"""What is to be closed is closed at once by a real HAProxy: whatever the disk says, and what is open, too."""

import contextlib
import os
import resource
import signal
import threading

import pytest

from tests.fakes.haproxy import Replica, route, server, wait_for
from tests.patience import PATIENCE
from workers.gateway.errors import GatewayError


@pytest.fixture
def replica():
    started = Replica("r1")
    yield started
    started.end()


@contextlib.contextmanager
def full_disk():
    """The kernel refuses every write to a file of this process, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def wanted(*keys, servers):
    return route("d1", servers, keys=keys, ids={key: f"k-{key}" for key in keys})


def test_on_a_full_disk_a_revoked_key_is_closed_and_a_new_one_opened(gateway, replica):
    servers = [server(replica)]
    gateway.converge(wanted("old", "kept", servers=servers))
    before = {path.name: path.read_text() for path in gateway.folder.glob("*.map")}
    with full_disk():
        gateway.converge(wanted("kept", "new", servers=servers))
    assert gateway.ask("old")[0] == 401
    assert gateway.who("kept") == gateway.who("new") == "r1"
    assert str(gateway.folder) in gateway.haproxy.fault
    assert "Free some space" in gateway.haproxy.fault
    assert {path.name: path.read_text() for path in gateway.folder.glob("*.map")} == before  # all, or none
    assert not list(gateway.folder.glob(".*-*"))
    gateway.converge(wanted("kept", "new", servers=servers))
    assert gateway.haproxy.fault == ""
    assert "old" not in (gateway.folder / "keys.map").read_text()


def test_on_a_full_disk_an_ended_deployment_is_closed(gateway, replica):
    gateway.converge(wanted("k", servers=[server(replica)]))
    with full_disk():
        assert gateway.converge().servers == ()
    assert gateway.ask("k")[0] == 401


def test_on_a_full_disk_a_reload_waits_and_what_is_revoked_is_closed(gateway, replica):
    servers = [server(replica)]
    gateway.converge(wanted("old", "kept", servers=servers))
    more = [route(f"more{n}", keys=[f"m{n}"]) for n in range(6)]
    with full_disk(), pytest.raises(GatewayError, match="Free some space"):
        gateway.converge(wanted("kept", servers=servers), *more)
    assert gateway.ask("old")[0] == 401
    assert gateway.who("kept") == "r1"
    assert gateway.converge(wanted("kept", servers=servers), *more).size == 8


def test_a_stream_of_a_revoked_key_ends_and_those_of_other_keys_go_on(gateway, replica):
    servers = [server(replica)]
    gateway.converge(wanted("old", "kept", servers=servers))
    with gateway.stream("old") as cut, gateway.stream("kept") as whole:
        assert gateway.who("old") == "r1"
        gateway.converge(wanted("kept", servers=servers))
        wait_for(lambda: isinstance(cut[-1], str), "the stream of the revoked key ends", seconds=1)
    assert cut[-1] != "whole"
    assert whole[-1] == "whole"


def test_a_request_of_a_revoked_key_that_waits_for_its_answer_ends(gateway, replica):
    servers = [server(replica, patience=60)]  # its checks do not end the request
    gateway.converge(wanted("old", "kept", servers=servers))
    replica.signal(signal.SIGSTOP)
    ended = threading.Event()

    def ask():
        with contextlib.suppress(Exception):
            gateway.ask("old")
        ended.set()

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: any(s.sessions for s in gateway.haproxy.actual().servers), "the request waits")
    gateway.converge(wanted("kept", servers=servers))
    assert ended.wait(1 * PATIENCE)
    thread.join()
    os.kill(replica.process.pid, signal.SIGCONT)


def test_a_stream_of_a_revoked_key_ends_in_a_process_that_a_reload_has_replaced(gateway, replica):
    servers = [server(replica)]
    more = [route(f"more{n}", keys=[f"m{n}"]) for n in range(6)]
    gateway.converge(wanted("old", "kept", servers=servers))
    with gateway.stream("old") as cut, gateway.stream("kept") as whole:
        gateway.converge(wanted("old", "kept", servers=servers), *more)
        assert gateway.haproxy.actual().older
        gateway.converge(wanted("kept", servers=servers), *more)
        wait_for(lambda: isinstance(cut[-1], str), "the stream of the revoked key ends", seconds=1)
    assert cut[-1] != "whole"
    assert whole[-1] == "whole"
