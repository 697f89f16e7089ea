"""What the workspace keeps, counts and shows."""

import pytest

from bot.sandbox import seed, workspace
from bot.sandbox.feed import Feed
from bot.sandbox.workspace import Message, Workspace


@pytest.fixture
def space():
    return Workspace(Feed())


def said(space, text, **fields):
    return space.add(Message(channel=seed.MIXTRAL, ts=space.new_ts(), user=seed.ROBIN, text=text, **fields))


def test_timestamps_only_grow_even_when_the_clock_stands_still():
    space = Workspace(Feed(), clock=lambda: 1700000000.25)
    assert [space.new_ts() for _ in range(3)] == [
        "1700000000.250000",
        "1700000000.250001",
        "1700000000.250002",
    ]


def test_a_root_counts_its_replies_and_who_wrote_them(space):
    root = said(space, "root")
    reply = said(space, "one", thread_ts=root.ts)
    said(space, "two", thread_ts=root.ts)
    assert (root.reply_count, root.reply_users, root.thread_ts) == (2, [seed.ROBIN], root.ts)
    space.remove(reply)
    assert root.reply_count == 1


def test_a_channel_forgets_its_oldest_messages(space, monkeypatch):
    monkeypatch.setattr(workspace, "MESSAGES_KEPT", 3)
    kept = [said(space, str(n)).text for n in range(5)]
    assert [m.text for m in space.messages(seed.MIXTRAL)] == kept[-3:]


def test_the_page_sees_ephemerals_in_their_place_and_the_api_never(space):
    first, whisper = said(space, "a"), said(space, "psst", ephemeral_to=seed.ADA)
    last = said(space, "b")
    seen = space.snapshot()["messages"][seed.MIXTRAL]
    assert [m["ts"] for m in seen] == [first.ts, whisper.ts, last.ts]
    assert [m.ts for m in space.messages(seed.MIXTRAL)] == [first.ts, last.ts]
    assert space.ephemeral(seed.MIXTRAL, whisper.ts) is whisper


def test_metadata_is_told_only_to_who_asks(space):
    message = said(space, "a", metadata={"event_type": "card", "event_payload": {}})
    assert "metadata" not in message.for_api()
    assert message.for_api(with_metadata=True)["metadata"]["event_type"] == "card"


def test_channels_go_by_id_by_name_and_by_person(space):
    assert space.channel_named("#mixtral") == space.channel_named(seed.MIXTRAL)
    assert space.channel_named(seed.ADA).id == seed.DM_ADA
    assert space.channel_named("nowhere") is None
    assert space.channel_named(seed.BOT_USER) is None


def test_a_status_goes_with_an_empty_text(space):
    space.set_status("C1", "1.1", "is thinking…")
    assert space.snapshot()["statuses"] == {"C1:1.1": "is thinking…"}
    space.set_status("C1", "1.1", "")
    assert space.snapshot()["statuses"] == {}


def test_the_app_joins_a_channel(space):
    joined = space.join(space.channels[seed.RANDOM], seed.BOT_USER)
    assert seed.BOT_USER in joined.members
    assert space.feed.after(space.feed.cursor - 1)[0]["channel"]["id"] == seed.RANDOM


def test_the_company_contains_the_demo_s_people_and_channels_and_further_ones():
    company = Workspace(Feed(), contents=seed.COMPANY)
    assert set(Workspace(Feed()).users) < set(company.users)
    assert set(Workspace(Feed()).channels) < set(company.channels)
    for channel in company.channels.values():
        assert set(channel.members) <= set(company.users)
    assert seed.NOOR not in company.channels[seed.OPS].members
    assert company.dm_of(seed.ROBIN).id == seed.DM_ROBIN, "not the direct message with Ada"


def test_the_page_shows_a_group_as_a_direct_message_that_is_not_the_app_s():
    shown = {c["id"]: c for c in Workspace(Feed(), contents=seed.COMPANY).snapshot()["channels"]}
    assert (shown[seed.GROUP]["kind"], shown[seed.GROUP]["is_bot_im"]) == ("im", False)
    assert (shown[seed.OPS]["kind"], shown[seed.PAIR]["is_bot_im"]) == ("channel", False)
