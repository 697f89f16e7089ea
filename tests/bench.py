"""`make bench`: prints measurements, each with a reference value. Not a test: results depend on the machine's load."""

import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from redis import Redis

from recipes.loader import find, load
from tests import (
    footprint_bench,
    gateway_bench,
    gateway_load_bench,
    gateway_scale_bench,
    greedy_bench,
    ladder_bench,
    launch_bench,
    probe_bench,
    rush,
    scale,
    spot_day,
)
from tests.builders.events import requested
from tests.fakes.aws import AwsCloud
from tests.fakes.gcp import GcpCloud
from tests.fakes.ladder import climb, rungs
from tests.line import Line
from tests.measured import show
from tests.person import GENERAL, Person, words
from tests.rivals import SKYPILOT_OPTIMIZER, SOURCES, constant
from workers.deployment.events import ScaleRequested
from workers.deployment.log import Log, new_id, stamp
from workers.deployment.state import fold
from workers.placement import catalog
from workers.placement.planner import plan
from workers.sandbox.gce.faults import LAUNCHES as GCE_LAUNCHES

SECONDS = 60
RATE = 50
STREAMS = 20
FOLDS = 9

MODULES = (
    gateway_bench,
    gateway_load_bench,
    gateway_scale_bench,
    ladder_bench,
    launch_bench,
    greedy_bench,
    scale,
    probe_bench,
    spot_day,
    rush,
    footprint_bench,
)
"""Each has `rows()`, and runs alone by `python -m tests.<name>`."""

COMMANDS = ("status", "help", "recipes", "status slow", "plan mistral-7b", "launch nothing-like-it")


def main():
    failed: list[str] = []
    show("mixtral-bot bench", everything(failed))
    print(f"\n{SOURCES}\nEverything runs on this machine against stand-ins: no row contains the latency of a network.")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def everything(failed):
    """The rows of all parts. A part that fails is named in `failed`, and leaves the others their rows."""
    for part in (planning, climbing, *(module.rows for module in MODULES), on_a_line):
        name = part.__name__ if part.__module__ == __name__ else part.__module__
        print(f"-- {name}", file=sys.stderr, flush=True)
        try:
            yield from part()
        except Exception:  # noqa: BLE001 - its traceback is printed, and the run fails at its end
            failed.append(name)
            traceback.print_exc()
            yield name, "failed", "its traceback is above"


def on_a_line():
    with tempfile.TemporaryDirectory(prefix="mixtral-bench-") as folder, Line(Path(folder)) as line:
        yield from appending(line)
        yield from launching(line)
        yield from acking(line)


