"""The ledger counts what the log counts, whatever happens to the machines."""

import json
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.builders.machines import machine
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.recorded import decoded, read, recorded
from workers.deployment.disk_cost import disk_cost
from workers.deployment.events import MachineCreated, MachineGone
from workers.deployment.ledger import Book, MachineClosed, decode, encode, entry_of, fold
from workers.deployment.state import fold as fold_log

HOUR = timedelta(hours=1)


def booked(deployment, events):
    return fold([entry for event in events if (entry := entry_of(deployment, event)) is not None])


def spent(deployment, events, until):
    state = fold_log(deployment, events)
    return state.spent(until) if state else Decimal(0)


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.stem)
def test_what_a_recorded_log_cost_stands_in_the_ledger(path):
    header, lines = read(path)
    events = decoded(lines)
    for version in range(1, len(events) + 1):
        until = events[version - 1].at + HOUR
        assert booked(header.deployment, events[:version]).total(None, until) == spent(
            header.deployment, events[:version], until
        )


@given(st.lists(st.sampled_from(["created", "gone", "refused", "asked", "stopped", "wait"]), max_size=25))
@example(["created", "wait", "gone", "wait", "gone"])
@example(["created", "wait", "created", "wait", "gone"])
@example(["refused", "gone", "wait", "created", "wait", "gone", "created"])
def test_in_any_order_of_facts_the_ledger_counts_what_the_log_counts(deeds):
    told = Story().planned(offer("r-1", "7.31")).asked()
    for deed in deeds:
        number = told.state.attempts[-1].number
        match deed:
            case "created":
                told.tell(
                    MachineCreated,
                    attempt=number,
                    machine=machine(told.state.attempts[-1].request, created_at=told.now),
                )
            case "gone":
                told.tell(MachineGone, attempt=number, why="preempted")
            case "refused":
                told.refused()
            case "asked":
                told.asked()
            case "stopped":
                told.stopped()
            case _:
                told.wait(977)
        until = told.now + HOUR
        assert booked(told.id, told.events).total(None, until) == told.state.spent(until)


def test_a_sum_over_days_is_the_sum_of_its_days():
    told = Story().planned(offer("r-1", "7.31")).asked().created().wait(hours=70).gone("ended").ended()
    book, began = booked(told.id, told.events), told.state.attempts[-1].machine.created_at
    days = [began + timedelta(days=day) for day in range(5)]
    parts = [book.total(since, until) for since, until in pairwise(days)]
    assert sum(parts) == book.total(None, days[-1])
    assert parts[-1] == 0


def test_the_machines_of_a_time_are_those_that_existed_then():
    told = Story().planned(offer("r-1", "7.31")).asked().created().wait(hours=70).gone("ended").ended()
    book, began = booked(told.id, told.events), told.state.attempts[-1].machine.created_at
    for since, until in ((None, began), (began + 70 * HOUR, told.now + 99 * HOUR), (began - HOUR, began)):
        assert book.used(since, until) == []
    for since, until in ((None, began + HOUR), (began + 69 * HOUR, told.now + 99 * HOUR), (began, began + HOUR)):
        assert book.used(since, until) == list(book.uses.values())


def test_an_entry_that_is_booked_twice_counts_once():
    told = Story().planned(offer("r-1", "7.31")).asked().created().wait(hours=1).gone("ended")
    entries = [entry for event in told.events if (entry := entry_of(told.id, event)) is not None]
    assert fold([*entries, *entries]) == fold(entries)
    assert fold(entries[2:], onto=fold(entries[:2])) == fold(entries)
    assert [decode(encode(entry)) for entry in entries] == entries


def test_the_cloud_s_time_of_an_end_replaces_ours_and_ours_never_the_cloud_s():
    told = Story().planned(offer("r-1", "7.20")).asked().created().wait(hours=2).gone("ended")
    began, number = told.state.attempts[-1].machine.created_at, told.state.attempts[-1].number
    ours = MachineClosed(deployment=told.id, attempt=number, ended=told.now + HOUR)
    clouds = MachineClosed(deployment=told.id, attempt=number, ended=began + HOUR, estimated=False)
    book = booked(told.id, told.events)
    assert book.total(None, told.now + 9 * HOUR) == Decimal("14.40")
    for later in ([ours, clouds], [clouds, ours], [clouds, clouds, ours]):
        [use] = fold(later, onto=book).uses.values()
        assert (use.ended, use.estimated, use.cost(None, told.now)) == (began + HOUR, False, Decimal("7.20"))


def test_entries_of_earlier_versions_are_read_and_their_ends_are_estimated():
    closed = decode(b'{"type":"MachineClosed","deployment":"d","attempt":1,"ended":"2026-11-01T12:00:00Z"}')
    assert closed.estimated
    told = Story().planned(offer("r-1", "7.20")).asked().created()
    old = json.loads(encode(entry_of(told.id, told.events[-1])))
    del old["disk_gib"]
    [use] = fold([decode(json.dumps(old))]).uses.values()
    assert use.booked.disk_gib is None
    assert disk_cost(use, None, told.now + HOUR) == 0


def test_a_disk_is_estimated_by_its_size_and_the_time_of_its_machine():
    told = Story().planned(offer("aws r-1", "7.20")).asked().created().wait(hours=730).gone("ended")
    made = replace(told.events[-2], disk_gib=100, machine=replace(told.events[-2].machine, cloud="aws"))
    [use] = booked(told.id, [*told.events[:-2], made, told.events[-1]]).uses.values()
    assert disk_cost(use, None, told.now).quantize(Decimal("0.01")) == Decimal("8.00")
    assert disk_cost(use, told.now, told.now + HOUR) == 0


def test_a_machine_that_is_booked_before_its_deployment_is_booked_for_the_same_person():
    told = Story("fast").planned(offer("r-1")).asked().created()  # a bot of an earlier version books no deployment
    owner, _, machine = [entry for event in told.events if (entry := entry_of(told.id, event)) is not None]
    assert fold([machine, owner]).uses == fold([owner], onto=fold([machine])).uses == fold([owner, machine]).uses


def test_a_machine_is_booked_for_who_launched_it_and_where():
    told = Story("fast").planned(offer("r-1")).asked().created()
    [use] = booked(told.id, told.events).uses.values()
    assert (use.owner.name, use.owner.user, use.owner.channel) == (
        "fast",
        told.state.place.user,
        told.state.place.channel,
    )
    assert Book().total(None, told.now) == 0
