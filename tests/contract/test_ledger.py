"""The ledger on a real Valkey: complete with the log, also after an earlier version that booked nothing."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.cli import ledger_command
from tests.builders.events import requested
from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from workers.control.purchase_budgets import PurchaseBudgets
from workers.deployment import ledger_reader, snapshot, stored_book
from workers.deployment import log as log_module
from workers.deployment.events import EventId, ScaleRequested, Version
from workers.deployment.ledger import LEDGER, TOKENS, LedgerEntry, MachineRepriced, Use, fold
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import START, Log, NameTaken, new_id
from workers.deployment.ownership import ENDED_ITSELF
from workers.deployment.stored_book import BOOK, BOOK_SCHEMA, RECENT, StoredBook
from workers.deployment.token_counts import Tokens, counted

NOW = datetime.now(UTC)
MONTH_AGO = NOW - timedelta(days=30)
HOURLY = Decimal("7.20")

_ATTEMPT = ("deployment", "attempt")
STORED = {
    "DeploymentBooked": ("deployment", "at", "name", "recipe", "user", "channel"),
    "MachineReserved": (*_ATTEMPT, "usd_per_hour", "at", "expires_at"),
    "ReservationReleased": _ATTEMPT,
    "MachineBooked": (
        *(*_ATTEMPT, "machine", "cloud", "region", "zone", "instance_type", "spot"),
        *("usd_per_hour", "on_demand_usd_per_hour", "began", "disk_gib"),
    ),
    "MachineRepriced": (*_ATTEMPT, "usd_per_hour", "at"),
    "MachineClosed": (*_ATTEMPT, "ended", "estimated"),
    "Use": ("booked", "owner", "ended", "estimated", "repriced"),
    "StoredBook": ("schema", "position", "owners", "uses", "reserved", "early"),
}
"""The fields of what a stored book of this schema consists of."""


def launched(name="fast", at=NOW - timedelta(hours=2), id_="d00000000fast"):
    return Story(name, id_=id_, at=at).planned(offer("r-1", "7.20")).asked()


def grown():
    """USD that a machine which runs has cost since NOW, with a minute for what is rounded and for the looks."""
    return HOURLY * Decimal((datetime.now(UTC) - NOW + timedelta(minutes=1)) / timedelta(hours=1))


def test_what_a_machine_costs_stands_in_the_ledger_with_its_events(redis):
    append(redis, told := launched().created())
    ledger = Ledger(redis)
    assert ledger.book().total(None, told.now + timedelta(hours=1)) == Decimal("7.20")
    append(redis, told.wait(minutes=30).gone("ended").ended())
    assert ledger.book().total(None, told.now + timedelta(hours=9)) == Decimal("3.60")
    assert Ledger(redis).book() == ledger.book()


def test_an_append_that_is_refused_books_nothing(redis):
    log = Log(redis)
    id_ = log.open(new_id(), requested("m"), "mxk_key", "t1")
    booked = redis.xlen(LEDGER)
    story = launched().created()
    assert not log.append(id_, Version(7), [story.events[-1]])
    with pytest.raises(NameTaken):
        log.open(new_id(), requested("m"), "mxk_key", "t2")
    log.open(new_id(), requested("m"), "mxk_key", "t1")  # Slack repeats the command
    assert log.append(id_, Version(1), [ScaleRequested(**log_module.stamp(NOW), replicas=2, by="U1")])
    assert redis.xlen(LEDGER) == booked == 1


def test_the_ledger_outlives_the_log(redis):
    append(redis, told := launched().created().wait(minutes=30).gone("ended").ended())
    redis.delete(f"mixtral:d:{told.id}")
    [use] = Ledger(redis).book().uses.values()
    assert use.owner.name == "fast"
    assert use.cost(None, NOW) == Decimal("3.60")


def test_what_an_earlier_version_did_not_book_is_booked_once(redis):
    append(redis, running := launched().created())
    append(redis, launched("done", id_="d00000000done").created().wait(minutes=30).gone("ended").ended())
    whole = Ledger(redis).book()
    redis.delete(LEDGER)
    assert Ledger(redis).complete(Log(redis), MONTH_AGO, NOW) == 5
    assert Ledger(redis).book() == whole
    assert Ledger(redis).complete(Log(redis), MONTH_AGO, NOW) == 0
    append(redis, running.wait(minutes=10).gone("ended"))
    assert len([use for use in Ledger(redis).book().uses.values() if use.ended]) == 2


def test_two_processes_that_complete_it_at_once_count_nothing_twice(redis):
    append(redis, launched().created())
    whole = Ledger(redis).book()
    entries = [fields[b"e"] for _, fields in redis.xrange(LEDGER)]
    for entry in entries:
        redis.xadd(LEDGER, {"e": entry})
    assert Ledger(redis).book() == whole == fold([], onto=whole)


def test_an_entry_of_a_newer_version_is_left_out(redis):
    append(redis, launched().created())
    redis.xadd(LEDGER, {"e": '{"type":"MachineTaxed"}'})
    redis.xadd(LEDGER, {"note": "written by hand"})
    assert len(Ledger(redis).book().uses) == 1


def ran(valkey_url, **options):
    out, err = io.StringIO(), io.StringIO()
    environ = {"REDIS_URL": valkey_url, "HOME": "/nonexistent"}
    status = ledger_command.run(environ, out, err, **{"since": None, "as_csv": False} | options)
    return status, out.getvalue(), err.getvalue()


def test_the_command_prints_the_sums_of_each_deployment_and_each_machine_as_csv(redis, valkey_url):
    append(redis, launched(at=NOW - timedelta(hours=50)).created().wait(hours=30).gone("ended").ended())
    append(redis, launched("other", at=NOW - timedelta(hours=1), id_="d0000000other").created())
    status, out, _ = ran(valkey_url)
    assert status == 0
    assert "216.00" in next(line for line in out.splitlines() if "fast" in line)
    everything = next(line.split() for line in out.splitlines() if line.strip().startswith("all"))
    assert Decimal("223.20") <= Decimal(everything[3]) < Decimal("223.20") + grown()
    rows = list(csv.DictReader(io.StringIO(ran(valkey_url, as_csv=True)[1])))
    assert [(row["name"], bool(row["ended"])) for row in rows] == [("fast", True), ("other", False)]
    assert rows[0]["usd"] == "216.00"
    assert Decimal("7.20") <= Decimal(rows[1]["usd"]) < Decimal("7.20") + grown()
    [late] = csv.DictReader(io.StringIO(ran(valkey_url, as_csv=True, since=NOW - timedelta(hours=2))[1]))
    assert late["name"] == "other"


def test_the_csv_has_the_last_price_and_sums_by_the_price_in_force(redis, valkey_url):
    append(redis, told := launched(at=NOW - timedelta(hours=50)).created().wait(hours=30).gone("ended").ended())
    [use] = Ledger(redis).book().uses.values()
    at = use.booked.began + timedelta(hours=20)
    entry = MachineRepriced(deployment=told.id, attempt=use.booked.attempt, usd_per_hour=Decimal("9.20"), at=at)
    Ledger(redis).reprice(entry)
    [row] = csv.DictReader(io.StringIO(ran(valkey_url, as_csv=True)[1]))
    assert (row["usd_per_hour"], row["usd"]) == ("9.20", "236.00")
    assert "236.00" in ran(valkey_url)[1]
    [late] = csv.DictReader(io.StringIO(ran(valkey_url, as_csv=True, since=at - timedelta(hours=1))[1]))
    assert late["usd"] == "99.20"


def test_the_command_names_machines_without_a_known_price(redis, valkey_url):
    append(redis, Story(id_="d00000000fast", at=NOW - timedelta(hours=2)).planned(offer("r-1", None)).asked().created())
    assert "1 machine is not counted, because the price is not known." in ran(valkey_url)[1]
    assert "not counted" not in ran(valkey_url, as_csv=True)[1]


def test_the_command_says_so_if_no_machine_was_used(redis, valkey_url):
    assert ran(valkey_url) == (0, "No machine was used.\n", "")


def test_of_deployments_that_had_the_same_name_each_is_booked(redis):
    for number in range(3):
        append(redis, launched(id_=f"d000000fast{number}").created().wait(minutes=30).gone("ended").ended())
    whole = Ledger(redis).book()
    redis.delete(LEDGER)
    assert Ledger(redis).complete(Log(redis), MONTH_AGO, NOW) == 9
    assert Ledger(redis).book() == whole


def test_what_was_read_before_redis_failed_is_not_lost(redis, monkeypatch):
    append(redis, told := launched().created())
    whole, ledger, xrange = Ledger(redis).book(), Ledger(redis), redis.xrange
    reads = iter([True, False])

    def fails_at_the_second(*args, **options):
        if next(reads, True):
            return xrange(*args, **options)
        raise RedisConnectionError

    monkeypatch.setattr(ledger_reader, "BATCH", 1)
    monkeypatch.setattr(redis, "xrange", fails_at_the_second)
    with pytest.raises(RedisConnectionError):
        ledger.book()
    assert ledger.book() == whole
    assert whole.total(None, told.now + timedelta(hours=1)) == Decimal("7.20")


def test_a_machine_whose_log_is_gone_costs_nothing_from_then_on(redis):
    append(redis, lost := launched().created())
    append(redis, launched("other", id_="d0000000other").created())
    redis.delete(f"mixtral:d:{lost.id}")
    assert Ledger(redis).complete(Log(redis), MONTH_AGO, NOW) == 1
    assert Ledger(redis).complete(Log(redis), MONTH_AGO, NOW + timedelta(days=1)) == 0
    ends = {use.owner.name: use.ended for use in Ledger(redis).book().uses.values()}
    assert ends == {"fast": NOW, "other": None}


class RacingLog(Log):
    """While this log is read, another worker intends a machine, and the cloud refuses it."""

    def __init__(self, redis, story):
        super().__init__(redis)
        self._client, self._story = redis, story

    def read(self, deployment, after=START):
        append(self._client, self._story.asked())
        events = super().read(deployment, after)
        append(self._client, self._story.refused())
        return events


def test_a_machine_that_is_refused_while_the_ledger_is_completed_stays_released(redis):
    append(redis, told := Story("fast", id_="d00000000fast", at=NOW).planned(offer("r-1", "7.20")))
    Ledger(redis).complete(RacingLog(redis, told), MONTH_AGO, NOW)
    assert not Ledger(redis).book().reserved


def test_the_counts_of_tokens_are_not_read_for_a_purchase_and_do_not_repeat_its_decision(redis):
    append(redis, told := launched().created())
    ledger = Ledger(redis)
    _, before = ledger.newest()
    ledger.count(counted(None, (told.id, 1), Tokens(1000, 20), NOW))
    book, newest = ledger.newest()
    assert (newest, book.counts) == (before, {})
    hour = timedelta(hours=1)
    assert Ledger(redis).book().tokens_of({told.id}, NOW - hour, NOW + hour) == Tokens(1000, 20)
    assert ledger.book() == Ledger(redis).book()


def test_a_machine_whose_deployment_ended_before_it_is_closed_by_the_cloud_s_time(redis):
    """Its cloud did not answer the call that ended it, and no worker looks at it any more."""
    append(redis, told := launched().created().wait(minutes=30).given_up("crashed").ended("it crashed"))
    [use] = Ledger(redis).book().uses.values()
    assert use.ended is None
    assert Ledger(redis).settle(told.id, 1, use.booked.machine, told.now)
    assert Ledger(redis).settle(told.id, 1, use.booked.machine, told.now)
    [closed] = Ledger(redis).book().uses.values()
    assert (closed.ended, closed.estimated) == (told.now, False)
    assert redis.xlen(LEDGER) == 4


def test_a_machine_that_no_list_shows_after_the_end_of_its_deployment_costs_nothing_after_its_lease(redis):
    """Its place did not answer until the machine had ended itself: nobody would tell its end for a month."""
    append(redis, told := launched().created().wait(minutes=30).given_up("crashed").ended("it crashed"))
    append(redis, launched("runs", id_="d0000000runs").created())
    expires = told.state.attempts[0].expires_at
    assert Ledger(redis).complete(Log(redis), NOW, expires + ENDED_ITSELF) == 0
    assert Ledger(redis).complete(Log(redis), NOW, expires + ENDED_ITSELF + timedelta(seconds=1)) == 1
    assert Ledger(redis).complete(Log(redis), NOW, expires + timedelta(days=2)) == 0
    uses = {use.owner.name: use for use in Ledger(redis).book().uses.values()}
    assert (uses["fast"].ended, uses["fast"].estimated, uses["runs"].ended) == (expires, True, None)
    assert Ledger(redis).settle(told.id, 1, uses["fast"].booked.machine, told.now)
    assert Ledger(redis).book().uses[told.id, 1].ended == told.now


def test_a_process_that_begins_reads_only_what_is_later_than_the_stored_book(redis, monkeypatch):
    monkeypatch.setattr(ledger_reader, "STORED_EVERY", 2)
    append(redis, told := launched().created())
    Ledger(redis, whole=True).store(NOW)
    append(redis, told.wait(minutes=30).gone("ended").ended())
    read, xrange = [], redis.xrange
    monkeypatch.setattr(redis, "xrange", lambda key, **asked: read.append((key, asked)) or xrange(key, **asked))
    ledger = Ledger(redis)
    book, newest = ledger.newest()
    assert (LEDGER, {"min": "-", "count": ledger_reader.BATCH}) not in read
    assert (book, newest) == Ledger(redis, whole=True).newest()
    assert ledger.book() == Ledger(redis, whole=True).book()


def test_a_purchase_does_not_read_the_machines_that_ended_long_ago(redis, monkeypatch):
    """A year of spot machines is tens of megabytes, which each purchase under a budget would read and decode."""
    monkeypatch.setattr(ledger_reader, "STORED_EVERY", 2)
    for number in range(100):
        old = Story(f"old-{number}", id_=f"d{number:08}0old", at=NOW - timedelta(days=100))
        append(redis, old.planned(offer("r-1", "7.20")).asked().created().gone("ended").ended())
    append(redis, told := launched().created())
    Ledger(redis, whole=True).store(NOW)
    assert redis.strlen(RECENT) < redis.strlen(BOOK) / 2
    purchases = PurchaseBudgets(redis)
    book, newest = purchases._ledger.newest()
    whole, same = Ledger(redis, whole=True).newest()
    assert (list(book.uses), newest) == ([(told.id, 1)], same)
    assert len(whole.uses) == 101
    assert book.total(NOW - timedelta(days=62), NOW) == whole.total(NOW - timedelta(days=62), NOW)
    append(redis, old.asked().created())
    assert purchases._ledger.newest()[0].uses[old.id, 2].owner == whole.owners[old.id]


def test_a_recent_book_is_not_used_after_an_earlier_version_has_stored_the_whole_one(redis, monkeypatch):
    """It knows no recent book, and removes reservations that were released since then."""
    monkeypatch.setattr(ledger_reader, "STORED_EVERY", 2)
    append(redis, told := launched())
    append(redis, launched("other", id_="d0000000other").created())
    Ledger(redis, whole=True).store(NOW)
    stale = redis.get(RECENT)
    append(redis, told.refused())
    append(redis, launched("third", id_="d0000000third").created())
    Ledger(redis, whole=True).store(NOW)
    redis.set(RECENT, stale)
    book, newest = Ledger(redis, recent=True).newest()
    assert (book.reserved, newest) == ({}, Ledger(redis, whole=True).newest()[1])


@pytest.mark.parametrize("stored", [b"no book", b'{"schema": 99}', None])
def test_a_stored_book_that_cannot_be_read_or_is_not_of_this_ledger_is_not_used(redis, stored):
    append(redis, told := launched().created())
    Ledger(redis, whole=True).store(NOW)
    if stored is None:  # an older copy of Redis was restored, without its newest entry
        redis.xdel(LEDGER, redis.xrevrange(LEDGER, count=1)[0][0])
    else:
        redis.mset({BOOK: stored, RECENT: stored})
    assert Ledger(redis, recent=True).newest() == Ledger(redis).newest() == Ledger(redis, whole=True).newest()
    assert told.state is not None


@pytest.mark.parametrize("stream", [LEDGER, TOKENS])
def test_what_a_restored_redis_lacks_is_forgotten_also_if_its_ledger_has_grown_before_the_next_look(redis, stream):
    """Else a machine that no log contains would use the budgets for ever, and the stored book would pass it on."""
    append(redis, told := launched().created())
    ledger = Ledger(redis, whole=True)
    ledger.count(counted(None, (told.id, 1), Tokens(10, 2), NOW))
    backup = redis.dump(stream)
    append(redis, launched("other", id_="d0000000other").created())
    ledger.count(counted(None, (told.id, 1), Tokens(1000, 20), NOW))
    ledger.book()
    redis.restore(stream, 0, backup, replace=True)
    append(redis, launched("later", id_="d0000000later"))
    ledger.count(counted(None, (told.id, 2), Tokens(7, 1), NOW))
    assert ledger.book() == Ledger(redis, whole=True).book()


def test_offers_that_are_refused_again_and_again_do_not_make_the_ledger_grow(redis, monkeypatch):
    """A ladder that is dry for a year is asked more than a million times, and no machine exists."""
    monkeypatch.setattr(ledger_reader, "STORED_EVERY", 20)
    append(redis, told := launched().created())
    sweeper, follower, lengths = Ledger(redis, whole=True), Ledger(redis), []
    for _ in range(20):
        for _ in range(10):
            told.asked().refused()
        append(redis, told.asked())
        told.given_up("its cloud gave no answer").gone("its cloud gave no answer")
        append(redis, told)
        sweeper.store(NOW)
        assert sweeper.complete(Log(redis), MONTH_AGO, NOW) == 0
        lengths.append(redis.xlen(LEDGER))
        assert sweeper.newest() == follower.newest() == Ledger(redis, whole=True).newest() == Ledger(redis).newest()
    assert max(lengths) <= 50
    assert [use.booked.attempt for use in sweeper.book().uses.values()] == [1]
    append(redis, told.asked())
    assert len(follower.book().reserved) == len(Ledger(redis, whole=True).book().reserved) == 1
    append(redis, told.created())
    assert len(follower.book().uses) == len(Ledger(redis).book().uses) == 2


def test_who_has_read_a_reservation_learns_that_it_was_released_also_if_the_release_is_removed(redis, monkeypatch):
    """Else the bot and each worker that had looked at that moment would reserve its price until they are restarted."""
    monkeypatch.setattr(ledger_reader, "STORED_EVERY", 3)
    append(redis, told := launched())
    append(redis, Story("other", id_="d0000000other", at=NOW).planned(offer("r-1", "7.20")))  # stays, and is newest
    sweeper, follower = Ledger(redis, whole=True), Ledger(redis)
    assert len(follower.book().reserved) == 1
    append(redis, told.refused().asked().created())
    sweeper.store(NOW)
    assert follower.newest() == Ledger(redis).newest() == sweeper.newest()
    assert not follower.book().reserved


def test_a_release_that_is_newer_than_the_stored_book_is_not_removed(redis, monkeypatch):
    append(redis, told := launched())
    append(redis, Story("other", id_="d0000000other", at=NOW).planned(offer("r-1", "7.20")))
    sweeper, encoded = Ledger(redis, whole=True), stored_book.encoded

    def slowly(book, position):
        append(redis, told.refused().asked().created())
        sweeper.book()  # by another thread
        return encoded(book, position)

    monkeypatch.setattr(stored_book, "encoded", slowly)
    sweeper.store(NOW)
    assert not Ledger(redis).book().reserved


def test_a_field_that_is_new_in_the_stored_book_raises_its_schema():
    """A sweeper of an earlier version stores the book without the field, and this version would read it so."""
    fields = {kind.__name__: kind.__struct_fields__ for kind in (*get_args(LedgerEntry), Use, StoredBook)}
    del fields["TokensCounted"]  # a book is stored without tokens
    assert (BOOK_SCHEMA, fields) == (2, STORED)


def test_the_ledger_of_a_shortened_log_lacks_nothing(redis, monkeypatch):
    monkeypatch.setattr(snapshot, "SNAPSHOT_AFTER", 1)
    monkeypatch.setattr(snapshot, "EVENTS_PER_ATTEMPT", 0)
    append(redis, told := launched().created())
    log = Log(redis)
    before = Ledger(redis).book()
    [made] = [snapshot.snapshot_of(told.id, log.read(told.id), EventId("5" * 16), NOW)]
    assert log.shorten(told.id, log.version(told.id), made)
    assert Ledger(redis, whole=True).complete(log, MONTH_AGO, NOW) == 0
    assert Ledger(redis).book() == before
    redis.delete(LEDGER)  # an earlier version booked nothing
    assert Ledger(redis, whole=True).complete(log, MONTH_AGO, NOW) == 2
    [use] = Ledger(redis).book().uses.values()
    assert (use.booked.machine, use.owner.name) == (told.state.attempts[0].machine.id, "fast")
