"""`mixtral-bot worker`: RQ's worker pool, with the sweeper as another process that is restarted if it ends."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.worker_pool import WorkerPool

from workers.heartbeats import HeartbeatRecorder, WorkerPart
from workers.processes import die_with_parent
from workers.redis_failures import failure_of
from workers.writable import wait_for

logger = logging.getLogger(__name__)

GRACE = 3.0
"""Maximum time for a job to finish when the pool ends, in seconds; the next worker continues a killed one."""

_fork = multiprocessing.get_context("fork")


class TiedWorker(Worker):
    """An RQ worker whose job's process ends with it, so that no orphaned job runs concurrently with its repetition."""

    recorder: HeartbeatRecorder | None = None

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        super().heartbeat(*args, **kwargs)
        if self.recorder is not None:
            self.recorder.beat()

    def clean_registries(self) -> None:
        """Forget jobs that died with Redis or their process. RQ's own clean-up fails at one whose execution expired."""
        redis: Any = self.connection
        for queue in self.queues:
            dead = queue.started_job_registry.key
            for entry in redis.zrangebyscore(dead, 0, time.time()):
                id_ = entry.decode().partition(":")[0]
                redis.delete(f"rq:job:{id_}", f"rq:executions:{id_}")
                redis.zrem(dead, entry)
        super().clean_registries()  # type: ignore[no-untyped-call] # RQ's

    def main_work_horse(self, *args: Any, **kwargs: Any) -> Any:
        die_with_parent(self.pid or os.getppid())
        return super().main_work_horse(*args, **kwargs)


def _work(name: str, connect: Callable[[], Redis], queues: Sequence[str], parent: int, host: str | None) -> None:
    """`host`: whose heartbeat this process records; None: it does not do all jobs, so it does not vouch for them."""
    die_with_parent(parent)
    redis = connect()
    wait_for(redis)  # otherwise the pool would start a process that fails at once, every second
    logging.getLogger("rq.worker").addFilter(_without_traceback)
    worker = TiedWorker(
        [Queue(queue, connection=redis) for queue in queues],
        name=name,
        connection=redis,
        worker_ttl=30,
        job_monitoring_interval=5,
        maintenance_interval=10,
        log_job_description=False,
    )
    worker.recorder = None if host is None else HeartbeatRecorder(redis, WorkerPart.JOBS, host)
    try:
        worker.work(with_scheduler=False, logging_level="WARNING")
    except RedisError as error:
        logger.warning("a process that does jobs is started again: %s", failure_of(error).in_full)


def _without_traceback(record: logging.LogRecord) -> bool:
    """One line for a failure of Redis, which ends each process of RQ, and for a job that it stored in part."""
    if isinstance(record.args, tuple):
        record.args = tuple(_last_line(argument) for argument in record.args)
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and str(error).endswith("not found in Redis"):
        record.msg, record.args, record.exc_info = "RQ: %s", (str(error),), None
    if isinstance(error, RedisError):
        record.msg, record.args, record.exc_info = "RQ: %s", (failure_of(error).in_full,), None
    return True


def _sweep(run: Callable[[threading.Event], None], parent: int) -> None:
    die_with_parent(parent)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(stop)


def _last_line(argument: object) -> object:
    """Of a traceback that RQ has written as text, the error, if it is one of Redis."""
    if isinstance(argument, str) and "Traceback" in argument and "\nredis.exceptions." in argument:
        return argument.strip().splitlines()[-1]
    return argument


class WorkerProcesses(WorkerPool):
    """RQ's pool and the sweeper. All processes end with their parent."""

    def __init__(
        self,
        connect: Callable[[], Redis],
        sweep: Callable[[threading.Event], None],
        *,
        queues: Sequence[str],
        reserved: Sequence[str],
        num_workers: int,
        host: str,
        heartbeat: HeartbeatRecorder,
    ) -> None:
        """`num_workers` processes read `queues`, and one more reads `reserved`, so that these jobs wait for no others.

        `host`: id of this worker host. `heartbeat`: its connection needs a short timeout, to end within seconds.
        """
        super().__init__(list(queues), connection=connect(), num_workers=num_workers + 1)
        self._queues_read, self._reserved = tuple(queues), tuple(reserved)
        self._reserve: BaseProcess | None = None
        """The process that reads `reserved`."""
        self._connect = connect
        self._sweep = sweep
        self._host = host
        self._heartbeat = heartbeat
        self._sweeper: BaseProcess | None = None

    def get_worker_process(self, name: str, *_: Any, **__: Any) -> BaseProcess:
        is_reserve = self._reserve is None or not self._reserve.is_alive()
        queues, host = (self._reserved, None) if is_reserve else (self._queues_read, self._host)
        process = _fork.Process(
            target=_work, args=(name, self._connect, queues, os.getpid(), host), name=f"worker {name}"
        )
        if is_reserve:
            self._reserve = process
        return process

    def start_workers(self, *args: Any, **kwargs: Any) -> None:
        super().start_workers(*args, **kwargs)
        self._keep_sweeping()

    def check_workers(self, respawn: bool = True) -> None:
        super().check_workers(respawn)
        self._keep_sweeping()
        self._heartbeat.beat()

    def stop_workers(self) -> None:
        """End all children: by a warm shutdown, and by SIGKILL after GRACE, which is safe for jobs at any line."""
        super().stop_workers()  # type: ignore[no-untyped-call] # RQ's
        children = [data.process for data in self.worker_dict.values()]
        if self._sweeper is not None:
            self._sweeper.terminate()
            children.append(self._sweeper)
        deadline = time.monotonic() + GRACE
        for child in children:
            child.join(max(0.0, deadline - time.monotonic()))
            if child.is_alive():
                child.kill()

    def _keep_sweeping(self) -> None:
        if self.status == self.Status.STOPPED or (self._sweeper is not None and self._sweeper.is_alive()):
            return
        self._sweeper = _fork.Process(target=_sweep, args=(self._sweep, os.getpid()), name="sweeper")
        self._sweeper.start()
