"""The logs of child processes stay small."""

import sys
from functools import partial

import pytest

from tests.fakes.haproxy import wait_for
from workers import processes
from workers.processes import Child, Children

LIMIT = 100_000
PRINTS = """
import pathlib, sys, time
for more in sys.argv[2:]:
    print("x" * int(more), flush=True)
    go = pathlib.Path(sys.argv[1], more)
    while not go.exists():
        time.sleep(0.02)
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts a child that prints a number of bytes, and the next number once a file with that name exists."""
    monkeypatch.setattr(processes, "MAX_LOG", LIMIT)
    children = Children()

    def start(*numbers):
        argv = (sys.executable, "-c", PRINTS, str(tmp_path), *map(str, numbers), "1")
        children.start(Child(name="child", argv=argv, env={}, log=tmp_path / "child.log"))
        return children

    yield start
    children.stop()


def size(file):
    return file.stat().st_size if file.exists() else 0


def printed(log, number):
    return size(log) > number


def test_a_log_that_is_too_long_is_emptied_with_one_copy_kept_and_goes_on(started, tmp_path):
    log, copy = tmp_path / "child.log", tmp_path / "child.log.1"
    children = started(150_000, 160_000, 7)
    for number in (150_000, 160_000):
        wait_for(partial(printed, log, number), "the child has printed more than the limit")
        children.restart_the_dead()
        assert (size(log), size(copy)) == (0, number + 1)
        (tmp_path / str(number)).touch()
    wait_for(lambda: log.read_text() == "x" * 7 + "\n", "new lines arrive at the beginning of the file")
    children.restart_the_dead()
    assert size(log) == 8


def test_a_log_that_cannot_be_copied_is_emptied_all_the_same(started, tmp_path):
    (tmp_path / "child.log.1").mkdir()
    children = started(150_000)
    wait_for(lambda: size(tmp_path / "child.log") > LIMIT, "the child has printed more than the limit")
    children.restart_the_dead()
    assert size(tmp_path / "child.log") == 0


def test_a_log_that_somebody_removed_does_no_harm(started, tmp_path):
    children = started(1)
    (tmp_path / "child.log").unlink()
    children.restart_the_dead()
