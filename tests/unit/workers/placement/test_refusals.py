"""What a refusal rules out: a region, all of it, or the whole cloud once two regions agree."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.builders.offers import offer
from workers.placement.refusals import Refusal, Scope, blocking

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)
REGIONS = ("eu-central-1", "us-east-1", "us-west-2")


class Answer(NamedTuple):
    at: datetime
    refusals: tuple[Refusal, ...]


def aws(region, type_="p4d.24xlarge", *, spot=False):
    return offer(f"aws {region}-az1", region=region, instance_type=type_, spot=spot)


def refused(region, code="UnauthorizedOperation", *, ago=1.0, scope=Scope.REGION):
    refusal = Refusal(offers=(aws(region),), sentence="no", code=code, scope=scope, lasts=FIVE_MINUTES)
    return Answer(NOW - timedelta(minutes=ago), (refusal,))


def ruled_out(offer_, *answers):
    return blocking(offer_, sorted(answers, key=lambda answer: answer.at), NOW) is not None


OTHERS = (aws("us-east-1"), aws("us-west-2", "g6.48xlarge"), aws("us-east-1", spot=True), offer("gcp us-east1-b"))


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AccessDeniedException", "ParameterNotFound"])
def test_a_denied_region_rules_out_all_of_itself_and_nothing_else(code):
    answer = refused("eu-central-1", code)
    for type_ in ("p4d.24xlarge", "g6.48xlarge"):
        assert ruled_out(aws("eu-central-1", type_), answer)
        assert ruled_out(aws("eu-central-1", type_, spot=True), answer)
    assert not any(ruled_out(other, answer) for other in OTHERS)


def test_a_second_denied_region_rules_out_the_cloud_and_no_other_one():
    answers = refused("eu-central-1", ago=2), refused("us-west-2")
    assert all(ruled_out(aws(region), *answers) for region in REGIONS)
    assert not ruled_out(offer("gcp us-east1-b"), *answers)


def test_the_same_region_twice_is_not_a_second_region():
    assert not ruled_out(aws("us-east-1"), refused("eu-central-1", ago=2), refused("eu-central-1"))


def test_two_regions_that_gave_different_codes_do_not_rule_out_the_cloud():
    assert not ruled_out(aws("us-east-1"), refused("eu-central-1"), refused("us-west-2", "ParameterNotFound"))


def test_a_denial_that_has_expired_is_not_the_first_of_two():
    assert not ruled_out(aws("us-east-1"), refused("eu-central-1", ago=6), refused("us-west-2"))


def test_a_policy_that_forbids_two_regions_leaves_the_others_open():
    answers = (
        refused("eu-central-1", "UnauthorizedOperation.Policy"),
        refused("us-west-2", "UnauthorizedOperation.Policy"),
    )
    assert not ruled_out(aws("us-east-1"), *answers)
    assert ruled_out(aws("us-west-2", "g6.48xlarge"), *answers)


def test_invalid_credentials_rule_out_the_cloud_immediately():
    assert ruled_out(aws("us-east-1"), refused("eu-central-1", "AuthFailure", scope=Scope.CLOUD))


def test_a_quota_of_one_family_leaves_the_other_families_of_the_region_open():
    answer = refused("us-east-1", "VcpuLimitExceeded")
    assert ruled_out(aws("us-east-1", "p5.48xlarge"), answer)
    assert not ruled_out(aws("us-east-1", "g6.48xlarge"), answer)


def test_a_group_that_is_not_visible_yet_rules_out_nothing():
    answer = refused("us-east-1", "InvalidGroup.NotFound", scope=Scope.BACK_OFF, ago=0)
    assert not ruled_out(aws("us-east-1"), answer)


@given(st.lists(st.tuples(st.sampled_from(REGIONS), st.floats(0, 10)), max_size=6), st.sampled_from(REGIONS))
def test_a_region_is_open_exactly_if_it_and_all_pairs_of_others_have_not_refused(denials, region):
    in_force = {where for where, ago in denials if timedelta(minutes=ago) < FIVE_MINUTES}
    answers = [refused(where, ago=ago) for where, ago in denials]
    assert ruled_out(aws(region, "g6.48xlarge", spot=True), *answers) == (region in in_force or len(in_force) > 1)


def test_a_recommendation_by_a_clock_that_was_ahead_lifts_no_later_refusal():
    """Else the refused offer would be requested again at once, until the clock has caught up."""
    tried = aws("us-east-1")
    ahead = refused("us-east-1", "InsufficientInstanceCapacity", ago=-30 * 60, scope=Scope.ZONE)
    ahead = Answer(ahead.at, (replace(ahead.refusals[0], zones_with_capacity=(tried.zone,)),))
    later = refused("us-east-1", "InsufficientInstanceCapacity", scope=Scope.ZONE)
    assert ruled_out(tried, later)
    assert ruled_out(tried, later, ahead)
