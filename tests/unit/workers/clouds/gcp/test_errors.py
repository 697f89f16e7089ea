"""Errors as Compute Engine writes them, and what is made of them."""

from types import SimpleNamespace

import pytest
from google.api_core.exceptions import format_http_response_error
from google.cloud import compute_v1

from tests.unit.workers.clouds.gcp.test_instance import A100
from workers.clouds.gcp.errors import from_sdk, refused, refused_by
from workers.clouds.gcp.launch import _text
from workers.placement.refusals import Scope

URL = "https://compute.googleapis.com/compute/v1/projects/p/zones/us-central1-a/instances"


def said(status, message, reason="", info=""):
    errors = [{"message": message, "domain": "global", "reason": reason}] if reason else []
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info}] if info else []
    payload = {"error": {"code": status, "message": message, "errors": errors, "details": details}}
    return from_sdk("p", format_http_response_error(SimpleNamespace(status_code=status), "POST", URL, payload))


@pytest.mark.parametrize(
    ("error", "code", "scope"),
    [
        (said(401, "Login Required.", "required"), "authError", Scope.CLOUD),
        (said(401, "Request had invalid credentials.", "", "ACCESS_TOKEN_EXPIRED"), "authError", Scope.CLOUD),
        (said(403, "Required 'compute.instances.create' permission", "forbidden"), "forbidden", Scope.CLOUD),
        (said(403, "Compute Engine API has not been used", "accessNotConfigured"), "accessNotConfigured", Scope.CLOUD),
        (said(403, "Compute Engine API has not been used", "", "SERVICE_DISABLED"), "accessNotConfigured", Scope.CLOUD),
        (said(403, "billing to be enabled", "forbidden", "BILLING_DISABLED"), "BILLING_DISABLED", Scope.CLOUD),
        (said(403, "Permission denied on it", "forbidden", "CONSUMER_INVALID"), "projectNotFound", Scope.CLOUD),
        (said(404, "The resource 'projects/p' was not found", "notFound"), "projectNotFound", Scope.CLOUD),
        (said(403, "Quota 'A2_CPUS' exceeded.", "quotaExceeded"), "QUOTA_EXCEEDED", Scope.REGION),
        (said(403, "Quota 'GPUS_ALL_REGIONS' exceeded.", "quotaExceeded"), "QUOTA_EXCEEDED", Scope.GPU),
        (said(403, "Rate Limit Exceeded", "rateLimitExceeded"), "rateLimitExceeded", Scope.BACK_OFF),
        (said(429, "Too many requests"), "rateLimitExceeded", Scope.BACK_OFF),
        (said(400, "Invalid value for field 'zone': 'x'. Unknown zone.", "invalid"), "zoneNotFound", Scope.ZONE),
        (said(400, "Invalid value for field 'disk'.", "invalid"), "invalid", Scope.BUG),
        (said(418, "I am a teapot", "teapot"), "teapot", Scope.ZONE),
    ],
)
def test_an_answer_s_code_says_what_it_rules_out(error, code, scope):
    refusal = refused(error, (A100,))
    assert (refusal.code, refusal.scope) == (code, scope)


def test_an_unknown_code_is_told_as_it_came():
    assert str(refused(said(418, "I am a teapot.", "teapot"), (A100,))) == "teapot: I am a teapot"


def test_the_widest_of_several_errors_is_the_refusal_and_the_summary_is_left_out():
    refusal = refused_by(
        "p",
        [
            ("VM_MIN_COUNT_NOT_REACHED", "Requested minimum count of 1 VMs could not be created."),
            ("ZONE_RESOURCE_POOL_EXHAUSTED", "The zone 'projects/p/zones/us-central1-a' does not have enough."),
            ("QUOTA_EXCEEDED", "Quota 'NVIDIA_A100_GPUS' exceeded.  Limit: 0.0 in region us-central1."),
        ],
        (A100,),
    )
    assert refusal.scope is Scope.REGION
    assert "quotas?project=p" in str(refusal)
    assert [one.scope for one in refusal.refusals] == [Scope.ZONE, Scope.REGION]


def test_a_summary_alone_speaks_of_all():
    refusal = refused_by("p", [("VM_MIN_COUNT_NOT_REACHED", "Requested minimum count of 1 VMs …")], (A100,))
    assert refusal.refusals[0].offers == (A100,)
    assert str(refusal) == "no capacity right now"


def test_the_details_of_a_shortage_recommend_zones():
    message = (
        "A g2-standard-96 VM instance is currently unavailable in the us-central1-b zone. Consider trying your request "
        "in the us-central1-a, us-central1-f zone(s), which currently has capacity to accommodate your request."
    )
    details = [compute_v1.ErrorDetails(localized_message=compute_v1.LocalizedMessage(message=message))]
    error = compute_v1.Errors(message="The zone does not have enough resources.", error_details=details)
    refusal = refused_by("p", [("ZONE_RESOURCE_POOL_EXHAUSTED", _text(error))], (A100,)).refusals[0]
    assert refusal.zones_with_capacity == ("us-central1-a", "us-central1-f")
