"""What several contract tests start."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.fakes.haproxy import Gateway


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="gw-"))  # short: sockets live in it
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def gateway(folder):
    gateway = Gateway(folder)
    yield gateway.start()
    gateway.stop()
