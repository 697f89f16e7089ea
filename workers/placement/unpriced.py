"""PURE: machine types with GPUs that AWS and GCP sell, for which a price table may have no row."""

from collections.abc import Set as AbstractSet
from decimal import Decimal

from workers.placement.offer import Offer

# Cloud, type, GPU, number of GPUs, GiB of one GPU, vCPUs, GiB of memory. Source: the type descriptions of AWS and GCP.
TYPES = (
    *(
        ("aws", f"{family}.{size}", gpu, count, gib, vcpus, vcpus * per_vcpu)
        for family, gpu, gib, per_vcpu in (("g5", "A10G", 24, 4), ("g6", "L4", 24, 4), ("g6e", "L40S", 48, 8))
        for size, count, vcpus in (
            ("xlarge", 1, 4),
            ("2xlarge", 1, 8),
            ("4xlarge", 1, 16),
            ("8xlarge", 1, 32),
            ("16xlarge", 1, 64),
            ("12xlarge", 4, 48),
            ("24xlarge", 4, 96),
            ("48xlarge", 8, 192),
        )
    ),
    *(
        ("aws", f"g4dn.{size}", "T4", count, 16, vcpus, vcpus * 4)
        for size, count, vcpus in (
            ("xlarge", 1, 4),
            ("2xlarge", 1, 8),
            ("4xlarge", 1, 16),
            ("8xlarge", 1, 32),
            ("16xlarge", 1, 64),
            ("12xlarge", 4, 48),
            ("metal", 8, 96),
        )
    ),
    *(
        ("aws", f"g7e.{size}", "RTXPRO6000", count, 96, vcpus, memory)
        for size, count, vcpus, memory in (
            ("2xlarge", 1, 8, 64),
            ("4xlarge", 1, 16, 128),
            ("8xlarge", 1, 32, 256),
            ("12xlarge", 2, 48, 512),
            ("24xlarge", 4, 96, 1024),
            ("48xlarge", 8, 192, 2048),
        )
    ),
    ("aws", "p4d.24xlarge", "A100", 8, 40, 96, 1152),
    ("aws", "p4de.24xlarge", "A100-80GB", 8, 80, 96, 1152),
    ("aws", "p5.4xlarge", "H100", 1, 80, 16, 256),
    ("aws", "p5.48xlarge", "H100", 8, 80, 192, 2048),
    ("aws", "p5e.48xlarge", "H200", 8, 141, 192, 2048),
    ("aws", "p5en.48xlarge", "H200", 8, 141, 192, 2048),
    ("aws", "p6-b200.48xlarge", "B200", 8, 179, 192, 2048),
    *(
        ("gcp", f"g2-standard-{vcpus}", "L4", count, 24, vcpus, vcpus * 4)
        for vcpus, count in ((4, 1), (8, 1), (12, 1), (16, 1), (32, 1), (24, 2), (48, 4), (96, 8))
    ),
    *(("gcp", f"a2-highgpu-{n}g", "A100", n, 40, 12 * n, 85 * n) for n in (1, 2, 4, 8)),
    *(("gcp", f"a2-ultragpu-{n}g", "A100-80GB", n, 80, 12 * n, 170 * n) for n in (1, 2, 4, 8)),
    *(("gcp", f"a3-highgpu-{n}g", "H100", n, 80, 26 * n, 234 * n) for n in (1, 2, 4, 8)),
    ("gcp", "a3-ultragpu-8g", "H200", 8, 141, 224, 2952),
    *(("gcp", f"g4-standard-{48 * n}", "RTXPRO6000", n, 96, 48 * n, 180 * n) for n in (1, 2, 4, 8)),
)

WITHOUT_ZONES = frozenset(("gcp", f"g4-standard-{48 * n}") for n in (1, 2, 4, 8))
"""Cloud and type of machines whose zones are only read from the cloud: offered after a refresh has read them."""

SPOT_ONLY = frozenset(("gcp", type_) for type_ in (*(f"a3-highgpu-{n}g" for n in (1, 2, 4)), "a3-ultragpu-8g"))
"""Cloud and type of machines that are not sold on demand: as spot, or with a reservation or a flexible start."""


def unpriced(priced: AbstractSet[tuple[str, str]]) -> tuple[Offer, ...]:
    """Offers without price, region and zone of the types that `priced` (cloud, type) lacks, for each way of selling."""
    return tuple(
        Offer(
            cloud=cloud,
            region="",
            zone="",
            instance_type=type_,
            accelerator=gpu,
            count=count,
            spot=spot,
            usd_per_hour=None,
            vcpus=vcpus,
            memory_gib=Decimal(memory),
            gpu_memory_gib=Decimal(gpu_memory),
        )
        for cloud, type_, gpu, count, gpu_memory, vcpus, memory in TYPES
        if (cloud, type_) not in priced | WITHOUT_ZONES
        for spot in ((True,) if (cloud, type_) in SPOT_ONLY else (False, True))
    )
