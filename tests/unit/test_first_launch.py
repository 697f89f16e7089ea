"""The guide to a first launch grants what the drivers need, and no more."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests import live
from tests.builders.machines import SECRETS, request
from tests.builders.offers import offer
from tests.fakes.driver import FakeDriver
from workers.clouds.driver import DriverError
from workers.clouds.gcp.findings import PERMISSIONS

GUIDE = (Path(__file__).parents[2] / "docs" / "first-launch.md").read_text()


def test_the_role_of_google_has_the_permissions_that_check_asks_for():
    (role,) = re.findall(r"```yaml gcp-role\n(.*?)```", GUIDE, re.DOTALL)
    assert sorted(yaml.safe_load(role)["includedPermissions"]) == sorted(PERMISSIONS)


def test_the_policy_of_aws_changes_and_ends_only_what_bears_the_tag_of_mixtral_bot():
    (policy,) = re.findall(r"```json aws-policy\n(.*?)```", GUIDE, re.DOTALL)
    everywhere = {
        action
        for one in json.loads(policy)["Statement"]
        for action in one["Action"]
        if "Condition" not in one and one["Resource"] == "*"
    }
    changes = ("Authorize", "Revoke", "Delete", "Terminate", "Modify", "GetConsole", "CreateTags")
    assert [action for action in everywhere if action.partition(":")[2].startswith(changes)] == []


def test_no_command_of_an_administrator_follows_the_switch_to_the_keys_of_mixtral_bot():
    before, switch, after = GUIDE.partition("export AWS_PROFILE=mixtral-bot")
    assert switch
    assert "request-service-quota-increase" in before
    aws = after.partition("## GCP")[0]
    assert re.findall(r"aws (?:iam|service-quotas|ec2 create)", aws) == []


@pytest.mark.parametrize("commands", re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL))
def test_no_word_of_the_commands_is_left_to_the_shell_s_patterns(commands):
    assert subprocess.run(["bash", "-n"], input=commands, text=True, check=False).returncode == 0
    assert not re.search(r"\*", re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", commands))


def test_an_end_of_all_machines_goes_on_after_one_that_fails(tmp_path, monkeypatch, capsys):
    driver = FakeDriver("aws")
    live_one = live.Live("aws", tmp_path, {"MIXTRAL_INSTALLATION": "i-test"})
    monkeypatch.setattr(live, "drivers_of", lambda _settings: {"aws": driver})
    for token in ("d-1-1", "d-1-2", "d-1-3"):
        driver.create(request(token, (offer("aws use1-az1", 1),)), SECRETS)
    ends, original = [], driver.terminate

    def terminate(token, known):
        ends.append(token)
        if token == "d-1-1":
            raise DriverError("The moon is in the wrong house")
        original(token, known)

    monkeypatch.setattr(driver, "terminate", terminate)
    live_one.end_all()
    assert sorted(ends) == ["d-1-1", "d-1-2", "d-1-3"]
    assert "cannot be ended: The moon" in capsys.readouterr().out
