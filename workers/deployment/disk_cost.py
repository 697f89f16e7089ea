"""PURE: what the clouds bill beside the machines: their boot disks, estimated by list prices."""

from datetime import datetime
from decimal import Decimal

from workers.deployment.ledger import Use

USD_PER_GIB_MONTH = {"aws": Decimal("0.08"), "gcp": Decimal("0.10")}
"""The list price of AWS's gp3 in us-east-1 and of GCP's balanced disk in us-central1, without additional IOPS."""

HOURS_PER_MONTH = 730
"""By which the clouds divide the price of a month."""


def disk_cost(use: Use, since: datetime | None, until: datetime) -> Decimal:
    """USD for a machine's boot disk between two times, estimated; 0 if its size or its price is unknown.

    A disk is deleted with its machine. GCP keeps that of a stopped machine for ten minutes more, under 0.01 USD.
    """
    price, size = USD_PER_GIB_MONTH.get(use.booked.cloud), use.booked.disk_gib
    if price is None or size is None:
        return Decimal(0)
    return price * size * use.seconds(since, until) / 3600 / HOURS_PER_MONTH
