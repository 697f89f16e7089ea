"""The refusals of each method by the kind and the state of a channel."""

import pytest

from bot.sandbox import seed
from bot.sandbox.methods.channel_objects import channel_object, listed_object
from tests.person import ADA, GENERAL, MIXTRAL, NOOR, ROBIN, Person

CHANNELS = {channel.id: channel for channel in seed.COMPANY.channels}
HIDDEN = "C0HIDDEN001"


def post(app, channel, **more):
    return app.error("chat.postMessage", channel=channel, text="hello", **more)


@pytest.mark.parametrize("channel", [seed.OPS, seed.ACME, seed.GROUP, seed.DM_ADA])
def test_the_app_posts_where_it_is_a_member(app, channel):
    assert post(app, channel) == "ok"


def test_a_direct_message_of_two_people_does_not_exist_for_the_app(app):
    for method in ("conversations.info", "conversations.history", "conversations.members", "conversations.open"):
        assert app.error(method, channel=seed.PAIR) == "channel_not_found"
    assert post(app, seed.PAIR) == "channel_not_found"
    listed = app.call("conversations.list", types="im,mpim,private_channel")["channels"]
    assert seed.PAIR not in {c["id"] for c in listed}


def test_a_private_channel_that_the_app_left_is_not_found(app, robin):
    assert seed.OPS in {c["id"] for c in app.call("conversations.list", types="private_channel")["channels"]}
    robin.administer("channel", channel=seed.OPS, members=[ROBIN, ADA])
    assert app.error("conversations.info", channel=seed.OPS) == "channel_not_found"
    assert post(app, seed.OPS) == "channel_not_found"
    assert app.call("conversations.list", types="private_channel")["channels"] == []
    robin.administer("channel", channel=GENERAL, members=[ROBIN])
    assert post(app, GENERAL) == "not_in_channel", "a public channel can be seen"


def test_an_archived_channel_refuses_each_method_in_its_own_words(app, robin):
    card = app.call("chat.postMessage", channel=MIXTRAL, text="card")["ts"]
    stream = app.call(
        "chat.startStream",
        channel=MIXTRAL,
        thread_ts=card,
        recipient_user_id=ROBIN,
        recipient_team_id=seed.TEAM_ID,
        markdown_text="one",
    )["ts"]
    robin.administer("channel", channel=MIXTRAL, is_archived=True)
    assert post(app, MIXTRAL) == "is_archived"
    assert app.error("chat.postEphemeral", channel=MIXTRAL, user=ROBIN, text="x") == "is_archived"
    assert app.error("chat.update", channel=MIXTRAL, ts=card, text="x") == "is_inactive"
    assert app.error("chat.appendStream", channel=MIXTRAL, ts=stream, markdown_text="x") == "is_archived"
    robin.administer("scope", scope="channels:join", granted=True)
    assert app.error("conversations.join", channel=MIXTRAL) == "is_archived"
    assert app.error("conversations.history", channel=MIXTRAL) == "ok"
    assert app.call("conversations.info", channel=MIXTRAL)["channel"]["is_archived"]
    listed = app.call("conversations.list", exclude_archived=True)["channels"]
    assert not {MIXTRAL, seed.OLD} & {c["id"] for c in listed}


def test_in_a_read_only_channel_the_app_cannot_write(app):
    assert post(app, seed.NEWS) == "restricted_action_read_only_channel"
    assert app.error("chat.postEphemeral", channel=seed.NEWS, user=ROBIN, text="x") == "restricted_action"


def test_a_thread_only_channel_takes_replies_alone_and_a_non_threadable_one_none(app, robin):
    root = robin.say(seed.THREADS, "a topic")
    assert post(app, seed.THREADS) == "restricted_action_thread_only_channel"
    assert post(app, seed.THREADS, thread_ts=root) == "ok"
    robin.administer("channel", channel=seed.THREADS, is_thread_only=False, is_non_threadable=True)
    assert post(app, seed.THREADS) == "ok"
    assert post(app, seed.THREADS, thread_ts=root) == "restricted_action_non_threadable_channel"


def test_a_locked_thread_takes_no_reply(app, robin):
    root = robin.say(MIXTRAL, "a topic")
    robin.administer("thread", channel=MIXTRAL, ts=root, locked=True)
    assert post(app, MIXTRAL, thread_ts=root) == "restricted_action_thread_locked"
    assert post(app, MIXTRAL) == "ok"
    robin.administer("thread", channel=MIXTRAL, ts=root, locked=False)
    assert post(app, MIXTRAL, thread_ts=root) == "ok"


def test_an_edit_window_closes(app, robin):
    card = app.call("chat.postMessage", channel=MIXTRAL, text="card")["ts"]
    robin.administer("policy", edit_window=3600)
    assert app.error("chat.update", channel=MIXTRAL, ts=card, text="x") == "ok"
    robin.administer("policy", edit_window=0)
    assert app.error("chat.update", channel=MIXTRAL, ts=card, text="x") == "edit_window_closed"


