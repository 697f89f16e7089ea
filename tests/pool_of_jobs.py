"""A pool of workers whose jobs are those of a test: `-m tests.pool_of_jobs REDIS`."""

import os
import sys
import time

from redis import Redis

from workers.heartbeats import HeartbeatRecorder, WorkerPart
from workers.pool import WorkerProcesses

GENERAL, RESERVED = "general", "reserved"
PROCESSES = 2


def hang(url):
    """A launch at a cloud that gives no answer."""
    Redis.from_url(url).sadd("hanging", os.getppid())
    time.sleep(600)


def end(url):
    Redis.from_url(url).rpush("ended", os.getppid())


def sweep(stop):
    stop.wait()


def main(url):
    WorkerProcesses(
        lambda: Redis.from_url(url),
        sweep,
        queues=(RESERVED, GENERAL),
        reserved=(RESERVED,),
        num_workers=PROCESSES,
        host="h",
        heartbeat=HeartbeatRecorder(Redis.from_url(url), WorkerPart.POOL, "h"),
    ).start(logging_level="WARNING")


if __name__ == "__main__":
    main(sys.argv[1])
