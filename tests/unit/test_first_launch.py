"""The guide to a first launch grants what the drivers need, and no more."""

import re
from pathlib import Path

import yaml

from workers.clouds.gcp.findings import PERMISSIONS

GUIDE = (Path(__file__).parents[2] / "docs" / "first-launch.md").read_text()


def test_the_role_of_google_has_the_permissions_that_check_asks_for():
    (role,) = re.findall(r"```yaml gcp-role\n(.*?)```", GUIDE, re.DOTALL)
    assert sorted(yaml.safe_load(role)["includedPermissions"]) == sorted(PERMISSIONS)
