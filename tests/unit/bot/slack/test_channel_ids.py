"""A channel whose id Slack changes: the bot stores the first id, and calls Slack with the current one."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bot.slack.channel_ids import READ_EVERY, ChannelIds


@pytest.fixture
def ids(redis):
    return ChannelIds(redis)


def test_an_id_that_did_not_change_stands_for_itself(ids):
    assert ids.current("C1") == ids.first("C1") == "C1"


def test_after_two_changes_the_first_id_and_the_last_one_are_translated(ids):
    ids.changed("G1", "C2")
    ids.changed("C2", "C3")
    assert ids.current("G1") == "C3"
    assert ids.first("C3") == "G1"


def test_another_process_learns_of_a_change(redis, ids):
    now = [0.0]
    other = ChannelIds(redis, lambda: now[0])
    assert other.current("G1") == "G1"
    ids.changed("G1", "C2")
    now[0] += READ_EVERY
    assert other.current("G1") == "C2"


def test_what_slack_sends_has_the_first_id_inside(ids):
    ids.changed("G1", "C2")
    bodies = [
        {"command": "/mixtral", "channel_id": "C2"},
        {"type": "block_actions", "channel": {"id": "C2"}, "container": {"channel_id": "C2"}},
        {"type": "event_callback", "event": {"type": "message", "channel": "C2"}},
        {"type": "event_callback", "event": {"type": "channel_created", "channel": {"id": "C9"}}},
        {"type": "view_submission", "view": {}},
    ]
    for body in bodies:
        ids.translate(body)
    assert "C2" not in str(bodies)
    assert str(bodies).count("G1") == 4


def test_without_redis_the_last_known_ids_are_used(ids, monkeypatch):
    ids.changed("G1", "C2")
    assert ids.current("G1") == "C2"

    def away(_):
        raise RedisConnectionError

    monkeypatch.setattr(ids._redis, "hgetall", away)
    monkeypatch.setattr(ids, "_clock", lambda: float("inf"))
    assert ids.current("G1") == "C2"
