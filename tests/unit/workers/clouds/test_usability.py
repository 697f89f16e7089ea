"""A cloud's status says what is missing and what mends it, without asking anybody."""

import pytest

from workers.clouds.usability import statuses

DRIVERS = frozenset({"local", "aws", "gcp"})


def status(cloud, environ, drivers=DRIVERS):
    return statuses(environ, drivers=drivers)[cloud]


@pytest.fixture
def home(tmp_path):
    return {"HOME": str(tmp_path)}


def test_without_anything_the_clouds_lack_credentials(home):
    assert status("aws", home).reason == "AWS: no credentials found"
    assert "aws configure" in status("aws", home).mend
    assert status("gcp", home).reason == "GCP: no credentials found"
    assert "gcloud auth application-default login" in status("gcp", home).mend
    assert status("local", home).usable


def test_keys_in_the_environment_make_aws_usable(home):
    assert status("aws", {**home, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).usable
    assert "AWS_SECRET_ACCESS_KEY is not" in status("aws", {**home, "AWS_ACCESS_KEY_ID": "a"}).reason


@pytest.mark.parametrize("file", ["credentials", "config"])
def test_keys_in_a_file_make_aws_usable(home, tmp_path, file):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / file).write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    assert status("aws", home).usable


def test_a_broken_file_of_aws_holds_no_keys(home, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_bytes(b"\xff[[[")
    assert not status("aws", home).usable


def test_gcp_needs_credentials_and_a_project(home, tmp_path):
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text("{}")
    assert status("gcp", home).reason == "GCP: no project is set"
    assert status("gcp", {**home, "GOOGLE_CLOUD_PROJECT": "p"}).usable
    named = {**home, "GOOGLE_APPLICATION_CREDENTIALS": "/no/such.json"}
    assert "/no/such.json" in status("gcp", named).reason


def test_a_stand_in_for_gce_asks_for_no_credentials(home):
    environ = {**home, "MIXTRAL_GCE_ENDPOINT": "http://127.0.0.1:8500", "GOOGLE_CLOUD_PROJECT": "p"}
    assert status("gcp", environ).usable


def test_a_cloud_without_a_driver_is_not_usable_yet(home):
    environ = {**home, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert status("aws", environ, frozenset({"local"})).reason == "this version has no driver for AWS yet"


def test_clouds_that_are_left_out_say_so(home):
    found = statuses({**home, "MIXTRAL_CLOUDS": "GCP, aws"}, drivers=DRIVERS)
    assert found["local"].reason == "local: MIXTRAL_CLOUDS does not include it"
    assert found["aws"].reason == "AWS: no credentials found"
