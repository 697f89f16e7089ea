"""The record of launches on a real Valkey."""

from bot.cards.launch_record import KEPT, LAUNCHES, LaunchRecord
from tests.builders.story import Story


def launched(number, seconds=5):
    return Story(id_=f"d{number:012}").planned().asked().created().wait(seconds).ready().state


def looking():
    return Story(id_="dnew").planned().asked().state


def test_launches_are_counted_once_also_by_the_next_follower_and_only_the_newest_are_kept(redis):
    record = LaunchRecord(redis)
    for _ in range(2):
        for number in range(3):
            record.note(launched(number))
            LaunchRecord(redis).note(launched(number))
    record.note(looking())
    assert record.usual(looking()) == "Usually ready 5 s after a machine is found (3 launches)."
    for number in range(3, 60):
        record.note(launched(number, seconds=9))
    assert record.usual(looking()) == f"Usually ready 9 s after a machine is found ({KEPT} launches)."
    assert record.usual(launched(1)) == ""


def test_nothing_is_kept_of_a_deployment_whose_log_has_expired(redis):
    record = LaunchRecord(redis)
    record.note(launched(1))
    record.forget(launched(1).id)
    assert record._noted == set()


def test_a_record_that_cannot_be_read_is_begun_anew(redis):
    redis.hset(LAUNCHES, "smollm2-135m", b"{")
    record = LaunchRecord(redis)
    assert record.usual(looking()) == ""
    record.note(launched(1))
    assert redis.hget(LAUNCHES, "smollm2-135m").startswith(b"[")
