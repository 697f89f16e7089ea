"""The last line of `mixtral-bot check`: whether a launch could work, and what stands in its way."""

import pytest

from bot.cli.check_verdict import verdict
from workers.clouds.findings import QUOTA, Finding


def found(about, works, what=""):
    return Finding(about=about, what=what, works=works, says="so")


REDIS, SLACK, LOCAL = found("Redis", True), found("Slack", True, "bot token"), found("local", None)
WORKER, GATEWAY = found("worker", True), found("gateway", True, "address")
AWS, GCP = found("AWS", True, "credentials"), found("GCP", True, "credentials")
GOOD = (REDIS, SLACK, WORKER, GATEWAY, AWS, LOCAL)


@pytest.mark.parametrize(
    ("findings", "ready", "says"),
    [
        (GOOD, True, "Ready for a launch on AWS."),
        ((*GOOD, GCP), True, "Ready for a launch on AWS and GCP."),
        (
            (REDIS, found("worker", None), found("gateway", None, "address"), AWS),
            True,
            "Ready for a launch on AWS, once the worker and the gateway run.",
        ),
        (
            (REDIS, found("AWS", None), found("local", True)),
            True,
            "Ready for a launch on local; no cloud that rents machines is set up.",
        ),
        (
            (*GOOD, found("Redis", False, "memory"), found("worker", False)),
            False,
            "Not ready for a launch: mend what is marked `no` above (Redis memory and worker).",
        ),
        (
            (*GOOD, found("GCP", True, "credentials"), found("GCP", False, "permissions")),
            False,
            "Ready for a launch on AWS, but not on GCP: mend what is marked `no` above (GCP permissions).",
        ),
        (
            (REDIS, found("AWS", False, "credentials"), LOCAL),
            False,
            "Not ready for a launch: mend what is marked `no` above (AWS credentials).",
        ),
        (
            (REDIS, found("AWS", None), found("GCP", None), LOCAL),
            False,
            "Not ready for a launch: no cloud can be used. Set up one of AWS, GCP, local, as their lines say.",
        ),
        ((*GOOD, found("AWS", False, QUOTA), found("AWS", True, QUOTA)), True, "Ready for a launch on AWS."),
        (
            (REDIS, AWS, found("AWS", False, QUOTA)),
            False,
            "Not ready for a launch: mend what is marked `no` above (AWS quota).",
        ),
    ],
)
def test_the_verdict_names_the_clouds_that_work_and_the_lines_to_mend(findings, ready, says):
    told = verdict(findings, ())
    assert (told.ready, told.says) == (ready, says)


def test_a_cloud_that_is_named_and_not_set_up_is_missing():
    told = verdict((REDIS, AWS, found("GCP", None)), {"aws", "gcp"})
    assert not told.ready
    assert told.says == "Ready for a launch on AWS, but not on GCP: mend what is marked `no` above (GCP)."
