"""Faults of the demo's clouds, chosen so that a launch of Mixtral fails over through both."""

from typing import Any

GCE: tuple[dict[str, Any], ...] = (
    {"code": "QUOTA_EXCEEDED", "machine_type": "a2-ultragpu-*", "zone": "us-central1-*"},
    {"code": "QUOTA_EXCEEDED", "machine_type": "a2-ultragpu-*", "zone": "us-east5-*"},
    {"code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "machine_type": "a2-ultragpu-*"},
    {"code": "GPUS_ALL_REGIONS", "machine_type": "a2-highgpu-*"},
)

EC2: tuple[dict[str, Any], ...] = (
    {"code": "InsufficientInstanceCapacity", "instance_type": "p4d.24xlarge", "region": "us-east-2"},
)
