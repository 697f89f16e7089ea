"""Refusals of AWS and GCP as public drivers, reports and documentation quote them: the scope and sentence of each."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from google.api_core.exceptions import format_http_response_error

from tests.builders.offers import offer
from workers.clouds.aws import errors as aws
from workers.clouds.aws import fleet
from workers.clouds.gcp import errors as gcp
from workers.placement.refusal_codes import TABLES
from workers.placement.refusals import ACCOUNT_WIDE, MISCONFIGURED, WHOLE_REGION, Scope

CORPUS = Path(__file__).parents[3] / "data" / "refusals"
ROWS = [row for name in ("aws", "gcp") for row in csv.DictReader((CORPUS / f"{name}.csv").read_text().splitlines())]


def refused_by_aws(row):
    offers = (offer(cloud="aws", region="us-east-1", zone="use1-az1", instance_type="p4d.24xlarge"),)
    if row["where"] == "fleet":
        (found,) = fleet.refusals({"Errors": [{"ErrorCode": row["code"], "ErrorMessage": row["text"]}]}, offers, {}, {})
        return found
    error = {"Code": row["code"], "Message": row["text"]}
    answer = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": int(row["status"])}}
    with pytest.raises(aws.AwsError) as caught, aws.translated("us-east-1"):
        raise ClientError(answer, "CreateFleet")
    (found,) = aws.refused(caught.value, offers).refusals
    return found


def refused_by_gcp(row):
    offers = (offer(cloud="gcp", region="us-central1", zone="us-central1-a", instance_type="a2-highgpu-8g"),)
    if row["where"] == "operation":
        (found,) = gcp.refused_by("p", [(row["code"], row["text"])], offers).refusals
        return found
    reason, _, info = row["code"].partition("/")
    errors = [{"message": row["text"], "domain": "global", "reason": reason}] if reason else []
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info}] if info else []
    status = int(row["status"])
    payload = {"error": {"code": status, "message": row["text"], "errors": errors, "details": details}}
    url = "https://compute.googleapis.com/compute/v1/projects/p/zones/us-central1-a/instances"
    error = gcp.from_sdk("p", format_http_response_error(SimpleNamespace(status_code=status), "POST", url, payload))
    (found,) = gcp.refused(error, offers).refusals
    return found


@pytest.mark.parametrize("row", ROWS, ids=[f"{n}-{r['cloud']}-{r['code']}" for n, r in enumerate(ROWS, 2)])
def test_a_real_refusal_has_its_scope_and_its_sentence_and_is_known(row):
    found = refused_by_aws(row) if row["cloud"] == "aws" else refused_by_gcp(row)
    assert found.code in TABLES[row["cloud"]]
    assert (found.scope, found.code) == (Scope(row["scope"]), found.code)
    assert row["sentence"] in found.sentence
    assert not found.sentence.endswith(".")


def test_the_corpus_is_large_and_names_no_account():
    """Rows that could not be looked up say so, and do not count."""
    assert len([row for row in ROWS if not row["source"].startswith("recalled")]) >= 120
    assert all(row["source"] and row["where"] in ("exception", "fleet", "operation") for row in ROWS)


def test_each_code_with_a_rule_of_its_own_is_in_a_table_with_a_fitting_scope():
    made_here = {"NoSuchRegion", "ImageOfAnotherCloud", "PortOutOfRange"}  # refusals of the drivers themselves
    rulings = {**TABLES["aws"], **TABLES["gcp"]}
    assert {rulings[code].scope for code in WHOLE_REGION - made_here} == {Scope.REGION}
    assert ACCOUNT_WIDE <= WHOLE_REGION
    assert {rulings[code].scope for code in MISCONFIGURED - made_here} <= {Scope.REGION, Scope.CLOUD}
