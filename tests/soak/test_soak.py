"""Four minutes of everything at once. `MIXTRAL_SOAK_SEED` chooses another course; longer: `make soak`."""

import os

import pytest
from rich.console import Console

from tests.soak.soak_report import grown, tables
from tests.soak.soaking import soaked

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

SEED = int(os.environ.get("MIXTRAL_SOAK_SEED", "2026"))
MINUTES = float(os.environ.get("MIXTRAL_SOAK_MINUTES", "4"))


def test_machines_are_as_wanted_no_request_is_lost_and_nothing_grows(tmp_path):
    outcome = soaked(tmp_path, seed=SEED, seconds=MINUTES * 60)
    for table in tables(outcome):
        Console(width=160, emoji=False).print(table)
    assert grown(outcome) == []
