"""A machine ends itself: the deadman out of real user data, run in a shell, with a metadata service to hear or not."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.builders.machines import SECRETS, request
from tests.patience import PATIENCE
from tests.unit.workers.serving.test_bootstrap import gpus
from workers.serving.bootstrap import unpacked, user_data

PATHS = {
    "aws": "/latest/meta-data/tags/instance/mixtral-expiry",
    "gcp": "/computeMetadata/v1/instance/attributes/mixtral-expiry",
}


class Metadata(ThreadingHTTPServer):
    """The metadata service of either cloud, as strict as theirs; silent while `silent`."""

    daemon_threads = True

    def __init__(self, cloud):
        super().__init__(("127.0.0.1", 0), Asked)
        self.cloud, self.expiry, self.silent, self.asked = cloud, None, False, 0
        self.clock_off = 0
        self.when_asked = lambda: None
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Asked(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self):
        self.server.when_asked()
        wanted = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.answer("the-token" if wanted and self.server.cloud == "aws" else None)

    def do_GET(self):
        self.server.when_asked()
        self.server.asked += 1
        aws = self.headers["X-aws-ec2-metadata-token"] == "the-token"
        gcp = self.headers["Metadata-Flavor"] == "Google"
        allowed = aws if self.server.cloud == "aws" else gcp
        self.answer(self.server.expiry if allowed and self.path == PATHS[self.server.cloud] else None)

    def answer(self, text):
        if self.server.silent:
            self.close_connection = True
            return
        body = (text or "").encode()
        self.send_response(200 if text else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return super().date_time_string(timestamp or time.time() + self.server.clock_off)

    def log_message(self, *_):
        pass


class Deadman:
    """The deadman's process, and the calls of `shutdown` that it made."""

    def __init__(self, folder, metadata):
        self.folder, self.metadata = folder, metadata
        self.calls = folder / "shutdowns"
        programs = folder / "bin"
        programs.mkdir()
        (programs / "shutdown").write_text(f'#!/bin/sh\necho "$*" >>{self.calls}\n')
        (programs / "shutdown").chmod(0o755)
        text = unpacked(user_data(request("t-1", [gpus(8, metadata.cloud)]), SECRETS))
        body = re.search(r"^put\(\).*?^\}\n", text, re.DOTALL | re.MULTILINE)[0]
        files = text[text.index("files() {") : text.rindex("serve() {")]
        subprocess.run(
            ["bash"], input=f"folder={folder}\n{body}\n{files}\nfiles\n", text=True, check=True, timeout=10 * PATIENCE
        )
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "MIXTRAL_CLOUD": metadata.cloud,
            "MIXTRAL_FOLDER": str(folder),
            "MIXTRAL_METADATA_URL": metadata.url,
            "MIXTRAL_DEADMAN_SECONDS": "0.1",
        }
        self.process = None

    def set_clock(self, seconds):
        """Set the machine's clock this many seconds ahead of the metadata server's."""
        date = self.folder / "bin/date"
        date.write_text(
            f'#!/bin/sh\n[ "$*" = +%s ] || exec {shutil.which("date")} "$@"\n'
            f"echo $(($({shutil.which('date')} +%s) + {seconds}))\n"
        )
        date.chmod(0o755)

    def pass_time(self, seconds):
        """Let the clocks of the machine and of the metadata server go on by this time at once."""
        self.metadata.clock_off = seconds
        self.set_clock(seconds)

    def start(self, **environment):
        assert shutil.which("shutdown", path=self.environment["PATH"]).startswith(str(self.folder))
        self.process = subprocess.Popen(
            ["bash", str(self.folder / "deadman.sh")],
            env=self.environment | environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def shutdowns(self):
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def wait(self, call):
        """Until `shutdown` was called in this way, which must be in time."""
        deadline = time.monotonic() + 10 * PATIENCE
        while call not in self.shutdowns():
            assert time.monotonic() < deadline, f"{call} is not among {self.shutdowns()}"
            time.sleep(0.02)

    def wait_for_looks(self, more):
        """Until the metadata service was asked so many times more."""
        deadline, until = time.monotonic() + 10 * PATIENCE, self.metadata.asked + more
        while self.metadata.asked < until:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(params=["aws", "gcp"])
def metadata(request):
    metadata = Metadata(request.param)
    yield metadata
    metadata.close()


@pytest.fixture
def deadman(tmp_path, metadata):
    deadman = Deadman(tmp_path, metadata)
    yield deadman
    deadman.end()


def ahead(seconds):
    return str(int(time.time() + seconds))


def test_it_arms_the_shutdown_for_the_expiry_that_it_reads(deadman, metadata):
    metadata.expiry = ahead(3600)
    deadman.start()
    deadman.wait("--no-wall -h +60")


def test_it_arms_it_anew_when_the_expiry_moves_and_not_otherwise(deadman, metadata):
    metadata.expiry = ahead(3600)
    deadman.start()
    deadman.wait("--no-wall -h +60")
    metadata.expiry = ahead(24 * 3600)
    deadman.wait("--no-wall -h +1440")
    deadman.wait_for_looks(5)
    assert len(deadman.shutdowns()) == 2


def test_it_fires_when_the_expiry_passes(deadman, metadata):
    metadata.expiry = ahead(2)
    started = time.time()
    deadman.start()
    deadman.wait("-h now")
    assert time.time() >= int(metadata.expiry)
    assert time.time() - started < 8 * PATIENCE, "and not when the minute is over that was armed"


def test_it_fires_at_once_when_the_expiry_is_drawn_back(deadman, metadata):
    metadata.expiry = ahead(3600)
    deadman.start()
    deadman.wait("--no-wall -h +60")
    metadata.expiry = ahead(-5)
    deadman.wait("-h now")


def test_a_machine_that_is_told_to_live_on_does_not_fire(deadman, metadata):
    metadata.expiry = ahead(60)
    deadman.start()
    deadman.wait("--no-wall -h +1")
    metadata.expiry = ahead(600)
    deadman.wait("--no-wall -h +10")
    deadman.pass_time(90)
    deadman.wait("--no-wall -h +9")
    assert "-h now" not in deadman.shutdowns()


def test_where_the_metadata_falls_silent_it_fires_at_the_last_expiry_it_heard(deadman, metadata):
    metadata.expiry = ahead(8)
    deadman.start()
    deadman.wait("--no-wall -h +1")
    metadata.silent = True
    fired = "-h now" in deadman.shutdowns()
    assert time.time() >= int(metadata.expiry) or not fired
    deadman.wait("-h now")
    assert time.time() >= int(metadata.expiry)


def test_where_the_metadata_never_spoke_the_machine_has_its_first_two_hours(deadman, metadata):
    metadata.silent = True
    deadman.start()
    deadman.wait("--no-wall -h +120")


def test_it_keeps_the_expiry_over_a_restart(deadman, metadata):
    metadata.expiry = ahead(1800)
    deadman.start()
    deadman.wait("--no-wall -h +30")
    deadman.end()
    metadata.silent = True
    deadman.calls.unlink()
    deadman.start()
    deadman.wait("--no-wall -h +30")


@pytest.mark.parametrize(
    "nonsense", ["soon", "0", "", "99999999999999999999", "$(shutdown -h now)", "a[$(shutdown)]", "08888888888"]
)
def test_an_expiry_that_is_none_changes_nothing(deadman, metadata, nonsense):
    metadata.expiry = ahead(3600)
    deadman.start()
    deadman.wait("--no-wall -h +60")
    metadata.expiry = nonsense
    deadman.wait_for_looks(5)
    assert deadman.shutdowns() == ["--no-wall -h +60"]


def test_it_reads_iso_8601_as_well(deadman, metadata):
    metadata.expiry = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat(timespec="seconds")
    deadman.start()
    deadman.wait("--no-wall -h +60")


def test_a_disk_that_is_full_keeps_nothing_from_it(deadman, metadata):
    metadata.expiry = ahead(3600)
    (deadman.folder / "expiry.new").mkdir()
    deadman.start()
    deadman.wait("--no-wall -h +60")
    metadata.expiry = ahead(-1)
    deadman.wait("-h now")


def test_a_second_one_leaves_it_to_the_first(deadman, metadata):
    metadata.expiry = ahead(3600)
    deadman.start()
    deadman.wait("--no-wall -h +60")
    second = ["bash", str(deadman.folder / "deadman.sh")]
    assert subprocess.run(second, env=deadman.environment, timeout=10 * PATIENCE, check=False).returncode == 0
    assert deadman.shutdowns() == ["--no-wall -h +60"]


def test_the_token_of_the_metadata_service_is_never_in_ps(deadman, metadata):
    text = (deadman.folder / "deadman.sh").read_text()
    assert "--header @-" in text
    assert '--header "X-aws-ec2-metadata-token: $token"' not in text


@pytest.mark.parametrize("off", [3600, -3600])
def test_a_clock_that_is_an_hour_off_changes_nothing(deadman, metadata, off):
    deadman.set_clock(off)
    metadata.expiry = ahead(1800)
    deadman.start()
    deadman.wait("--no-wall -h +30")
    assert set(deadman.shutdowns()) == {"--no-wall -h +30"}
    metadata.expiry = ahead(1)
    deadman.wait("-h now")


def test_a_clock_that_jumps_has_the_shutdown_armed_anew(deadman, metadata):
    metadata.expiry = ahead(3600)
    deadman.start()
    deadman.wait("--no-wall -h +60")
    deadman.calls.unlink()
    deadman.set_clock(3000)
    deadman.wait("--no-wall -h +60")
    assert "-h now" not in deadman.shutdowns()


def test_after_a_reboot_it_is_armed_before_the_metadata_service_answers(deadman, metadata):
    (deadman.folder / "expiry").write_text(ahead(1800))
    metadata.expiry = ahead(3600)
    armed = []
    metadata.when_asked = lambda: armed.append(deadman.shutdowns())
    deadman.start()
    deadman.wait("--no-wall -h +60")
    assert armed[0] == ["--no-wall -h +30"]


def test_a_stored_expiry_that_has_passed_does_not_end_a_machine_before_the_metadata_service_could_answer(
    deadman, metadata
):
    (deadman.folder / "expiry").write_text(ahead(-1800))
    metadata.silent = True
    deadman.start()
    deadman.wait("--no-wall -h +10")
    time.sleep(0.5)
    metadata.expiry, metadata.silent = ahead(3600), False
    deadman.wait("--no-wall -h +60")
    assert "-h now" not in deadman.shutdowns()


def test_one_whose_metadata_service_stays_silent_ends_all_the_same(deadman, metadata):
    (deadman.folder / "expiry").write_text(ahead(-1800))
    metadata.silent = True
    deadman.start(MIXTRAL_DEADMAN_PATIENCE_SECONDS="2")
    deadman.wait("-h now")
