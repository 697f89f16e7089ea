"""Uploaded files and forwarded messages have Slack's shapes, and the file host is as strict as Slack's."""

import httpx
import pytest

from bot.prompting.attached import has_attachments
from bot.sandbox import seed
from bot.sandbox.events import app_mention_event, message_event
from bot.sandbox.files import LOGIN
from bot.sandbox.workspace import Message
from tests.person import MIXTRAL

LOG = {"name": "a.log", "content": b"one\ntwo"}


@pytest.fixture
def fetch():
    def get(url, token=seed.BOT_TOKEN):
        return httpx.get(url, headers={"authorization": f"Bearer {token}"}, trust_env=False)

    return get


def uploaded(app, ts):
    [message] = app.call("conversations.replies", channel=MIXTRAL, ts=ts)["messages"]
    return message


def test_a_message_with_a_file_has_the_subtype_and_the_file(app, robin, fetch):
    message = uploaded(app, robin.upload(MIXTRAL, LOG, text="Look"))
    assert (message["subtype"], message["upload"], message["text"]) == ("file_share", False, "Look")
    assert "team" not in message
    [file] = message["files"]
    assert (file["name"], file["mimetype"], file["filetype"], file["size"]) == ("a.log", "text/plain", "text", 7)
    assert (file["mode"], file["preview"], file["lines"]) == ("hosted", "one\ntwo", 2)
    assert fetch(file["url_private"]).content == b"one\ntwo"


def test_an_event_in_a_channel_of_several_companies_has_the_ids_alone():
    file = {"id": "F1", "name": "a.log", "url_private": "https://files.slack.com/a.log"}
    message = Message(channel=seed.ACME, ts="1.0", user=seed.ROBIN, text="x", files=[file])
    acme, mixtral = (next(c for c in seed.COMPANY.channels if c.id == id_) for id_ in (seed.ACME, seed.MIXTRAL))
    for event in (message_event(message, acme), app_mention_event(message, acme)):
        assert event["files"][0]["file_access"] == "check_file_info"
        assert "url_private" not in event["files"][0]
        assert has_attachments(event)
    assert message_event(message, mixtral)["files"] == [file]


def test_without_a_token_the_host_leads_to_the_login_and_without_the_scope_it_is_the_login(app, robin, fetch):
    [file] = uploaded(app, robin.upload(MIXTRAL, LOG))["files"]
    away = fetch(file["url_private"], token="xoxb-other")
    assert away.status_code == 302
    assert "redir=" in away.headers["location"]
    robin.administer("scope", scope="files:read", granted=False)
    login = fetch(file["url_private"])
    assert (login.status_code, login.text) == (200, LOGIN)
    assert login.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("mode", ["tombstone", "hidden_by_limit"])
def test_of_a_file_that_is_gone_only_the_id_is_there(app, robin, mode):
    [file] = uploaded(app, robin.upload(MIXTRAL, LOG | {"mode": mode}))["files"]
    assert file.keys() == {"id", "mode"}


def test_a_forwarded_message_is_an_attachment_with_its_author_and_files(app, robin):
    there = robin.upload(MIXTRAL, LOG, text="Look")
    message = uploaded(app, robin.forward(MIXTRAL, MIXTRAL, there, text="See"))
    [attachment] = message["attachments"]
    assert message["text"] == "See"
    assert (attachment["is_share"], attachment["author_name"], attachment["text"]) == (True, "Robin", "Look")
    assert attachment["files"][0]["name"] == "a.log"
    assert "subtype" not in message


def test_the_page_shows_images_and_no_page_of_somebody(app, robin, fetch):
    shot, page = {"name": "a.png", "content": b"\x89PNG"}, {"name": "a.html", "content": b"<script>"}
    image, html = uploaded(app, robin.upload(MIXTRAL, shot, page))["files"]
    assert fetch(f"{robin.url}/page/file/{image['id']}").headers["content-type"] == "image/png"
    assert fetch(f"{robin.url}/page/file/{html['id']}").status_code == 404


@pytest.mark.parametrize("wrong", [{"files": [{"content": ""}]}, {"files": [{"name": "a", "mode": "x"}]}, {}])
def test_an_upload_that_is_wrong_is_refused_with_the_reason(robin, wrong):
    answer = robin.post("/page/files", channel=MIXTRAL, **wrong)
    assert not answer["ok"]
    assert answer["error"]
