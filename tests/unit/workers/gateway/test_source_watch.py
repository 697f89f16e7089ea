"""What of the sources of wrong keys is logged and told."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from workers.deployment.gateway_notices import MOST
from workers.gateway import source_watch
from workers.gateway.source_watch import SourceWatch

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Written:
    """Stands for the notices in Redis."""

    def __init__(self):
        self.notices = []

    def write(self, notices):
        self.notices = list(notices)


@pytest.fixture
def look(monkeypatch, caplog):
    """Looks once; returns the notices that it wrote and the lines that it logged."""
    monkeypatch.setattr(source_watch, "LOOK_EVERY", 0)
    caplog.set_level(logging.INFO, source_watch.__name__)
    written: Any = Written()
    watch = SourceWatch(written)

    def once(numbers, fault=""):
        caplog.clear()
        watch.look(lambda: numbers, fault, NOON)
        return written.notices, caplog.messages

    return once


def test_of_an_attack_from_many_sources_the_largest_are_logged_and_told(look):
    numbers = {f"2001:db8:0:{n:x}::/64": 100 + n for n in range(50_000)}
    largest = [numbers[source] for source in list(numbers)[-MOST:]]
    notices, lines = look(numbers)
    assert sorted(notice.number for notice in notices) == largest
    assert len(lines) == MOST + 1
    assert lines[-1] == f"requests with a wrong key came from {50_000 - MOST} more sources"
    notices, lines = look({source: number + 1 for source, number in numbers.items()})
    assert (len(notices), lines) == (MOST, [])


def test_a_source_is_logged_once_and_told_while_its_number_grows(look):
    notices, lines = look({"10.0.0.1": 100})
    assert ([notice.source for notice in notices], lines) == (
        ["10.0.0.1"],
        ["100 requests with a wrong key came from 10.0.0.1"],
    )
    assert look({"10.0.0.1": 100}) == ([], [])
    notices, lines = look({"10.0.0.1": 101, "10.0.0.2": 100})
    assert {notice.source: notice.number for notice in notices} == {"10.0.0.1": 101, "10.0.0.2": 100}
    assert lines == ["100 requests with a wrong key came from 10.0.0.2"]
    assert [notice.kind for notice in look({}, "No space left.")[0]] == ["files"]
