"""`make live-slack` on the stand-in: the steps that the owner of a workspace does by hand."""

import io
import re
import signal

import pytest
from slack_sdk import WebClient

from bot.sandbox import seed
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.live import first_install
from tests.live.first_install import QUESTIONS, main
from tests.live.posted import Calls
from tests.person import ADA, MIXTRAL, ROBIN, Person


@pytest.fixture
def stand_in():
    with start(Settings(rate_scale=1000, contents=seed.COMPANY)) as running:
        yield running


@pytest.fixture
def environ(stand_in):
    return {"SLACK_BOT_TOKEN": seed.BOT_TOKEN, "SLACK_API_URL": stand_in.api_url}


class Scripted:
    """A person who answers every question, until `stop_at` questions were asked."""

    def __init__(self, stop_at=0):
        self.asked = []
        self._stop_at = stop_at

    def __call__(self, question):
        self.asked.append(question)
        if len(self.asked) == self._stop_at:
            raise KeyboardInterrupt
        if "member id" in question:
            return ADA if "second" in question else ROBIN
        return "y" if "[y/n]" in question else ""


def played(environ, ask, *channels):
    out = io.StringIO()
    status = main(channels or (MIXTRAL,), environ, ask, out)
    assert "Traceback" not in out.getvalue()
    return status, out.getvalue()


def answers(said):
    return said.rpartition("\nAnswers\n")[2]


def left(stand_in):
    """All messages of the bot that are left; ephemeral messages cannot be deleted."""
    with Person(stand_in.url) as robin:
        state = robin.state()
    listed = [m for messages in state["messages"].values() for m in messages if not m.get("ephemeral_to")]
    working = [session for session in state["sessions"].values() if session["status"] == "processing"]
    return listed, working


def test_every_question_gets_an_answer_and_nothing_is_left(stand_in, environ):
    person = Scripted()
    status, said = played(environ, person, MIXTRAL, seed.OPS, seed.GROUP)
    told = answers(said)
    assert status == 0, said
    for question in QUESTIONS:
        assert re.search(rf"^{re.escape(question.__doc__)}\n  \S", told, re.MULTILINE), said
    assert left(stand_in) == ([], [])
    assert "refused" not in said


def test_what_the_stand_in_does_is_what_is_printed(stand_in, environ):
    _, said = played(environ, Scripted(), MIXTRAL, seed.OPS)
    told = answers(said)
    assert "letters of one byte: 10500 characters, 10500 bytes, then msg_too_long" in told
    assert re.search(r"letters of three bytes: 3\d{3} characters, 10\d{3} bytes, then msg_too_long", told), told
    assert "after the update the message has no block" in told
    assert f"{MIXTRAL}: works" in told
    assert f"{seed.OPS}: is_private " in told


def test_what_slack_refuses_is_an_answer(stand_in, environ):
    with Person(stand_in.url) as admin:
        admin.fault("refuse", method="chat.startStream", channel=seed.OPS, error="channel_type_not_supported")
    status, said = played(environ, Scripted(), MIXTRAL, seed.OPS)
    assert status == 0
    assert f"{seed.OPS}: refused (channel_type_not_supported)" in answers(said)
    assert left(stand_in) == ([], [])


def test_ctrl_c_at_any_question_leaves_nothing(stand_in, environ, monkeypatch):
    monkeypatch.setattr(first_install, "STREAM_AT_MOST", 2 * first_install.PIECE)
    whole = Scripted()
    played(environ, whole)
    for at in range(1, len(whole.asked) + 1):
        status, said = played(environ, Scripted(stop_at=at))
        assert status == 1
        assert left(stand_in) == ([], []), f"left after Ctrl-C at {whole.asked[at - 1]!r}: {said}"


def test_ctrl_c_during_a_post_leaves_nothing(stand_in):
    class Interrupted(WebClient):
        def api_call(self, api_method, **options):
            answer = super().api_call(api_method, **options)
            if api_method in ("chat.postMessage", "chat.startStream"):
                signal.raise_signal(signal.SIGINT)
            return answer

    calls = Calls(Interrupted(seed.BOT_TOKEN, base_url=stand_in.api_url))
    with pytest.raises(KeyboardInterrupt):
        calls.post(MIXTRAL, text="x")
    [posted] = left(stand_in)[0]
    with pytest.raises(KeyboardInterrupt):
        calls.start(MIXTRAL, posted["ts"], markdown_text="x", recipient_user_id=ROBIN, recipient_team_id=seed.TEAM_ID)
    assert calls.take_back() == []
    assert left(stand_in) == ([], [])


def test_a_message_that_cannot_be_deleted_is_named(stand_in, environ):
    with Person(stand_in.url) as admin:
        admin.fault("refuse", method="chat.delete", error="compliance_exports_prevent_deletion")
    status, said = played(environ, Scripted())
    assert status == 1
    assert re.search(rf"LEFT: the message [\d.]+ in {MIXTRAL} could not be deleted \(compliance_", said), said


def test_a_refused_token_is_reported(environ):
    status, said = played(environ | {"SLACK_BOT_TOKEN": "xoxb-wrong"}, Scripted())
    assert status == 1
    assert "Slack refuses the token or a channel: invalid_auth" in said
    assert played({}, Scripted())[0] == 2


def test_a_token_that_slack_refuses_is_explained_and_nothing_is_said_of_what_was_not_posted(environ):
    status, said = played(environ | {"SLACK_BOT_TOKEN": "xoxb-wrong"}, Scripted())
    assert status == 1
    assert "invalid_auth, because the token is not valid" in said
    assert "OAuth & Permissions" in said
    assert "deleted" not in said
    assert "Answers" not in said


def test_an_app_level_token_is_refused_before_slack_is_called(environ):
    status, said = played(environ | {"SLACK_BOT_TOKEN": seed.APP_TOKEN}, Scripted())
    assert (status, said) == (
        2,
        "SLACK_BOT_TOKEN has an app-level token. Set it to the Bot User OAuth Token (xoxb-…).\n",
    )
