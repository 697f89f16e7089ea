"""`make live-aws` and `make live-gcp`, played on the clouds' stand-ins: what a person's first launch would do."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.patience import PATIENCE
from workers.sandbox.valkey import free_port

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]

GUIDE = Path(__file__).parents[2] / "docs" / "first-launch.md"
STAND_INS = {"aws": "ec2", "gcp": "gce"}
NOT_PASSED_ON = ("SLACK_", "MIXTRAL_", "REDIS_", "AWS_", "GOOGLE_", "CLOUDSDK_")


@pytest.fixture(params=["aws", "gcp"])
def cloud(request):
    return request.param


@pytest.fixture
def environ(tmp_path, cloud):
    """The environment of a person with an account of the cloud, which is a stand-in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(NOT_PASSED_ON)}
    port = free_port()
    env = kept | {
        "MIXTRAL_LIVE_HOME": str(tmp_path / "home"),
        "MIXTRAL_ALLOW_CIDRS": "127.0.0.0/8",
        "MIXTRAL_EGRESS_URL": f"http://127.0.0.1:{free_port()}",
        "MIXTRAL_SANDBOX_ENGINE": "scripted",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "GOOGLE_CLOUD_PROJECT": "sandbox",
        "MIXTRAL_GCE_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    argv = [sys.executable, "-m", f"workers.sandbox.{STAND_INS[cloud]}.server", "--port", str(port)]
    server = subprocess.Popen([*argv, "--folder", str(tmp_path / "cloud")], env=env)
    try:
        until = time.monotonic() + 30 * PATIENCE
        while not _answers(port):
            assert time.monotonic() < until
            time.sleep(0.1)
        yield env
    finally:
        server.terminate()
        server.wait(20 * PATIENCE)


def _answers(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/sandbox/calls", timeout=2).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def live(environ, *arguments):
    """The process of a person's command, of which nothing is left afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.live.clouds", *arguments],
        env=environ,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_first_launch_answers_ends_its_machine_and_tells_what_it_cost(environ, cloud):
    with live(environ, cloud, "--yes") as process:
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "asked through the gateway" in said
    assert "the machines cost about 0.0" in said
    assert f"runs on {cloud}" in said.splitlines()[-1]
    assert "no machine of installation" in said.splitlines()[-1]


@pytest.mark.parametrize("cloud", ["aws"], indirect=True)
def test_the_policy_of_the_guide_allows_every_call_that_was_made(environ, cloud):
    with live(environ, cloud, "--yes") as process:
        process.communicate(timeout=240)
    calls = httpx.get(f"{environ['AWS_ENDPOINT_URL']}/sandbox/calls").json()["calls"]
    made = {f"{call['service']}:{call['action']}" for call in calls} - {"sts:GetCallerIdentity"}  # needs no permission
    assert "ec2:TerminateInstances" in made
    assert made <= allowed()


def allowed():
    """The actions in the policy of docs/first-launch.md."""
    policy = re.search(r"```json aws-policy\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    statements = json.loads(policy[1])["Statement"]
    return {
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }


def test_after_ctrl_c_no_machine_is_left(environ, cloud):
    said = []
    with live(environ, cloud, "--yes") as process:
        for line in process.stdout:
            said.append(line)
            if "MachineCreated" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, "".join(said)
    assert "no machine of installation" in said[-1]


def test_no_machine_is_left_where_the_private_redis_dies_before_the_end(environ, cloud):
    said = []
    with live(environ, cloud, "--yes") as process:
        for line in process.stdout:
            said.append(line)
            if "MachineCreated" in line:
                os.kill(child_of(process, "valkey"), signal.SIGKILL)
                process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, "".join(said)
    assert "no machine of installation" in said[-1], "".join(said)


def child_of(process, name):
    """The id of a child process by a part of its program's name."""
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with suppress(OSError):  # another child has ended meanwhile
            if name in Path(f"/proc/{pid}/exe").readlink().name:
                return int(pid)
    raise AssertionError(f"there is no {name}")


def test_what_a_killed_run_left_is_ended_later(environ, cloud):
    with live(environ, cloud, "--yes") as process:
        assert any("MachineCreated" in line for line in process.stdout)
        process.kill()
    with live(environ, cloud, "--end") as ending:
        said, _ = ending.communicate(timeout=60 * PATIENCE)
    assert ending.returncode == 0, said
    assert "ending " in said
    assert "no machine of installation" in said.splitlines()[-1]


def test_nothing_is_launched_where_a_check_fails(environ, cloud):
    with live(environ | {"MIXTRAL_ALLOW_CIDRS": "nonsense"}, cloud, "--yes") as process:
        said, _ = process.communicate(timeout=60 * PATIENCE)
    assert process.returncode == 1
    assert "MachineCreated" not in said
    assert "Traceback" not in said
