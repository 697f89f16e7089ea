"""No foreign host name and no foreign site gets at the sandbox."""

import pytest
from starlette.datastructures import Headers

from bot.sandbox.loopback import refusal

HOST = {"host": "127.0.0.1:3000"}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost:3000", "[::1]:3000", "127.0.0.1"])
def test_loopback_names_are_served(host):
    assert refusal(Headers({"host": host}), "GET", "/") is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", ""])
def test_other_names_are_not_so_that_rebinding_gains_nothing(host):
    assert "loopback" in refusal(Headers({"host": host}), "GET", "/page/state")


def test_another_sites_scripts_are_refused_and_the_own_pages_are_not():
    own = Headers({**HOST, **JSON, "origin": "http://127.0.0.1:3000"})
    assert refusal(own, "POST", "/page/send") is None
    for origin in ("https://evil.example", "http://127.0.0.1:9999", "null"):
        assert refusal(Headers({**HOST, **JSON, "origin": origin}), "POST", "/page/send") is not None
        assert refusal(Headers({**HOST, "origin": origin}), "GET", "/page/state") is not None


def test_a_form_cannot_drive_the_page():
    form = Headers({**HOST, "content-type": "text/plain"})
    assert "application/json" in refusal(form, "POST", "/page/send")
    assert refusal(form, "POST", "/api/auth.test") is None