def planning():
    recipe = load(find("mixtral-8x7b", ()), {})
    offers = catalog.load(None)
    median = statistics.median(timed(lambda: plan(recipe, offers, statuses={})) for _ in range(50))
    yield (
        "plan mixtral-8x7b, without reading the price table, median of 50",
        f"{median * 1e3:.1f} ms",
        limit(20, median * 1e3, "ms"),
    )
    command = [sys.executable, "-m", "bot.cli", "plan", "mixtral-8x7b", "--json"]
    median = statistics.median(
        timed(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(7)
    )
    yield (
        "`mixtral-bot plan mixtral-8x7b --json`, complete process, median of 7",
        f"{median:.2f} s",
        limit(1, median, "s"),
    )
    yield "", "", constant(f"SkyPilot's optimizer, warm: {SKYPILOT_OPTIMIZER} s")


P_ON_DEMAND = "L-417A185B"

AWS_REFUSALS = (
    ("no capacity, on demand", "InsufficientInstanceCapacity", False, (20, 10), (63, 127)),
    ("quota error at the launch", "VcpuLimitExceeded", False, (13, 5), (63, 157)),
    ("the quota API says 0", None, False, (0, 5), (63, 157)),
    ("no capacity, spot", "InsufficientInstanceCapacity", True, (13, 10), (195, 234)),
)
"""(description, error code, spot, limits of calls and seconds, SkyPilot's calls and seconds, which are constants)"""


def climbing():
    """Launch calls, and time until the ladder of Mixtral 8x7B is dry when every region and type is refused, once each.

    The stand-in answers at once, and the time contains neither the log nor the jobs: it is the driver's own.
    """
    for what, code, spot, (calls, within), (their_calls, their_seconds) in AWS_REFUSALS:
        cloud = AwsCloud()
        if code:
            cloud.fault(code)
            cloud.quota(P_ON_DEMAND, 100_000)
        else:
            cloud.quota(P_ON_DEMAND, 0)
        took = timed(lambda cloud=cloud, spot=spot: climb(cloud.driver, spot=spot))
        made = len(cloud.launches())
        cloud.close()
        measured = f"{made} calls, {took:.1f} s"
        yield (
            f"AWS, {what}: the driver alone, one run",
            measured,
            f"limit {calls} calls, {within} s; " + constant(f"SkyPilot {their_calls} calls, {their_seconds} s"),
        )
    gcp = GcpCloud()
    gcp.fault("ZONE_RESOURCE_POOL_EXHAUSTED")
    took = timed(lambda: climb(gcp.driver))
    pairs = len({(o.region, o.instance_type) for o in (r.offer for r in rungs("gcp"))})
    yield (
        "GCP, no capacity, on demand: the driver alone, one run",
        f"{len(gcp.calls(*GCE_LAUNCHES))} calls, {took:.1f} s",
        f"limit {pairs} calls: one per region and type",
    )
    gcp.close()


def appending(line):
    log = Log(Redis(port=line.redis_port))
    recipe = load(find("mixtral-8x7b", ()), {})
    id_ = log.open(new_id(), requested("bench", recipe), "mxk_bench", "bench")
    synced = statistics.median(appended(log, id_, range(1, 501)))
    line.redis().config_set("appendfsync", "no")
    unsynced = statistics.median(appended(log, id_, range(501, 1001)))
    line.redis().config_set("appendfsync", "always")
    yield "append with fsync, median of 500", f"{synced * 1e3:.2f} ms", f"without fsync, here: {unsynced * 1e3:.2f} ms"
    events = log.read(id_)
    median = statistics.median(timed(lambda: fold(id_, events)) for _ in range(FOLDS))
    yield f"fold of {len(events)} events, without reading them, median of {FOLDS}", f"{median * 1e3:.1f} ms", ""
    line.redis().delete(f"mixtral:d:{id_}")
    line.redis().hdel("mixtral:names", "bench")


def appended(log, id_, versions):
    """Seconds of each append."""
    for version in versions:
        event = ScaleRequested(**stamp(datetime.now(UTC)), replicas=version, by="U")
        yield timed(lambda event=event, version=version: log.append(id_, version, [event]))


def tested(name, message):
    return name in words(message) and "My favourite condiment is" in words(message)


def launching(line):
    with Person(line.page) as person:
        took = []
        for n in range(5):
            began = time.monotonic()
            person.command(GENERAL, f"/mixtral launch smollm2-135m as run-{n}")
            person.wait_for_message(GENERAL, partial(tested, f"run-{n}"), timeout=60)
            took.append(time.monotonic() - began)
            person.end(GENERAL, f"run-{n}")
            person.wait_for(lambda _: not line.machines(), 30)
        median = statistics.median(took)
        yield (
            "command to test completion on the card, `local`, weights on disk, nothing to boot, median of 5",
            f"{median:.1f} s",
            limit(15, median, "s"),
        )


def acking(line):
    """Times of acknowledgements while answers are written. Commands are sent at a fixed rate, answered or not."""
    with Person(line.page) as person:
        person.command(GENERAL, "/mixtral launch slow")
        person.wait_for_message(
            GENERAL, lambda m: "slow" in words(m) and "/v1/chat/completions" in words(m), timeout=60
        )
        for n in range(STREAMS):
            person.command(GENERAL, f"/mixtral ask slow question {n}")
        person.wait_for(
            lambda p: sum("script" in words(m) and bool(m.get("thread_ts")) for m in p.messages(GENERAL)) >= STREAMS, 60
        )
        acked, took, late = load_of_commands(line)
        answering = line.redis().hlen("mixtral:questions")
        appends, updates = len(person.calls("chat.appendStream")), len(person.calls("chat.update"))
        person.end(GENERAL, "slow")
        person.wait_for(lambda _: not line.machines(), 30)
    took.sort()
    p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    what = (
        f"{len(took)} commands at {RATE}/s while {answering} answers are written ({appends} appends, {updates} updates)"
    )
    yield what, f"{len(took) - acked} lost", "0"
    yield "time to acknowledgement at the client, with the stand-in's own time, median", f"{p50 * 1e3:.0f} ms", ""
    yield (
        "the same, p99",
        f"{p99 * 1e3:.0f} ms",
        limit(100, p99 * 1e3, "ms") + "; Slack's limit: 3,000 ms",
    )
    yield (
        "commands that the bench sent more than 20 ms late",
        f"{late}",
        "0 if the rate was kept",
    )


def load_of_commands(line):
    total = SECONDS * RATE
    people = [Person(line.page) for _ in range(16)]

    def send(n):
        began = time.monotonic()
        acked = people[n % 16].command(GENERAL, f"/mixtral {COMMANDS[n % len(COMMANDS)]}")["acked"]
        return acked, time.monotonic() - began

    futures, late = [], 0
    with ThreadPoolExecutor(16) as pool:
        begin = time.monotonic()
        for n in range(total):
            due = begin + n / RATE
            now = time.monotonic()
            late += now - due > 0.02
            time.sleep(max(0.0, due - now))
            futures.append(pool.submit(send, n))
        answers = [future.result() for future in futures]
    return sum(bool(acked) for acked, _ in answers), [took for _, took in answers], late


def timed(action):
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def limit(maximum, measured, unit):
    return f"limit {maximum} {unit}, {maximum / measured:.1f} x the measured value"


if __name__ == "__main__":
    main()
