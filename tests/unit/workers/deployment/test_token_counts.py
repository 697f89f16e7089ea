"""Tokens by the engines' counters: over restarts of engines and of sweepers, and repeated entries."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workers.deployment.events import DeploymentId
from workers.deployment.ledger import decode, encode, fold
from workers.deployment.token_counts import Tokens, counted

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
REPLICA = DeploymentId("d-fast"), 1
HOUR = timedelta(hours=1)


@given(st.lists(st.tuples(st.sampled_from(["works", "restarts", "repeats"]), st.integers(1, 10**9)), max_size=30))
def test_whatever_restarts_all_tokens_that_were_read_are_counted_once(deeds):
    engine, truth, entries, now = Tokens(), Tokens(), [], NOON
    for deed, number in deeds:
        now += timedelta(minutes=17)
        if deed == "restarts":
            engine = Tokens()
        if deed == "repeats" and entries:
            entries.append(entries[-1])
            continue
        # An engine that restarts and has worked more than before its restart cannot be told from one that did not.
        engine = Tokens(engine.prompt + number, engine.generated + 1) if deed == "works" else engine
        truth = Tokens(truth.prompt + number, truth.generated + 1) if deed == "works" else truth
        last = fold(entries).counts.get(REPLICA)  # as a new sweeper finds it
        entries.append(decode(encode(counted(last, REPLICA, engine, now))))
    book = fold(entries)
    expected = truth if entries else None
    assert book.tokens_of({REPLICA[0]}, NOON, now + HOUR) == expected
    assert book.tokens_of({DeploymentId("another")}, NOON, now + HOUR) is None


def test_tokens_count_in_the_hour_in_which_they_were_read():
    first = counted(None, REPLICA, Tokens(100, 10), NOON)
    second = counted(first, REPLICA, Tokens(300, 30), NOON + HOUR)
    book = fold([first, second])
    assert book.tokens_of({REPLICA[0]}, NOON, NOON + HOUR) == Tokens(100, 10)
    assert book.tokens_of({REPLICA[0]}, NOON + HOUR, NOON + 2 * HOUR) == Tokens(200, 20)
