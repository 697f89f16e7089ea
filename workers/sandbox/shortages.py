"""Faults of the demo's clouds, chosen so that a launch of Mixtral fails over through both."""

from typing import Any

GCE: tuple[dict[str, Any], ...] = (
    {"code": "QUOTA_EXCEEDED", "machine_type": "g2-standard-96", "zone": "us-east4-*"},
    {"code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "machine_type": "g2-standard-96", "zone": "us-central1-*"},
    {"code": "GPUS_ALL_REGIONS", "machine_type": "g2-standard-96"},
)

EC2: tuple[dict[str, Any], ...] = (
    {"code": "InsufficientInstanceCapacity", "instance_type": "g7e.12xlarge", "region": "us-east-1"},
)