def test_without_its_messages_tab_the_app_cannot_post_direct_messages(app, robin):
    robin.administer("policy", messages_tab=False)
    assert post(app, seed.DM_ADA) == "messages_tab_disabled"
    assert post(app, MIXTRAL) == "ok"


def test_a_channel_with_a_new_id_is_not_found_under_the_old_one(app, robin):
    card = app.call("chat.postMessage", channel=MIXTRAL, text="card")["ts"]
    robin.administer("move", channel=MIXTRAL, to="C0MOVED0001")
    assert app.error("chat.update", channel=MIXTRAL, ts=card, text="x") == "channel_not_found"
    assert app.error("chat.update", channel="C0MOVED0001", ts=card, text="x") == "ok"
    assert robin.messages("C0MOVED0001")[0]["text"] == "x"


def test_only_posts_go_to_a_channel_by_its_name(app):
    posted = app.call("chat.postMessage", channel="#mixtral", text="card")
    assert posted["channel"] == MIXTRAL
    assert app.error("chat.update", channel="#mixtral", ts=posted["ts"], text="x") == "channel_not_found"
    assert app.error("conversations.info", channel="mixtral") == "channel_not_found"


def test_an_ephemeral_message_reaches_members_who_are_online(app, company, robin):
    assert app.error("chat.postEphemeral", channel=seed.OPS, user=NOOR, text="x") == "user_not_in_channel"
    robin.administer("presence", user=ADA, online=False)
    assert app.error("chat.postEphemeral", channel=seed.OPS, user=ADA, text="while away") == "ok"
    robin.administer("presence", user=ADA, online=True)
    with Person(company.url, ADA) as ada:
        assert ada.ephemerals() == []
        assert app.error("chat.postEphemeral", channel=seed.OPS, user=ADA, text="here") == "ok"
        assert [m["text"] for m in ada.ephemerals()] == ["here"]


def test_a_direct_message_has_neither_a_name_nor_a_membership():
    told = channel_object(CHANNELS[seed.DM_ADA])
    assert (told["is_im"], told["user"]) == (True, ADA)
    assert not {"name", "is_member", "is_channel", "num_members"} & set(told)


@pytest.mark.parametrize(
    ("channel", "flags"),
    [
        (MIXTRAL, {"is_channel", "is_member", "is_shared", "is_org_shared"}),
        (seed.RANDOM, {"is_channel"}),
        (seed.OPS, {"is_channel", "is_private", "is_member"}),
        (seed.GROUP, {"is_group", "is_mpim", "is_private", "is_member"}),
        (seed.ACME, {"is_channel", "is_member", "is_shared", "is_ext_shared"}),
        (seed.OLD, {"is_channel", "is_member", "is_archived"}),
        (seed.NEWS, {"is_channel", "is_member", "is_read_only"}),
        (seed.THREADS, {"is_channel", "is_member", "is_thread_only"}),
    ],
)
def test_a_channel_says_what_it_is(channel, flags):
    told = channel_object(CHANNELS[channel])
    assert {name for name, value in told.items() if value is True} == flags


def test_a_shared_channel_names_the_teams_that_share_it():
    told = channel_object(CHANNELS[seed.ACME])
    assert told["connected_team_ids"] == [seed.ACME_TEAM]
    assert told["shared_team_ids"] == [seed.TEAM_ID, seed.ACME_TEAM]
    assert "connected_team_ids" not in channel_object(CHANNELS[seed.MIXTRAL])


def test_a_list_does_not_tell_what_restricts_a_channel_and_who_is_connected():
    for channel, told in ((seed.NEWS, "is_read_only"), (seed.ACME, "connected_team_ids"), (seed.DM_ADA, "is_open")):
        assert told in channel_object(CHANNELS[channel])
        assert told not in listed_object(CHANNELS[channel])


def test_the_number_of_members_comes_on_request(app):
    assert "num_members" not in app.call("conversations.info", channel=MIXTRAL)["channel"]
    assert app.call("conversations.info", channel=MIXTRAL, include_num_members=True)["channel"]["num_members"] == 6


def test_people_write_where_they_may(company, robin):
    assert robin.post("/page/send", channel=seed.OLD, text="hello")["error"] == "is_archived"
    topic = robin.say(seed.THREADS, "an administrator's topic")
    assert robin.say(seed.NEWS, "an administrator's news")
    with Person(company.url, ADA) as ada:
        assert ada.post("/page/send", channel=seed.NEWS, text="x")["error"] == "restricted_action_read_only_channel"
        assert (
            ada.post("/page/send", channel=seed.THREADS, text="x")["error"] == "restricted_action_thread_only_channel"
        )
        assert ada.say(seed.THREADS, "a reply", topic)


def test_an_administrator_cannot_change_what_does_not_exist(robin):
    for what, how in (("channel", {"channel": HIDDEN}), ("thread", {"channel": MIXTRAL, "ts": "1.1", "locked": True})):
        assert robin.post(f"/sandbox/{what}", **how)["error"].startswith("there is no")
