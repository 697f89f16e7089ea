"""The command line as a person types it: processes of their own, against stand-ins on loopback."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders.machines import SECRETS, request
from tests.fakes.aws_wire import AwsWire, product
from tests.fakes.gcp import GcpCloud
from workers.clouds.local.driver import LocalDriver
from workers.sandbox.valkey import free_port

ENDED_WITHIN = 60  # seconds; importing Google's SDK takes some


@pytest.fixture
def environ(tmp_path, valkey_url, redis):
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if name in os.environ}
    return kept | {
        "HOME": str(tmp_path),
        "MIXTRAL_HOME": str(tmp_path / "home"),
        "MIXTRAL_INSTALLATION": "i-line",
        "MIXTRAL_ALLOW_CIDRS": "203.0.113.0/24",
        "REDIS_URL": valkey_url,
        "HF_HUB_OFFLINE": "1",
    }


@pytest.fixture
def aws():
    wire = AwsWire()
    yield wire
    wire.close()


@pytest.fixture
def machine(environ, tmp_path):
    """A machine on this host that no log knows."""
    driver = LocalDriver(tmp_path / "home", environ)
    driver.machines.parent.mkdir(parents=True, exist_ok=True)
    later = datetime.now(UTC) + timedelta(minutes=5)
    asked = request("dlost-1", driver.offers()[:1], installation="i-line", deployment="dlost", expires_at=later)
    driver.create(asked, SECRETS)
    yield asked.token
    driver.terminate(asked.token)


def typed(environ, *words, says=""):
    """Exit status, standard output, standard error."""
    command = [sys.executable, "-m", "bot.cli", *words]
    ended = subprocess.run(
        command, env=environ, input=says, capture_output=True, text=True, timeout=ENDED_WITHIN, check=False
    )
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


def test_check_says_what_works_with_both_clouds_on_their_stand_ins(environ, aws):
    with closing(GcpCloud()) as gcp:
        status, out, err = typed(environ | aws.environ | gcp.environ, "check")
    assert (status, err) == (1, "")  # there is no Slack
    lines = out.splitlines()
    assert any(line.startswith("ok AWS      credentials arn:aws:iam::") for line in lines)
    assert any(line.startswith("ok GCP      credentials") for line in lines)
    assert any(line.startswith("ok Redis") for line in lines)
    assert any(line.startswith("no Slack    bot token") for line in lines)


def test_machines_lists_and_ends_orphans_after_a_yes(environ, machine):
    status, out, _ = typed(environ, "machines", "--json")
    (row,) = json.loads(out)
    assert (status, row["id"], row["cloud"], row["wanted"]) == (0, machine, "local", False)
    status, _, err = typed(environ, "machines", "--end-orphans", says="n\n")
    assert "End this machine? [y/N]" in err
    assert "No machine was ended." in err
    status, _, err = typed(environ, "machines", "--end-orphans")  # nobody there to answer
    assert status == 1
    assert json.loads(typed(environ, "machines", "--json")[1])
    status, out, err = typed(environ, "machines", "--end-orphans", "--yes", "--json")
    assert (status, json.loads(out)[0]["ended"]) == (0, True)
    assert "[y/N]" not in err
    assert typed(environ, "machines")[1] == (
        "No machine of installation i-line was found, but AWS and GCP were not listed: machines there are not shown.\n"
    )


def test_machines_without_redis_lists_and_refuses_to_end(environ, machine):
    down = environ | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    status, out, err = typed(down | {"COLUMNS": "120"}, "machines", "--end-orphans", "--yes")
    assert status == 1
    assert machine in out
    assert "unknown: Redis does not answer" in out
    assert "No machine was ended" in err
    assert len(json.loads(typed(environ, "machines", "--json")[1])) == 1


def test_yes_without_the_question_is_a_usage_error(environ):
    status, _, err = typed(environ, "machines", "--yes")
    assert status == 2
    assert "--end-orphans" in err


def test_prices_are_read_and_the_next_plan_goes_by_them(environ, aws):
    aws.price_list = {"g7e.12xlarge": [product("us-east-1", "6.5")]}
    status, out, _ = typed(environ | aws.environ, "prices")
    assert (status, "g7e.12xlarge in us-east-1: 8.28608 -> 6.5 USD/h" in out) == (0, True)
    rungs = json.loads(typed(environ, "plan", "mixtral-8x7b", "--json")[1])
    assert (rungs[0]["region"], rungs[0]["usd_per_hour"]) == ("us-east-1", 6.5)


def test_prices_offline_leave_the_shipped_table(environ):
    dead = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    dead["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}"
    status, out, err = typed(environ | dead, "prices")
    assert (status, err) == (1, "")
    assert "cannot be reached" in out
    assert "The prices read in 2026-11 (AWS" in out


@pytest.mark.parametrize("command", [("plan", "mixtral-8x7b"), ("check",)])
def test_a_broken_price_table_is_named_by_file_and_line(environ, tmp_path, command):
    file = tmp_path / "mine.csv"
    file.write_text(f"cloud,region\n{'x' * 10}\n")
    status, out, err = typed(environ | {"MIXTRAL_PRICES": str(file)}, *command)
    assert status == {"plan": 2, "check": 1}[command[0]]
    assert "mine.csv:1: the column zone is missing" in out + err


def test_on_a_terminal_it_is_said_what_is_waited_for(environ, aws):
    """AWS takes three seconds to answer who we are."""
    told = aws.xml

    def slow(sent, region):
        time.sleep(3 if "GetCallerIdentity" in sent else 0)
        return told(sent, region)

    aws.xml = slow
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bot.cli", "check"]
    with subprocess.Popen(
        command, env=environ | aws.environ | {"TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        try:
            shown = _until_closed(ours)
            assert child.wait(ENDED_WITHIN) == 1
        finally:
            child.kill()
    assert "waiting for AWS credentials" in shown
    assert "arn:aws:iam::" in shown
    assert "Traceback" not in shown


def _until_closed(terminal):
    shown = b""
    give_up_at = time.monotonic() + ENDED_WITHIN
    while time.monotonic() < give_up_at:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                some = os.read(terminal, 65536)
            except OSError:  # Linux's way to say that nobody writes there any more
                break
            shown += some
            if not some:
                break
    os.close(terminal)
    return shown.decode(errors="replace")
