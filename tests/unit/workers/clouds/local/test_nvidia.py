"""What nvidia-smi prints, as GPUs with the names that recipes use."""

from decimal import Decimal

import pytest

from workers.clouds.local import host
from workers.clouds.local.nvidia import Gpu, canonical, parse

TWO_KINDS = """0, NVIDIA A100-SXM4-80GB, 81920
1, NVIDIA A100-SXM4-80GB, 81920
2, NVIDIA L4, 23034
"""


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA A100-PCIE-40GB", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA A10", "A10"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA Quadro P1000", "Quadro-P1000"),
    ],
)
def test_a_gpu_has_the_name_that_recipes_use(told, name):
    assert canonical(told) == name


def test_the_table_is_read_line_by_line():
    assert parse(TWO_KINDS)[2] == Gpu(index=2, name="L4", memory_gib=Decimal("22.5"))


@pytest.mark.parametrize("answer", ["", "No devices were found\n", "0, NVIDIA L4, [N/A]\n"])
def test_an_answer_without_gpus_is_none(answer):
    assert parse(answer) == ()


def test_every_number_of_each_kind_is_an_offer_that_costs_nothing():
    offers = host.offers("box", vcpus=8, memory_gib=Decimal(64), gpus=parse(TWO_KINDS))
    assert [(o.accelerator, o.count, o.usd_per_hour) for o in offers] == [
        (None, 0, 0),
        ("A100-80GB", 1, 0),
        ("A100-80GB", 2, 0),
        ("L4", 1, 0),
    ]
    assert {(o.cloud, o.region, o.zone, o.spot) for o in offers} == {("local", "local", "box", False)}
