"""The parts of a machine's process that need no process."""

import os
from decimal import Decimal

import pytest

from tests.builders.offers import HERE, offer
from workers.clouds.local import nvidia
from workers.clouds.local.machine import NotHereError, choose, how
from workers.clouds.local.nvidia import Gpu

TWO = tuple(Gpu(index=n, name="L4", memory_gib=Decimal(24)) for n in (0, 1))


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(nvidia, "installed", lambda: TWO)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_is_one_machine_s_alone_until_that_ends(tmp_path):
    both, one = offer(gpu="L4:2"), offer(gpu="L4:1")
    _, first = choose((one,), tmp_path / "gpus")
    with pytest.raises(NotHereError, match="No L4:2 is free"):
        choose((both,), tmp_path / "gpus")
    chosen, second = choose((both, one), tmp_path / "gpus")
    assert (chosen, list(first), list(second)) == (one, [0], [1])
    for descriptor in (*first.values(), *second.values()):
        os.close(descriptor)
    assert list(choose((both,), tmp_path / "gpus")[1]) == [0, 1]


def test_without_a_gpu_nothing_is_held(tmp_path):
    assert choose((HERE,), tmp_path / "gpus") == (HERE, {})


@pytest.mark.parametrize(("status", "words"), [(0, "exited with status 0"), (-9, "was killed by SIGKILL")])
def test_an_end_is_told_in_words(status, words):
    assert how(status) == words
