"""Logs that earlier versions of the product wrote: they decode, fold and decide as they did when they were recorded."""

import re
from typing import get_args

import msgspec
import pytest

from tests.recorded import STATES, decoded, plain_lines, read, recorded, states
from workers.deployment.events import AnyEvent
from workers.deployment.log import _encode
from workers.deployment.state import fold

KINDS = {"launch", "failover", "spot", "scale", "dry", "crash"}
FOREIGN = re.compile(rb"mxk_|(?<![\w.])/(tmp|work|home|root|Users)/")
"""A key, or a path of the machine on which a log was recorded."""

each_log = pytest.mark.parametrize("path", recorded(), ids=lambda path: path.stem)


def test_a_log_of_each_kind_is_there():
    assert {path.stem for path in recorded()} >= KINDS


def test_the_logs_hold_every_class_of_event():
    seen = {type(event) for path in recorded() for event in decoded(read(path)[1])}
    assert seen == set(get_args(AnyEvent))


@each_log
def test_each_event_leads_to_the_state_and_the_decision_that_it_led_to_when_it_was_recorded(path):
    header, lines = read(path)
    golden = path.with_suffix(STATES).read_bytes().splitlines()
    now = plain_lines(header.deployment, decoded(lines))
    for version, (then, found) in enumerate(zip(golden, now, strict=True), 1):
        assert msgspec.json.decode(found) == msgspec.json.decode(then), f"{path.name}, version {version}"


@each_log
def test_a_log_folded_whole_is_the_log_folded_event_by_event(path):
    header, lines = read(path)
    events = decoded(lines)
    for version, (_, state) in enumerate(states(header.deployment, events), 1):
        assert fold(header.deployment, events[:version]) == state
        assert fold(header.deployment, events[version:], onto=state) == fold(header.deployment, events)


@each_log
def test_each_event_is_encoded_to_the_bytes_that_were_recorded(path):
    _, lines = read(path)
    for line, event in zip(lines, decoded(lines), strict=True):
        # A rate that a recipe gives as a whole number is written as it stands there, and as a float once it was read.
        assert _encode(event) == line.replace(b'"target_qps_per_replica":1,', b'"target_qps_per_replica":1.0,')


@each_log
def test_a_log_holds_no_key_and_no_path_of_the_machine_that_recorded_it(path):
    assert FOREIGN.findall(path.read_bytes()) == []
