"""The questions that are put to a replica, against a small server that answers as told."""

import asyncio
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import pytest

from recipes.schema import ReadinessProbe
from tests.patience import PATIENCE
from workers.sandbox.valkey import free_port
from workers.serving import probe as questions
from workers.serving.probe import CompletionFailed, completion
from workers.serving.unready import Unready

KEY = "mxk_test"


def probe(*arguments, **named):
    return asyncio.run(questions.probe(*arguments, **named))


def cannot_complete(*arguments, **named):
    return asyncio.run(questions.cannot_complete(*arguments, **named))


def key_is_enforced(address):
    return asyncio.run(questions.key_is_enforced(address))


class Replica:
    """Answers every request with `status` and `body`, and keeps what it was asked."""

    def __init__(self):
        self.status, self.body, self.asked = 200, b"{}", []
        self.headers = {}
        self.callers = []
        replica = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                replica.asked.append((self.command, self.path, self.headers, content))
                replica.callers.append(self.client_address)
                self.send_response(replica.status)
                for name, value in replica.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(replica.body)))
                self.end_headers()
                self.wfile.write(replica.body)

            do_GET = do_POST = answer  # noqa: N815 - the names are http.server's

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def replica():
    replica = Replica()
    yield replica
    replica.server.shutdown()
    replica.server.server_close()


@pytest.fixture
def nobody():
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def test_a_plain_path_is_asked_with_get_and_the_key(replica):
    assert probe(replica.address, ReadinessProbe(path="/health"), key=KEY) is None
    ((method, path, headers, _),) = replica.asked
    assert (method, path, headers["Authorization"]) == ("GET", "/health", f"Bearer {KEY}")


def test_post_data_is_sent_as_json(replica):
    asked = ReadinessProbe(path="v1/completions", post_data={"model": "m", "n": [1, "m $OTHER"]})
    assert probe(replica.address, asked, key=KEY) is None
    ((method, path, headers, content),) = replica.asked
    assert (method, path, headers["Content-Type"]) == ("POST", "/v1/completions", "application/json")
    assert json.loads(content) == {"model": "m", "n": [1, "m $OTHER"]}


def test_a_recipe_s_own_headers_stand_above_ours(replica):
    probe(replica.address, ReadinessProbe(headers={"Authorization": "Bearer t"}), key=KEY)
    assert replica.asked[0][2].get_all("Authorization") == ["Bearer t"]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (503, b'{"error": {"message": "Loading model"}}', "status 503: Loading model"),
        (404, b'{"error": "no such\\n model"}', "status 404: no such model"),
        (500, b"Internal Server Error", "status 500: Internal Server Error"),
        (502, b"\xff\xfe", "status 502: "),
        (400, b"[1, 2]", "status 400: [1, 2]"),
        (400, b"", "status 400"),
        (500, b"x" * 10_000, "status 500: " + "x" * 200),
    ],
)
def test_a_refusal_is_told_with_the_engine_s_words(replica, status, body, why):
    replica.status, replica.body = status, body
    unready = probe(replica.address, ReadinessProbe(), key=KEY)
    assert unready.why.startswith(why)
    assert (unready.silent, unready.key_refused) == (False, False)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"error": ' + b"9" * 5000 + b"}"], ids=["deep", "long number"])
def test_json_that_python_refuses_is_told_as_any_other_words(replica, body):
    replica.status, replica.body = 500, body
    assert probe(replica.address, ReadinessProbe(path="/health"), key=KEY).why.startswith("status 500: ")
    replica.status = 200
    with pytest.raises(CompletionFailed, match="the answer is not a completion"):
        completion(replica.address, KEY, model="m", prompt="p")


def test_nobody_there_is_told_as_such(nobody):
    assert probe(nobody, ReadinessProbe(), key=KEY) == Unready(why="nothing listens on its port", silent=True)


@pytest.mark.parametrize("status", [401, 403])
def test_an_engine_that_refuses_our_key_is_told_with_what_to_change(replica, status):
    replica.status, replica.body = status, b'{"error": "Unauthorized"}'
    for unready in (
        probe(replica.address, ReadinessProbe(path="/v1/models"), key=KEY),
        cannot_complete(replica.address, key=KEY, model="m"),
    ):
        assert unready.key_refused
        assert "this engine asks for another key than VLLM_API_KEY" in unready.why
        assert "`--api-key $VLLM_API_KEY`" in unready.why
        assert f"status {status}: Unauthorized" in unready.why
    own = ReadinessProbe(path="/v1/models", headers={"authorization": "Bearer another"})
    unready = probe(replica.address, own, key=KEY)
    assert unready.key_refused
    assert "the Authorization header of the recipe's readiness probe" in unready.why
    assert replica.asked[-1][2].get_all("Authorization") == ["Bearer another"]


