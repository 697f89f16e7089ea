"""A company's workspace, and the app's own calls."""

import httpx
import pytest

from bot.sandbox import seed
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from tests.patience import PATIENCE
from tests.person import Person


class App:
    """Calls the Web API with the bot's token."""

    def __init__(self, url):
        self._http = httpx.Client(base_url=f"{url}/api/", trust_env=False, timeout=5 * PATIENCE)
        self._http.headers["authorization"] = f"Bearer {seed.BOT_TOKEN}"

    def response(self, method, **arguments):
        return self._http.post(method, json=arguments)

    def call(self, method, **arguments):
        return self.response(method, **arguments).json()

    def error(self, method, **arguments):
        """The code of the refusal, or "ok"."""
        return self.call(method, **arguments).get("error", "ok")

    def close(self):
        self._http.close()


@pytest.fixture
def company():
    with start(Settings(contents=seed.COMPANY, rate_scale=0)) as running:
        yield running


@pytest.fixture
def app(company):
    calls = App(company.url)
    yield calls
    calls.close()


@pytest.fixture
def robin(company):
    with Person(company.url) as person:
        yield person
