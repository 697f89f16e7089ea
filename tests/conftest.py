"""Fixtures for all tests: a Valkey server, and the layers that need more than Python."""

import gc
import os
import shutil
import time

import pytest
from hypothesis import settings
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.patience import PATIENCE
from workers.processes import Children
from workers.sandbox.valkey import free_port, valkey

LAYERS = {
    "browser": "drives headless Chromium: `make test-browser`",
    "clouds": "simulates faults of both clouds for some minutes: `make test-clouds`",
    "crash": "kills processes for some minutes: `make test-crash`",
    "chaos": "loads the gateway for some minutes: `make test-chaos`",
    "fuzz": "sends random input for some minutes: `make test-fuzz`",
    "soak": "disturbs everything for some minutes: `make test-soak`",
    "vllm": "installs and runs vLLM on the CPU (700 MB): `make test-vllm`",
    "emulator": "installs another Slack emulator with npm: `make test-emulator`",
    "boot": "boots machines in QEMU for some minutes: `make test-boot`",
    "boot_all": "boots more machines in QEMU: `make test-boot-all`",
    "live": "needs a real cloud or workspace",
}

settings.register_profile("shared machine", deadline=None)  # an example waits whenever another process computes
settings.load_profile("shared machine")

gc.set_threshold(100_000, 50, 100)  # a default pass over the classes of boto, moto and Google takes 0.3 s


def pytest_collection_finish():
    """Exempt all that the imports created from garbage collection, which took half of the tests' CPU time."""
    gc.freeze()


def pytest_addoption(parser):
    parser.addoption("--minutes", type=float, default=1.0, help="length of the load on an engine without a free slot")


def pytest_collection_modifyitems(items):
    asked = set(os.environ.get("MIXTRAL_TEST_LAYERS", "").split(","))
    for item in items:
        for layer, why in LAYERS.items():
            # A marker and not a keyword, because folder names are keywords too.
            if item.get_closest_marker(layer) and layer not in asked:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    """Unset the terminal width of 80 columns that pytest-xdist sets."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("valkey")
    port = free_port()
    children = Children()
    children.start(valkey(port, folder, folder / "valkey.log"))
    try:
        _wait_until_it_answers(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        children.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_it_answers(port):
    until = time.monotonic() + 5 * PATIENCE
    with Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except RedisConnectionError:  # also while it reads its files
                assert time.monotonic() < until, "Valkey does not answer"
                time.sleep(0.05)
            else:
                return


@pytest.fixture
def redis(valkey_url):
    client = Redis.from_url(valkey_url)
    client.flushall()
    yield client
    client.close()
