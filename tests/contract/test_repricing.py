"""After a refresh of the prices in Redis, the ledger has the new price of what runs, once."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.unit.workers.decision.test_price_change import BOOKED, ENTRY, HOUR, NEW, NOW, ROW
from workers.control.repricing import LOOK_EVERY, Repricing
from workers.deployment.ledger import LEDGER, encode
from workers.deployment.ledger_reader import Ledger
from workers.placement import prices, shared_prices
from workers.placement.shared_prices import SharedPrices

MINUTE = timedelta(minutes=1)


@pytest.fixture
def booked(redis):
    redis.xadd(LEDGER, {"e": encode(BOOKED)})


def refreshed(redis, price, at):
    row = replace(ROW, spot=price, spot_read_on=at.date().isoformat())
    shared_prices.store(redis, SharedPrices(table=prices.as_csv([row]), tried_at=at))


def use(redis):
    [found] = Ledger(redis).book().uses.values()
    return found


def test_each_refresh_is_booked_once_also_by_the_next_sweeper(redis, booked):
    first, second = (Repricing(redis, Ledger(redis), {}) for _ in range(2))
    refreshed(redis, NEW, NOW)
    for sweeper in (first, second):
        for minute in range(3):
            sweeper.look((), NOW + minute * LOOK_EVERY)
    assert use(redis).repriced == (ENTRY,)
    assert redis.xlen(LEDGER) == 2
    refreshed(redis, NEW + 1, NOW + HOUR)
    first.look((), NOW + HOUR)
    assert use(redis).usd_per_hour == NEW + 1
    assert use(redis).cost(NOW, NOW + 2 * HOUR) == NEW * 2 + 1


def test_without_sound_prices_nothing_changes_and_nothing_is_raised(redis, booked, caplog):
    look = iter(NOW + minute * MINUTE for minute in range(9))
    repricing = Repricing(redis, Ledger(redis), {})
    repricing.look((), next(look))
    for raw in (
        "{",
        '{"form":99,"tried_at":"2026-11-29T12:00:00Z","table":"x"}',
        '{"tried_at":"2026-11-29T12:00:00Z"}',
    ):
        redis.set(shared_prices.KEY, raw)
        repricing.look((), next(look))
    redis.delete(shared_prices.KEY)
    redis.lpush(shared_prices.KEY, "of another type")
    repricing.look((), next(look))
    assert "cannot be compared" in caplog.text
    redis.delete(shared_prices.KEY)
    refreshed(redis, Decimal("0.0001") + NEW, NOW + HOUR)
    repricing.look((), next(look))  # a refresh of the future, by our clock
    assert use(redis).repriced == ()


def test_an_operator_s_own_table_is_not_compared(redis, booked):
    refreshed(redis, NEW, NOW)
    Repricing(redis, Ledger(redis), {"MIXTRAL_PRICES": "/prices.csv"}).look((), NOW)
    assert use(redis).repriced == ()
