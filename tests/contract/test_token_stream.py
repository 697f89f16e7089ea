"""The counts of tokens on a real Valkey: the stream keeps some weeks, and its readers learn the same as before."""

from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import WatchError

from tests.builders.story import Story
from tests.contract.test_control_loop import Loop
from workers.deployment import token_stream
from workers.deployment.ledger import TOKENS, decode, encode
from workers.deployment.ledger_reader import Ledger
from workers.deployment.token_counts import Tokens, counted
from workers.deployment.token_stream import EARLIER, KEPT, TokenStream

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH = NOW - timedelta(days=31)
ID = Story("fast").id


class Counting:
    """Books what the engines of replicas report, at any time."""

    def __init__(self, redis):
        self.redis = redis
        self.last = {}

    def works(self, attempt, tokens, at):
        replica = ID, attempt
        total = (self.last[replica].generated if replica in self.last else 0) + tokens
        self.last[replica] = count = counted(self.last.get(replica), replica, Tokens(10 * total, total), at)
        self.redis.xadd(TOKENS, {"e": encode(count)}, id=f"{int(at.timestamp() * 1000)}-{attempt}")


@pytest.fixture
def counting(redis):
    found = Counting(redis)
    for days in range(100, -1, -1):
        at = NOW - timedelta(days=days)
        found.works(1, 5, at)
        if days > 50 or days < 10:  # pauses across the end of what is kept
            found.works(2, 7, at)
        if days > 60:  # is gone
            found.works(3, 11, at)
    return found


def month(ledger):
    return ledger.book().tokens_of({ID}, MONTH, NOW + timedelta(hours=1))


def test_a_reader_that_begins_after_a_trim_learns_what_one_learned_before(redis, counting):
    before = Ledger(redis)
    book = before.book()
    assert month(before).generated == 32 * 5 + 10 * 7
    assert TokenStream(redis).trim(NOW - KEPT) == 60 + 50 + 40
    after = Ledger(redis)
    assert after.book().counts == book.counts == counting.last
    assert month(after) == month(before)


def test_what_is_kept_grows_with_the_replicas_and_not_with_the_time(redis, counting):
    stream = TokenStream(redis)
    stream.trim(NOW - KEPT)
    sizes = redis.xlen(TOKENS), redis.hlen(EARLIER)
    assert sizes == (41 + 10, 3)
    for days in range(1, 101):
        counting.works(1, 5, NOW + timedelta(days=days))
        stream.trim(NOW + timedelta(days=days) - KEPT)
    assert (redis.xlen(TOKENS), redis.hlen(EARLIER)) == (41, 3)
    assert Ledger(redis).book().counts == counting.last


def test_a_reader_that_has_read_before_goes_on_after_a_trim(redis, counting):
    ledger = Ledger(redis)
    ledger.book()
    TokenStream(redis).trim(NOW - KEPT)
    counting.works(2, 100, NOW + timedelta(minutes=1))
    assert month(ledger) == month(Ledger(redis))
    assert ledger.book().counts == counting.last


def test_a_reader_whose_newest_entry_was_removed_begins_again(redis, counting):
    ledger = Ledger(redis)
    ledger.book()
    TokenStream(redis).trim(NOW + timedelta(days=1))
    assert redis.xlen(TOKENS) == 0
    assert ledger.book().counts == counting.last
    counting.works(3, 1, NOW + timedelta(days=2))
    assert ledger.book().counts == counting.last


def test_what_was_counted_before_the_stream_is_read_once_also_if_the_stream_is_empty(redis, counting, monkeypatch):
    TokenStream(redis).trim(NOW + timedelta(days=1))
    ledger, reads, hvals = Ledger(redis), [], redis.hvals
    monkeypatch.setattr(redis, "hvals", lambda key: reads.append(key) or hvals(key))
    for _ in range(3):
        assert ledger.book().counts == counting.last
    assert len(reads) == 1


def test_a_reader_that_runs_for_months_forgets_the_hours_that_the_stream_keeps_no_longer(redis, counting):
    ledger = Ledger(redis)
    for days in range(1, 101):
        counting.works(1, 5, NOW + timedelta(days=days))
        TokenStream(redis).trim(NOW + timedelta(days=days) - KEPT)
        hours = len(ledger.book().tokens)
        assert hours <= KEPT.days + 2
    assert ledger.book().tokens == Ledger(redis).book().tokens
    assert ledger.book().counts == counting.last


def test_several_batches_keep_the_last_count(redis, counting, monkeypatch):
    monkeypatch.setattr(token_stream, "BATCH", 7)
    TokenStream(redis).trim(NOW - KEPT)
    assert Ledger(redis).book().counts == counting.last
    assert month(Ledger(redis)).generated == 32 * 5 + 10 * 7


def test_of_two_sweepers_that_trim_at_once_none_brings_an_older_count_back(redis, counting, monkeypatch):
    """The lease was lost between a look and its removal."""
    monkeypatch.setattr(token_stream, "BATCH", 7)
    ours = TokenStream(redis)

    def slowly(entry):
        monkeypatch.setattr(token_stream, "decode", decode)
        TokenStream(redis).trim(NOW - KEPT)
        return decode(entry)

    monkeypatch.setattr(token_stream, "decode", slowly)
    with pytest.raises(WatchError):
        ours.trim(NOW - KEPT)
    assert Ledger(redis).book().counts == counting.last
    assert month(Ledger(redis)).generated == 32 * 5 + 10 * 7


def test_what_this_version_cannot_read_is_removed_with_the_rest(redis, counting):
    redis.xadd(TOKENS, {"e": b'{"type":"CountedByANewerVersion"}'}, id=f"{int(NOW.timestamp() * 1000)}-9")
    redis.hset(EARLIER, "d 9", b"{}")
    TokenStream(redis).trim(NOW + timedelta(days=1))
    assert Ledger(redis).book().counts == counting.last


def test_the_sweeper_trims_it_and_books_a_replica_that_was_idle_for_longer(redis, monkeypatch):
    loop = Loop(redis, monkeypatch)
    old = loop.now - KEPT - timedelta(days=1)
    counting = Counting(redis)
    counting.works(1, 1000, old)
    loop.sweeper.trim()
    assert redis.xlen(TOKENS) == 0
    assert Ledger(redis).book().counts == counting.last
