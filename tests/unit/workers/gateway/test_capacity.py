from pathlib import Path

import pytest

from workers.gateway import capacity as capacities
from workers.gateway.capacity import LEAST, capacity, fitting

BUFFER = 262_144


@pytest.mark.parametrize(
    ("memory", "bufsize", "files", "maxconn"),
    [
        (12_288, BUFFER, 1_048_576, 19_660),  # by memory
        (12_288, 65_536, 20_000, 9_500),  # by files
        (12_288, BUFFER, 1024, 384),
        (64, 1_000_000, 20_000, LEAST),
    ],
)
def test_connections_fit_into_memory_and_files(memory, bufsize, files, maxconn):
    assert fitting(memory, bufsize, files).maxconn == maxconn


@pytest.mark.parametrize("name", capacities.LIMITS)
def test_in_a_container_it_is_half_of_the_container_s_memory(monkeypatch, tmp_path, name):
    monkeypatch.setattr(capacities, "CGROUP", tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(f"{1 << 30}\n")
    assert capacity(None, BUFFER).memory == 512
    (tmp_path / name).write_text("max\n")
    without = capacity(None, BUFFER).memory
    (tmp_path / name).write_text(f"{(1 << 63) - 4096}\n")
    assert capacity(None, BUFFER).memory == without


def test_without_a_setting_half_of_the_memory_of_the_machine_is_for_haproxy(monkeypatch, tmp_path):
    monkeypatch.setattr(capacities, "CGROUP", tmp_path)
    total = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    assert abs(capacity(None, BUFFER).memory - total // 2) < 64
    assert capacity(512, BUFFER).memory == 512
