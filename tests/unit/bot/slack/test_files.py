"""Files are read with the bot's token, from Slack's hosts only, and never beyond the limit."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bot.slack.files import DownloadAbandoned, NoFile, SlackFiles

TOKEN = "xoxb-1"


class Host:
    """Serves paths as `pages` says, and records the tokens that it was sent."""

    def __init__(self):
        self.pages, self.tokens = {}, []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                host.tokens.append(self.headers.get("Authorization"))
                status, headers, body = host.pages[self.path.partition("?")[0]]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in body:
                    try:
                        self.wfile.write(piece)
                    except OSError:
                        return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hosts():
    slack, other = Host(), Host()
    yield slack, other
    slack.close()
    other.close()


def read(api, url, *, limit=1000, size=5, is_page=False, is_wanted=lambda: True):
    return SlackFiles(TOKEN, f"{api}/api/").read(url, limit=limit, size=size, is_page=is_page, is_wanted=is_wanted)


def test_a_file_is_read_with_the_token_also_after_a_redirect_on_its_host(hosts):
    slack, _ = hosts
    slack.pages = {"/a": (302, {"Location": "/b"}, []), "/b": (200, {"Content-Type": "text/plain"}, [b"hello"])}
    assert read(slack.url, f"{slack.url}/a") == b"hello"
    assert slack.tokens == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize(
    "url",
    [
        "https://files.slack.com.evil.example/a",
        "https://evilslack.com/a",
        "http://files.slack.com/a",
        "https://files.slack.com:8443/a",
        "https://files.slack.com@evil.example/a",
        "https://user@files.slack.com/a",
        "file:///etc/passwd",
        "/a",
        "",
    ],
)
def test_no_other_host_is_asked(hosts, url):
    with pytest.raises(NoFile, match="not one of Slack"):
        read(hosts[0].url, url)


def test_a_redirect_to_another_host_is_not_followed(hosts):
    slack, other = hosts
    other.pages = {"/a": (200, {}, [b"hello"])}
    slack.pages = {"/a": (302, {"Location": f"{other.url}/a"}, []), "/b": (302, {"Location": "/?redir=/b"}, [])}
    with pytest.raises(NoFile):
        read(slack.url, f"{slack.url}/a")
    with pytest.raises(NoFile, match="files:read"):
        read(slack.url, f"{slack.url}/b")
    assert other.tokens == []


@pytest.mark.parametrize("is_page", [True, False])
def test_the_login_page_is_not_the_file(hosts, is_page):
    slack, _ = hosts
    slack.pages = {"/a": (200, {"Content-Type": "text/html; charset=utf-8"}, [b"<html>Sign in</html>"])}
    with pytest.raises(NoFile, match="files:read"):
        read(slack.url, f"{slack.url}/a", is_page=is_page)
    if is_page:
        assert read(slack.url, f"{slack.url}/a", is_page=True, size=20) == b"<html>Sign in</html>"


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "1000001"}])
def test_no_more_than_the_limit_is_read(hosts, headers):
    slack, _ = hosts
    sent = []

    def endless():
        while True:
            sent.append(1)
            yield b"x" * 65_536

    slack.pages = {"/a": (200, headers, endless())}
    with pytest.raises(NoFile, match=r"and at most 100 kB are read; paste"):
        read(slack.url, f"{slack.url}/a", limit=100_000)
    assert len(sent) < 200


def test_a_download_that_is_not_wanted_any_more_ends(hosts):
    slack, _ = hosts
    slack.pages = {"/a": (200, {}, iter([b"x", b"y"]))}
    with pytest.raises(DownloadAbandoned):
        read(slack.url, f"{slack.url}/a", is_wanted=lambda: False)


@pytest.mark.parametrize(
    ("status", "why"), [(403, "files:read"), (404, "was deleted"), (500, "status 500"), (429, "ask again")]
)
def test_a_refusal_has_its_cause(hosts, status, why):
    slack, _ = hosts
    slack.pages = {"/a": (status, {}, [])}
    with pytest.raises(NoFile, match=why):
        read(slack.url, f"{slack.url}/a")
