import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes.haproxy import route
from tests.fakes.haproxy_certificates import self_signed
from workers.gateway.certificate import combined
from workers.gateway.config import CERTIFICATE, CONFIG, Check, Shape, render, rendered_maps
from workers.gateway.errors import GatewayError
from workers.gateway.haproxy import Haproxy, binary
from workers.gateway.routes import Layout
from workers.gateway.table import ReplicaServer

SERVERS = (
    ReplicaServer(name="r1", address="10.0.0.1:8000"),
    ReplicaServer(name="r2", address="10.0.0.2:8000", state="drain"),
)
ROUTE = route(
    "d1", SERVERS, keys=["mxk_a", "mxk_b"], replica_key="mxk_own", ids={"mxk_a": "k-1"}, limits={"at_once": 128}
)
LAYOUT = Layout(size=3, places=(("b1", ROUTE),))


def shape(**changes):
    return Shape(**{"bind": "127.0.0.1:18433", "hold_socket": "/run/hold.sock", **changes})


@pytest.mark.parametrize(
    "changes", [{}, {"tls": True}, {"metrics_bind": "127.0.0.1:18434"}, {"bind": "[::1]:18433"}, {"bufsize": 16384}]
)
def test_haproxy_takes_the_configuration_without_a_warning(tmp_path, changes):
    for name, text in rendered_maps(LAYOUT).items():
        (tmp_path / name).write_text(text)
    (tmp_path / CERTIFICATE).write_text(combined(*self_signed(tmp_path, "localhost")))
    (tmp_path / CONFIG).write_text(render(shape(**changes), LAYOUT))
    ran = subprocess.run([binary(), "-c", "-f", tmp_path / CONFIG], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "WARNING" not in ran.stderr + ran.stdout


def test_a_folder_whose_path_is_too_long_for_haproxys_socket_is_refused_with_the_mend(tmp_path):
    folder = Path("/tmp") / ("x" * (98 - len("/tmp//master.sock")))
    with pytest.raises(GatewayError, match="Set MIXTRAL_GATEWAY_FOLDER to a shorter path"):
        Haproxy(shape(), folder)


def test_the_configuration_holds_the_replicas_that_take_requests():
    text = render(shape(), LAYOUT)
    assert "server r1 10.0.0.1:8000" in text.partition("backend b1")[2].partition("backend b2")[0]
    assert "10.0.0.2" not in text
    assert text.count("server hold unix@/run/hold.sock backup") == 3


@pytest.mark.parametrize(("patience", "fall"), [(0, 2), (10, 2), (15, 3), (20, 4), (60, 11), (600, 110)])
def test_a_server_is_down_when_its_checks_got_no_answer_for_its_patience_and_not_much_later(patience, fall):
    check, patience = Check(), timedelta(seconds=patience)
    assert check.fall(patience) == fall
    silent = fall * check.timeout + (fall - 1) * check.again
    assert patience <= silent
    assert fall == 2 or silent < patience + check.timeout + check.again


def test_the_configuration_has_the_patience_of_each_server():
    patient = ReplicaServer(name="r3", address="10.0.0.3:8000", patience=timedelta(seconds=60))
    text = render(shape(), Layout(size=1, places=(("b0", route("d1", (SERVERS[0], patient))),)))
    assert "server r1 10.0.0.1:8000 fall 3\n" in text
    assert "server r3 10.0.0.3:8000 fall 11\n" in text


def test_no_key_is_in_the_configuration():
    assert not re.search(r"mxk_", render(shape(), LAYOUT))


def test_the_maps_are_complete():
    assert rendered_maps(LAYOUT) == {
        "keys.map": "mxk_a d1\nmxk_b d1\n",
        "routes.map": "d1 b1\n",
        "replica.map": "d1 mxk_own\n",
        "ids.map": "mxk_a d1/k-1\n",
        "limits.map": "d1/at_once 128\n",
    }


def test_every_answer_of_our_own_is_json_that_clients_can_read():
    bodies = re.findall(r"string '(\{.*?\})'", render(shape(), LAYOUT))
    assert len(bodies) == 12
    assert all(json.loads(body)["error"]["message"].endswith(".") for body in bodies)
