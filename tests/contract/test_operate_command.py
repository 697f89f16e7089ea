"""What an operator does on the command line, on a real Valkey."""

import io
import json

import pytest

from bot.cli import operate_command as command
from tests.builders.logs import Logs
from tests.builders.recipes import SMOLLM2, scaled_by
from workers.api import Deployments, NoSuchDeployment
from workers.deployment.audit import OPERATOR
from workers.deployment.condition import DeploymentStatus, condition_of


@pytest.fixture
def logs(redis):
    return Logs(redis)


@pytest.fixture
def requests(redis):
    return Deployments(redis, lambda _: None, {})


@pytest.fixture
def ran(redis, valkey_url, tmp_path):
    def run(work):
        out, err = io.StringIO(), io.StringIO()
        environ = {"REDIS_URL": valkey_url, "HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path / "home")}
        return command.run(environ, work, out, err), out.getvalue() + err.getvalue()

    return run


def test_the_deployments_are_listed_for_people_and_for_scripts(logs, ran):
    logs.put("fast", "http://models.example:8000")
    logs.start("slow")
    status, said = ran(command.status(as_json=False))
    assert status == 0
    assert "http://models.example:8000/v1" in next(line for line in said.splitlines() if line.startswith("fast"))
    rows = json.loads(ran(command.status(as_json=True))[1])
    assert [(row["name"], row["status"], row["ready"]) for row in rows] == [
        ("fast", "ready", 1),
        ("slow", "planning", 0),
    ]


def test_where_nothing_runs_that_is_said(ran):
    assert ran(command.status(as_json=False)) == (0, "Nothing is running.\n")


def test_a_deployment_whose_log_is_lost_is_named_and_the_exit_status_says_so(redis, logs, ran):
    redis.delete(f"mixtral:d:{logs.start('fast')}")
    status, said = ran(command.status(as_json=False))
    assert status == 1
    assert "The log of fast cannot be read" in said


def test_scaling_is_recorded_with_the_operator_as_its_author(logs, requests, ran):
    id_ = logs.put("fast", "http://models.example:8000")
    assert ran(command.scale("fast", 2)) == (0, "fast is scaled from 1 to 2.\n")
    assert requests.by_id(id_).scaled.by == OPERATOR


def test_a_number_that_the_recipe_does_not_allow_changes_nothing(logs, requests, ran):
    id_ = logs.start("fast", recipe=scaled_by(SMOLLM2, min_replicas=1, max_replicas=2, target_qps_per_replica=1.0))
    status, said = ran(command.scale("fast", 3))
    assert (status, requests.by_id(id_).wanted) == (1, 1)
    assert "allows at most 2 replicas" in said


def test_an_end_is_asked_for_first_and_happens_once(logs, requests, ran):
    id_, asked = logs.put("fast", "http://models.example:8000"), []
    assert ran(command.down("fast", lambda question: bool(asked.append(question))))[0] == 1
    assert condition_of(requests.by_id(id_)).status is DeploymentStatus.READY
    status, said = ran(command.down("fast", lambda _: True))
    assert (status, requests.by_id(id_).stopped_by) == (0, OPERATOR)
    assert "fast is shutting down" in said
    version = requests.by_id(id_).version
    assert ran(command.down("fast", lambda _: pytest.fail("it ends already")))[0] == 0
    assert requests.by_id(id_).version == version
    assert asked == ["End fast, its 1 replica and its endpoint?"]


def test_a_name_that_does_not_exist_is_refused_with_those_that_do(logs, ran):
    logs.start("fast")
    with pytest.raises(NoSuchDeployment, match="Running: fast"):
        ran(command.down("fats", lambda _: True))


def test_if_redis_does_not_answer_the_command_says_what_is_uncertain(tmp_path):
    out, err = io.StringIO(), io.StringIO()
    environ = {"REDIS_URL": "redis://127.0.0.1:1/0", "HOME": str(tmp_path), "MIXTRAL_HOME": str(tmp_path)}
    assert command.run(environ, command.scale("fast", 2), out, err) == 1
    assert "not certain whether this was accepted" in err.getvalue()
