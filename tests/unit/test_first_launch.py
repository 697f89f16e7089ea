"""The guide to a first launch grants what the drivers need, and no more."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.builders.machines import SECRETS, request
from tests.builders.offers import offer
from tests.fakes.driver import FakeDriver
from tests.live import clouds as live
from workers.clouds.driver import DriverError
from workers.clouds.gcp.findings import PERMISSIONS
from workers.machines import Listing, Unlisted

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


@pytest.fixture
def driver(monkeypatch):
    driver = FakeDriver("aws")
    monkeypatch.setattr(live, "drivers_of", lambda _settings: {"aws": driver})
    return driver


def test_a_region_that_cannot_be_listed_is_not_called_a_running_machine(tmp_path, driver, capsys):
    live_one = live.Live("aws", tmp_path, {"MIXTRAL_INSTALLATION": "i-test"})
    denied = Unlisted(place="ap-east-1", why="AWS returned an error: UnauthorizedOperation")
    driver.owned = lambda _installation: Listing(unlisted=(denied,))
    assert live._left(live_one) == 1
    said = capsys.readouterr().out
    assert "STILL RUNNING" not in said
    assert "NOT LISTED: ap-east-1" in said
    assert "no machine" not in said


@pytest.mark.usefixtures("driver")
def test_a_folder_that_no_run_has_used_is_not_reported_as_an_installation_without_machines(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert live.main(["aws", "--end"], {"MIXTRAL_LIVE_HOME": str(tmp_path / "other")}) == 0
    said = capsys.readouterr().out
    assert f"no run has used {tmp_path / 'other'}" in said
    assert "no machine of installation" not in said


def test_an_end_of_all_machines_goes_on_after_one_that_fails(tmp_path, driver, monkeypatch, capsys):
    live_one = live.Live("aws", tmp_path, {"MIXTRAL_INSTALLATION": "i-test"})
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
