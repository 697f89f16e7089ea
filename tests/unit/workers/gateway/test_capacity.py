from pathlib import Path

import pytest

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


def test_without_a_setting_half_of_the_memory_of_the_machine_is_for_haproxy():
    total = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    assert abs(capacity(None, BUFFER).memory - total // 2) < 64
    assert capacity(512, BUFFER).memory == 512
