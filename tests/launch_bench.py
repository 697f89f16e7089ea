"""Launches on clouds that take seconds for each call, as ratios to the same calls one after another."""

import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from redis import Redis

from tests.fakes.aws import AwsCloud
from tests.fakes.gcp import GcpCloud
from tests.fakes.ladder import rungs
from tests.fakes.launching import launched
from tests.measured import show
from workers.clouds.sdks import import_sdks
from workers.deployment.events import LadderExhausted, LaunchIntended, MachineCreated
from workers.deployment.log import Log
from workers.processes import Children
from workers.sandbox.valkey import free_port, valkey
from workers.writable import wait_for

A_CALL = 2.0
"""Seconds that each call to EC2 takes."""
OPERATIONS = (5.0, 15.0, 30.0)
"""Seconds that each allocation of GCE takes."""
REPLICAS = 4
DRY_WITHIN = 45
NEXT_WITHIN = 20
JOBS = 3
QUOTAS = ("L-417A185B", "L-DB2E81BA")

_fork = multiprocessing.get_context("fork")


def rows():
    yield from imports()
    with tempfile.TemporaryDirectory(prefix="mixtral-launch-") as folder, store(Path(folder)) as redis:
        yield dry(redis, "mixtral-8x7b", "quotas of 0", lambda aws: [aws.quota(code, 0) for code in QUOTAS])
        yield dry(redis, "mixtral-8x7b-skypilot", "no capacity", lambda aws: aws.fault("InsufficientInstanceCapacity"))
        for seconds in OPERATIONS:
            yield at_once(redis, seconds)
        yield silent(redis)


@contextmanager
def store(folder):
    children, port = Children(), free_port()
    children.start(valkey(port, folder / "valkey", folder / "valkey.log"))
    redis = Redis(port=port)
    wait_for(redis)
    try:
        yield redis
    finally:
        redis.close()
        children.stop()


def dry(redis, recipe, why, break_it):
    """Until the ladder is dry. The sum of the calls' latencies is what a sequential walk waits at least."""
    aws = AwsCloud()
    break_it(aws)
    aws.fault("slow", action="*", seconds=A_CALL)
    state, _ = launched(redis, {"aws": aws.driver}, rungs("aws", recipe=recipe), recipe=recipe)
    dry = next(event.at for event in Log(redis).read(state.id) if isinstance(event, LadderExhausted))
    took = (dry - state.requested_at).total_seconds()
    calls, fleets = len(aws.calls()), len(aws.launches())
    aws.close()
    return (
        f"AWS at {A_CALL:.0f} s a call, {recipe}: dry, {why}",
        f"{took:.1f} s, {calls} calls, of which {fleets} launch calls",
        f"limit {DRY_WITHIN} s; one after another: {calls * A_CALL:.0f} s, {calls * A_CALL / took:.1f} x measured",
    )


def at_once(redis, seconds):
    gcp = GcpCloud()
    gcp.server.cloud._allocates_in = seconds
    state, _ = launched(redis, {"gcp": gcp.driver}, rungs("gcp"), replicas=REPLICAS)
    made = sorted(event.at for event in Log(redis).read(state.id) if isinstance(event, MachineCreated))
    took = (made[REPLICAS - 1] - state.requested_at).total_seconds()
    extra = sum(bool(a.beside) for a in state.attempts)
    gcp.close()
    return (
        f"GCE, allocations of {seconds:.0f} s: {REPLICAS} replicas have machines",
        f"{took:.1f} s" + (f", {extra} requested beside a late call, and ended" if extra else ""),
        f"one after another: {REPLICAS * seconds:.0f} s, {REPLICAS * seconds / took:.1f} x the measured value",
    )


def silent(redis):
    gcp = GcpCloud()
    usable = rungs("gcp")
    gcp.fault("slow", machine_type=usable[0].offer.instance_type, seconds=3600, times=1)
    state, _ = launched(redis, {"gcp": gcp.driver}, usable)
    events = Log(redis).read(state.id)
    asked = next(event.at for event in events if isinstance(event, LaunchIntended))
    made = next(event.at for event in events if isinstance(event, MachineCreated))
    gcp.close()
    return (
        "GCE, one call is silent for ever: a machine on the next rung",
        f"{(made - asked).total_seconds():.1f} s",
        f"limit {NEXT_WITHIN} s; without it, the timeout of the call (30 s) and all its repetitions",
    )


def imports():
    """What a job waits for the SDK of GCP: the job's process is forked from one that has imported it, or has not."""
    anew = [forked(before=False) for _ in range(JOBS)]
    shared = [forked(before=True) for _ in range(JOBS)]
    slow, fast = statistics.median(anew), statistics.median(shared)
    yield (
        f"import of GCP's SDK in a job, median of {JOBS} jobs",
        f"{fast * 1e3:.1f} ms",
        f"if each job imports it: {slow:.1f} s",
    )


def forked(*, before):
    """Seconds of the imports in a child of a process that has imported the SDK before, or has not."""
    receives, sends = multiprocessing.Pipe(duplex=False)
    parent = multiprocessing.get_context("spawn").Process(target=parent_of_job, args=(before, sends))
    parent.start()
    took = receives.recv()
    parent.join()
    return took


def parent_of_job(before: bool, sends: Connection) -> None:
    if before:
        import_sdks(["gcp"])
    job = _fork.Process(target=job_of, args=(sends,))
    job.start()
    job.join()


def job_of(sends: Connection) -> None:
    began = time.monotonic()
    import_sdks(["gcp"])
    sends.send(time.monotonic() - began)
    sends.close()
    os._exit(0)


if __name__ == "__main__":
    show("launches on slow clouds", rows())
