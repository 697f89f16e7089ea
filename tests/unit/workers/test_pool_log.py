"""What RQ logs when Redis fails: one line, as a failure of Redis ends each of its processes."""

import logging
import sys
import traceback

import pytest
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from workers.pool import _without_traceback


def logged(message, *arguments, error=None):
    exc_info = None
    if error is not None:
        try:
            raise error
        except type(error):
            exc_info = sys.exc_info()
    record = logging.LogRecord("rq.worker", logging.ERROR, "", 0, message, arguments, exc_info)
    assert _without_traceback(record)
    return logging.Formatter().format(record)


def written(error):
    try:
        raise error
    except type(error):
        return traceback.format_exc()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ReadOnlyError("no"), "RQ: Redis is a read-only replica and accepts no writes"),
        (ValueError("Execution 1 not found in Redis"), "RQ: Execution 1 not found in Redis"),
    ],
)
def test_an_exception_that_redis_causes_is_one_line(error, says):
    assert logged("Worker %s: found an unhandled exception, quitting...", "w", error=error) == says


def test_a_job_that_redis_has_failed_is_one_line_and_other_errors_keep_their_tracebacks():
    message = "Worker %s: job failed\n%s"
    assert logged(message, "w", written(RedisTimeoutError("late"))) == (
        "Worker w: job failed\nredis.exceptions.TimeoutError: late"
    )
    assert "Traceback" in logged(message, "w", written(KeyError("a defect")))
    assert "Traceback" in logged("quitting", error=KeyError("a defect"))
