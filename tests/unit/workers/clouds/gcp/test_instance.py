import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.machines import boot, request
from tests.builders.offers import offer
from workers.clouds.cidrs import CidrsError, cidrs
from workers.clouds.gcp.instance import LABEL, NAME, disk_type, image, label_of, name_of
from workers.clouds.gcp.network import rule_name
from workers.clouds.gcp.quota import Quota, shortage

A100 = offer("us-central1-a", "9.7", "A100:4", instance_type="a2-highgpu-4g")


@given(st.text())
def test_any_token_gives_a_valid_name_and_always_the_same(token):
    assert NAME.fullmatch(name_of(token))
    assert name_of(token) == name_of(token)


@given(st.lists(st.text(alphabet="aB-_.9é", max_size=70), min_size=2, max_size=2, unique=True))
def test_two_tokens_never_share_a_name(tokens):
    assert name_of(tokens[0]) != name_of(tokens[1])


@given(st.text())
def test_any_value_gives_a_valid_label(value):
    assert LABEL.fullmatch(label_of(value))


@given(st.text(min_size=1), st.integers(1, 65535))
def test_any_installation_gives_a_rule_a_valid_name(installation, port):
    assert NAME.fullmatch(rule_name(installation, port))


@pytest.mark.parametrize(
    ("tier", "type_", "disk"),
    [
        (None, "a2-highgpu-4g", "pd-balanced"),
        ("low", "a2-highgpu-4g", "pd-standard"),
        ("medium", "a2-highgpu-4g", "pd-balanced"),
        ("high", "a2-highgpu-4g", "pd-ssd"),
        ("ultra", "a2-highgpu-4g", "pd-ssd"),
        ("best", "g2-standard-48", "pd-ssd"),
        ("low", "g2-standard-48", "pd-balanced"),
        ("low", "a3-highgpu-8g", "pd-balanced"),
        ("low", "n1-standard-8", "pd-standard"),
        ("low", "a3-ultragpu-8g", "hyperdisk-balanced"),
        ("high", "g4-standard-48", "hyperdisk-balanced"),
    ],
)
def test_a_disk_s_tier_is_what_the_machine_type_takes(tier, type_, disk):
    taken = msgspec.structs.replace(A100, instance_type=type_)
    assert disk_type(request("d-1", [taken], boot=boot(disk_tier=tier)), taken) == disk


@pytest.mark.parametrize("own", ["projects/p/global/images/mine", "projects/p/global/images/family/ours"])
def test_a_recipe_s_own_image_is_taken(own):
    assert image(request("d-1", [A100], boot=boot(image=own))) == own


@pytest.mark.parametrize("other", [None, "", "docker:vllm/vllm-openai:v0.10.0", "ubuntu"])
def test_what_is_no_image_of_gce_leaves_the_usual_one(other):
    assert "deeplearning-platform-release" in image(request("d-1", [A100], boot=boot(image=other)))


def test_networks_are_read_sorted_without_repeats_and_without_host_bits():
    assert cidrs("203.0.113.7, 198.51.100.9/24,203.0.113.7/32,2001:db8::/32") == ("198.51.100.0/24", "203.0.113.7/32")


@pytest.mark.parametrize("text", ["", " , ", "10.0.0.0/33", "here", "2001:db8::/32"])
def test_networks_that_cannot_be_used_are_refused(text):
    with pytest.raises(CidrsError, match="MIXTRAL_ALLOW_CIDRS"):
        cidrs(text)


def quotas(*told):
    return {metric: Quota(metric, limit, usage) for metric, limit, usage in told}


@pytest.mark.parametrize(
    ("region", "project", "spot", "lacking"),
    [
        ([], [], False, None),
        ([("NVIDIA_A100_GPUS", 8, 4)], [("GPUS_ALL_REGIONS", 8, 4)], False, None),
        ([("NVIDIA_A100_GPUS", 8, 5)], [], False, "NVIDIA_A100_GPUS is 8, 5 of it in use in us-central1"),
        ([("NVIDIA_A100_GPUS", 0, 0)], [], False, "NVIDIA_A100_GPUS is 0 in us-central1"),
        ([("NVIDIA_A100_GPUS", 0, 0)], [], True, None),
        ([("PREEMPTIBLE_NVIDIA_A100_GPUS", 0, 0)], [], True, "PREEMPTIBLE_NVIDIA_A100_GPUS is 0"),
        (
            [("NVIDIA_A100_GPUS", 9, 0)],
            [("GPUS_ALL_REGIONS", 0, 0)],
            False,
            "GPUS_ALL_REGIONS is 0 in the whole project",
        ),
        ([("NVIDIA_A100_GPUS", -1, 0)], [], False, None),
    ],
)
def test_a_quota_counts_the_gpus_that_are_left(region, project, spot, lacking):
    taken = msgspec.structs.replace(A100, spot=spot)
    found = shortage(taken, quotas(*region), quotas(*project))
    assert found is None if lacking is None else lacking in found.text
