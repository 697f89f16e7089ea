"""The real slack_bolt over HTTP against the stand-in: signed requests, forged ones, and repetitions."""

import contextlib
import io
import json
import threading
import time
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from slack_bolt import App
from slack_bolt.adapter.wsgi import SlackRequestHandler
from slack_sdk import WebClient

from bot.sandbox import seed
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.person import MIXTRAL, Person, Refused

SECRET = "not-so-secret"
FIVE_MINUTES, A_DAY = 301.0, 86_400.0


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


class Answers:
    """Bolt, or what is to be answered instead of it: a status, headers, and seconds before them."""

    def __init__(self, app):
        self._bolt = SlackRequestHandler(app)
        self.instead = []
        self.headers = []
        self.bodies = []

    def __call__(self, environ, start_response):
        self.headers.append({name: value for name, value in environ.items() if name.startswith("HTTP_X_SLACK")})
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        self.bodies.append((environ["CONTENT_TYPE"], body))
        if not self.instead:
            environ["wsgi.input"] = io.BytesIO(body)
            return self._bolt(environ, start_response)
        status, headers, seconds = self.instead.pop(0)
        time.sleep(seconds)
        start_response(status, headers)
        return [b""]


@contextlib.contextmanager
def listening(wsgi):
    server = make_server("127.0.0.1", 0, wsgi, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/slack/events"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def place():
    with start(Settings(retry_scale=0.005)) as running, Person(running.url) as robin:
        client = WebClient(seed.BOT_TOKEN, base_url=running.api_url)
        app = App(
            client=client,
            signing_secret=SECRET,
            process_before_response=True,
            raise_error_for_unhandled_request=False,
        )
        answers = Answers(app)
        with listening(answers) as url:
            robin.request_url(url, SECRET)
            answers.headers.clear()
            answers.bodies.clear()
            yield robin, app, answers


@pytest.fixture
def heard(place):
    _, app, _ = place
    texts = []
    app.event("message")(lambda event: texts.append(event["text"]))
    app.command("/mixtral")(lambda ack, command: ack(f"heard {command['text']}"))
    return texts


def test_commands_clicks_and_events_come_signed(place, heard):
    robin, app, _ = place
    pressed = []

    @app.action("end")
    def end(ack, body):
        ack()
        pressed.append(body["actions"][0]["value"])

    assert robin.command(MIXTRAL, "/mixtral status") == {"ok": True, "acked": True}
    robin.wait_for_ephemeral("heard status")
    robin.say(MIXTRAL, "hello")
    robin.wait_for(lambda _: heard)
    button = {"type": "button", "action_id": "end", "text": {"type": "plain_text", "text": "End"}, "value": "d-1"}
    blocks = [{"type": "actions", "elements": [button]}]
    app.client.chat_postMessage(channel=MIXTRAL, text="card", blocks=blocks)
    robin.press(robin.wait_for_message(MIXTRAL, "End"), "end")
    assert (heard, pressed) == (["hello"], ["d-1"])


@pytest.mark.parametrize("fault", [{"kind": "forge_signature"}, {"kind": "old_request", "seconds": FIVE_MINUTES}])
def test_what_slack_would_not_send_is_not_acked(place, heard, fault):
    robin, _, _ = place
    assert robin.command(MIXTRAL, "/mixtral status") == {"ok": True, "acked": True}
    robin.fault(**fault)
    assert robin.command(MIXTRAL, "/mixtral status") == {"ok": True, "acked": False}


def test_a_json_body_may_have_the_content_type_of_a_form(place, heard):
    robin, _, answers = place
    robin.fault("json_as_form")
    robin.say(MIXTRAL, "hello")
    robin.wait_for(lambda _: answers.bodies)
    [(kind, body)] = answers.bodies
    assert kind == "application/x-www-form-urlencoded"
    assert json.loads(body)["event"]["text"] == "hello"


def test_bolt_alone_loses_a_command_with_the_word_payload(place, heard):
    robin, _, _ = place
    robin.command(MIXTRAL, "/mixtral ask What is a payload?")
    assert robin.command(MIXTRAL, "/mixtral ask What is a load?")["acked"]
    robin.wait_for_ephemeral("heard ask What is a load?")
    assert not [m for m in robin.ephemerals() if "payload" in m["text"]]


def test_an_event_is_repeated_with_its_number_and_the_reason(place, heard):
    robin, _, answers = place
    answers.instead = [("500 No", [], 0.0), ("200 OK", [], 4.0), ("500 No", [], 0.0)]
    robin.say(MIXTRAL, "once")
    robin.wait_for(lambda _: heard)
    tried = [(h.get("HTTP_X_SLACK_RETRY_NUM"), h.get("HTTP_X_SLACK_RETRY_REASON")) for h in answers.headers]
    assert tried == [(None, None), ("1", "http_error"), ("2", "http_timeout"), ("3", "http_error")]
    robin.wait_for(lambda p: [d.get("acked") for d in p.deliveries()] == [False, False, False, True])


def test_an_app_may_refuse_an_event_for_good(place, heard):
    robin, _, answers = place
    answers.instead = [("404 Gone", [("X-Slack-No-Retry", "1")], 0.0)]
    robin.say(MIXTRAL, "never mind")
    robin.wait_for(lambda p: [d for d in p.deliveries() if d.get("acked") is False])
    robin.say(MIXTRAL, "here")
    robin.wait_for(lambda _: heard)
    assert heard == ["here"]


def test_an_event_may_come_a_day_late_and_is_signed_in_time(place):
    robin, app, _ = place
    bodies = []

    @app.event("message")
    def note(body):
        bodies.append(body)

    ts = robin.say(MIXTRAL, "yesterday", age=A_DAY)
    robin.wait_for(lambda _: bodies)
    [body] = bodies
    assert body["event"]["ts"] == ts
    assert time.time() - body["event_time"] >= A_DAY
    assert time.time() - float(ts) >= A_DAY


def test_a_request_url_has_to_pass_slack_s_challenge(place):
    robin, _, answers = place
    answers.instead = [("200 OK", [], 0.0)]
    with listening(answers) as url, pytest.raises(Refused, match="challenge"):
        robin.request_url(url, SECRET)


def test_a_command_is_reported_as_failed_while_no_server_listens(place):
    robin, app, _ = place
    with listening(SlackRequestHandler(app)) as url:
        robin.request_url(url, SECRET)
    assert robin.command(MIXTRAL, "/mixtral status") == {"ok": True, "acked": False}
    robin.wait_for_ephemeral("/mixtral failed because the app did not respond")
