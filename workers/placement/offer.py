"""PURE: what a cloud sells and what became of it in a plan."""

from decimal import Decimal

from msgspec import Struct


class Offer(Struct, frozen=True, kw_only=True):
    """One machine type in one zone, on demand or spot."""

    cloud: str
    """`aws`, `gcp` or `local`; empty where no cloud is known that sells this GPU."""
    region: str
    """Empty: the price table lacks this type, so that any of the cloud's regions may have it."""
    zone: str
    """AWS: a zone id (`use1-az1`), for names differ by account. Empty as for the region."""
    instance_type: str
    accelerator: str | None
    """Canonical name of the GPU; None is a machine without one."""
    count: int
    """How many GPUs; 0 without one."""
    spot: bool
    usd_per_hour: Decimal | None
    """What the plan reckons with, for the whole machine; None is unknown. For a doubtful price, the higher one."""
    on_demand_usd_per_hour: Decimal | None = None
    """For spot: what the same machine costs on demand, so that people see what spot saves; None is unknown."""
    doubtful: str | None = None
    """Why the price is not to be trusted, in one clause; None for a sound one."""
    vcpus: int | None = None
    memory_gib: Decimal | None = None
    gpu_memory_gib: Decimal | None = None
    """Of one GPU."""


class CloudStatus(Struct, frozen=True, kw_only=True):
    """Whether machines can be asked for on a cloud."""

    cloud: str
    usable: bool
    reason: str | None = None
    """Why not: `AWS: no credentials found`."""
    mend: str | None = None
    """What to do about it."""