@pytest.mark.parametrize("secret", ["s\u00e9cret", "se\ncret", "se\x00cret", "\U0001f511"])
def test_a_header_that_http_does_not_allow_is_told_without_the_secret_in_it(replica, secret):
    unready = probe(replica.address, ReadinessProbe(headers={"Authorization": f"Bearer {secret}"}), key=KEY)
    assert unready.why == "a header of the recipe's readiness probe contains a character that HTTP does not allow"
    assert replica.asked == []


@pytest.mark.parametrize(("status", "unready"), [(404, False), (400, False), (429, False), (500, True), (503, True)])
def test_a_replica_with_another_api_is_ready_and_one_that_fails_is_not(replica, status, unready):
    replica.status = status
    assert (cannot_complete(replica.address, key=KEY, model="m") is not None) == unready


def test_a_replica_that_hangs_is_given_up_after_the_recipe_s_timeout():
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:
        address = f"http://127.0.0.1:{silent.server_port}"
        asked = ReadinessProbe(timeout=timedelta(seconds=0.2))
        assert probe(address, asked, key=KEY) == Unready(why="no answer within 0.2 s", silent=True)


def test_a_path_that_is_no_path_is_no_crash(replica):
    assert probe(replica.address, ReadinessProbe(path="/\x00"), key=KEY)


@pytest.mark.parametrize(("status", "enforced"), [(401, True), (403, True), (200, False), (404, False)])
def test_the_key_is_enforced_where_a_request_without_it_is_turned_away(replica, status, enforced):
    replica.status = status
    assert key_is_enforced(replica.address) is enforced
    assert "Authorization" not in replica.asked[0][2]


def test_a_completion_is_the_model_s_text_and_how_long_it_took(replica):
    replica.body = json.dumps({"choices": [{"text": " mustard."}]}).encode()
    answer = completion(replica.address, KEY, model="m", prompt="My favourite condiment is")
    assert answer.text == " mustard."
    assert 0 <= answer.seconds < 5 * PATIENCE
    _, path, _, content = replica.asked[0]
    assert path == "/v1/completions"
    assert json.loads(content) == {"model": "m", "prompt": "My favourite condiment is", "max_tokens": 24}


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b'{"choices": [{"text": ""}]}', "the model returned an empty answer"),
        (200, b'{"choices": []}', "the answer is not a completion"),
        (200, b'{"choices": [{"text": null}]}', "the model returned an empty answer"),
        (200, b"<html>", "the answer is not a completion"),
        (401, b'{"error": "Unauthorized"}', "status 401: Unauthorized"),
    ],
)
def test_a_completion_that_is_none_fails_with_a_sentence(replica, status, body, why):
    replica.status, replica.body = status, body
    with pytest.raises(CompletionFailed, match=f"The test completion failed: {why}"):
        completion(replica.address, KEY, model="m", prompt="p")


def test_a_completion_from_nobody_fails_with_a_sentence(nobody):
    with pytest.raises(CompletionFailed, match="nothing listens"):
        completion(nobody, KEY, model="m", prompt="p")


def test_a_cookie_of_one_replica_is_not_sent_to_another_on_its_host(replica):
    replica.headers = {"Set-Cookie": "session=of-one-replica; Path=/"}
    for _ in range(2):
        assert probe(replica.address, ReadinessProbe(), key=KEY) is None
    assert [headers["Cookie"] for _, _, headers, _ in replica.asked] == [None, None]


def test_every_probe_has_a_connection_of_its_own_as_a_new_client_has(replica):
    for _ in range(3):
        assert probe(replica.address, ReadinessProbe(), key=KEY) is None
    assert len(set(replica.callers)) == 3


def test_a_timeout_is_that_of_its_probe_and_not_the_next_one_s():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for seconds in (0.05, 0.1):
            unready = probe(address, ReadinessProbe(timeout=timedelta(seconds=seconds)), key=KEY)
            assert unready.why == f"no answer within {seconds} s"


def test_many_threads_share_the_client(replica):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: probe(replica.address, ReadinessProbe(), key=KEY), range(64)))
    assert answers == [None] * 64
