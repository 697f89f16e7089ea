"""Jobs that died with Redis leave nothing in it."""

import time

from rq import Queue
from rq.executions import Execution
from rq.job import JobStatus

from workers.pool import TiedWorker


def test_a_job_that_died_with_redis_leaves_nothing_though_its_execution_has_expired(redis):
    queue = Queue("advance", connection=redis)
    job = queue.enqueue("workers.jobs.advance", "d1", job_timeout=1800, result_ttl=0, failure_ttl=0, ttl=60)
    redis.lpop(queue.key)
    job.set_status(JobStatus.STARTED)
    redis.persist(job.key)
    with redis.pipeline() as pipeline:
        execution = Execution.create(job, ttl=65, pipeline=pipeline)
        pipeline.execute()
    redis.delete(execution.key)
    redis.zadd(queue.started_job_registry.key, {execution.composite_key: time.time() - 1})
    TiedWorker([queue], connection=redis).clean_registries()
    assert [key for key in redis.keys("rq:*") if key not in {b"rq:queues", b"rq:workers", b"rq:clean_groups"}] == []
