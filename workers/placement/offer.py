"""PURE: offers, and whether a cloud can be used."""

from decimal import Decimal

from msgspec import UNSET, Struct, UnsetType


class Offer(Struct, frozen=True, kw_only=True):
    """One machine type in one zone, on demand or spot."""

    cloud: str
    """`aws`, `gcp` or `local`; empty if no known cloud sells this GPU."""
    region: str
    """Empty if the price table lacks this type: any region of the cloud may have it."""
    zone: str
    """AWS: a zone id (`use1-az1`), because zone names differ by account. Empty if the region is."""
    instance_type: str
    accelerator: str | None
    """Canonical name of the GPU; None for a machine without GPUs."""
    count: int
    """Number of GPUs."""
    spot: bool
    usd_per_hour: Decimal | None
    """Price of the whole machine; None if unknown. For a doubtful price, the higher of the two."""
    on_demand_usd_per_hour: Decimal | None = None
    """For spot: on-demand price of the same machine, from which the saving is computed; None if unknown."""
    doubtful: str | None = None
    """Why the price may be wrong, in one clause; None for a sound price."""
    vcpus: int | None = None
    memory_gib: Decimal | None = None
    gpu_memory_gib: Decimal | None = None
    """Of one GPU."""
    read_on: str | UnsetType = UNSET
    """When the price was read: `2026-11-23` or `2026-11`; unset if unknown, as in events of earlier versions."""


class CloudStatus(Struct, frozen=True, kw_only=True):
    """Whether machines can be requested from a cloud."""

    cloud: str
    usable: bool
    reason: str | None = None
    """Why it cannot be used: `AWS: no credentials found`."""
    mend: str | None = None
    """What the operator can do about it."""
    lists: bool = False
    """If it cannot be used: whether its machines are listed, extended and ended all the same."""
