"""What a job imports: nothing that its parent has imported before the fork."""

import os
import subprocess
import sys
import time

import pytest
from rq import Queue

from tests.fakes.aws import AwsCloud
from tests.fakes.gcp import GcpCloud
from tests.patience import PATIENCE
from workers.clouds import sdks
from workers.settings import QUEUE

ROOTS = {"aws": "boto3", "gcp": "google.cloud.compute_v1"}

SAFE = """
import os, sys, threading, time
from workers.clouds.sdks import import_sdks
import_sdks(["aws", "gcp"])
assert "boto3" in sys.modules and "google.cloud.compute_v1" in sys.modules
until = time.monotonic() + 10
while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < until:
    time.sleep(0.01)  # the kernel removes a thread shortly after it was joined
print(threading.active_count(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")))
"""
ONLY_ONE = """
import sys
from workers.clouds.sdks import import_sdks
import_sdks(["aws", "local"])
print("boto3" in sys.modules, any(name.startswith("google.cloud.compute") for name in sys.modules))
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def test_a_cloud_that_is_not_used_is_not_imported():
    assert run(ONLY_ONE) == ["True", "False"]


def test_an_sdk_that_cannot_be_imported_stops_no_worker(monkeypatch, caplog):
    """The machines of the other clouds, and the local ones, need their leases extended."""
    monkeypatch.setattr(sdks, "MODULES", {"aws": ("there_is_no_such_module",), "gcp": ("json",)})
    sdks.import_sdks(["aws", "gcp"])
    assert "aws" in caplog.text
    assert "there_is_no_such_module" in caplog.text


@pytest.mark.clouds
def test_an_import_leaves_no_thread_and_no_connection_that_a_fork_would_share():
    threads, tasks, files = run(SAFE)
    assert (threads, tasks) == ("1", "1")
    assert int(files) <= 4  # the standard ones, and that of the listing


@pytest.mark.clouds
def test_a_job_of_the_worker_imports_nothing_of_an_sdk_anew(redis, valkey_url, tmp_path):
    aws, gcp = AwsCloud(), GcpCloud()
    more = {"REDIS_URL": valkey_url, "MIXTRAL_HOME": str(tmp_path), "MIXTRAL_CLOUDS": "aws,gcp", "PYTHONPATH": "."}
    clouds = {key: value for key, value in (aws.environ | gcp.environ).items() if key != "HOME"}
    worker = subprocess.Popen([sys.executable, "-m", "bot.cli", "worker"], env={**os.environ, **clouds, **more})
    try:
        queue = Queue(QUEUE, connection=redis)
        for cloud, root in ROOTS.items():
            job = queue.enqueue("tests.fakes.sdk_jobs.launch_on", cloud, result_ttl=60)
            deadline = time.monotonic() + 60 * PATIENCE
            while not job.is_finished and not job.is_failed and time.monotonic() < deadline:
                time.sleep(0.1)
                job.refresh()
            result = job.latest_result()
            assert result is not None, "the job has not ended"
            assert result.return_value is not None, result.exc_string
            assert root in result.return_value["before"]
            assert result.return_value["added"] == []
    finally:
        worker.terminate()
        try:
            worker.wait(20 * PATIENCE)
        finally:
            worker.kill()
            worker.wait()
            aws.close()
            gcp.close()
