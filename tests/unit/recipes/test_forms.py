"""Every form that SkyPilot's format allows for a field loads as the same types."""

from datetime import timedelta
from decimal import Decimal
from textwrap import indent

import msgspec
import pytest

from recipes.loader import load
from recipes.schema import Minimum, Recipe, Tls


def recipe(resources="", service="", rest="", environ=None):
    text = "run: serve\n" + rest
    for name, section in (("resources", resources), ("service", service)):
        if section:
            text += f"\n{name}:\n" + indent(section, "  ") + "\n"
    return load(text, environ or {})


def machine(resources, **more):
    found = recipe(resources, **more).resources
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("A100", ["A100:1"]),
        ("A100:8", ["A100:8"]),
        ("a100-80gb:8", ["A100-80GB:8"]),
        ("{A100: 8}", ["A100:8"]),
        ("{A100: 8.0}", ["A100:8"]),
        ("{A100: '8'}", ["A100:8"]),
        ("{L4:8}", ["L4:8"]),
        ("{L4, A10g, A100}", ["L4:1", "A10G:1", "A100:1"]),
        ("{RTXPRO6000: 2}", ["RTXPRO6000:2"]),
        ("RTX-PRO-6000:2", ["RTXPRO6000:2"]),
        ("rtx_pro_6000", ["RTXPRO6000:1"]),
        ("{RTX PRO 6000: 8}", ["RTXPRO6000:8"]),
        ("{b200:8, H200:8}", ["B200:8", "H200:8"]),
        ("{A100:4, A100-80GB:2, A100:4}", None),
        ("{A100:4, A100-80GB:2}", ["A100:4", "A100-80GB:2"]),
        ("{A100:4: , A10G: 2}", ["A100:4", "A10G:2"]),
        ("['L4:1']", ["L4:1"]),
        ("tpu-v5e-8", ["tpu-v5e-8:1"]),
        ("{A100-80GB-SXM:1, A100-80GB:1}", ["A100-80GB-SXM:1", "A100-80GB:1"]),
        ("{A800:8, H100-NVLINK:8, RTXA4500: 4}", ["A800:8", "H100-NVLINK:8", "RTXA4500:4"]),
        ("", []),
    ],
)
def test_accelerators_as_text_set_mapping_or_list(written, read):
    if read is None:
        with pytest.raises(Exception, match="given twice"):
            machine(f"accelerators: {written}")
    else:
        assert [str(a) for a in machine(f"accelerators: {written}").accelerators] == read


LOGIN = """\
envs: {SKYPILOT_DOCKER_USERNAME: reader, SKYPILOT_DOCKER_SERVER: registry.example.com}
secrets: {SKYPILOT_DOCKER_PASSWORD: null}
"""


@pytest.mark.parametrize(
    ("image", "rest", "said"),
    [
        ("docker:registry.example.com/team/app:1", "", "pulled from registry.example.com without a login; if"),
        ("docker:localhost:5000/app", "", "pulled from localhost:5000 without a login"),
        ("docker:registry.example.com/team/app:1", LOGIN, None),
        (
            "docker:ghcr.io/team/app:1",
            "envs: {SKYPILOT_DOCKER_USERNAME: reader}\n",
            "the login to ghcr.io lacks SKYPILOT_DOCKER_PASSWORD and SKYPILOT_DOCKER_SERVER, so",
        ),
        ("docker:ghcr.io/team/app:1", "", None),
        ("docker:vllm/vllm-openai:v0.10.0", "", None),
        ("docker:python", "", None),
        ("ami-0123456789abcdef0", "", None),
    ],
)
def test_an_image_of_a_registry_without_a_login_is_said(image, rest, said):
    found = recipe(f"image_id: {image}", rest=rest).notes
    assert [note.field for note in found] == (["resources.image_id"] if said else [])
    assert said is None or said in found[0].meaning
    assert said is None or "SKYPILOT_DOCKER_PASSWORD" in found[0].meaning


@pytest.mark.parametrize("written", ["{X900-96GB: 4, A100: 8}", "[A100:8, X900-96GB:4]", "{X900-96GB:4, A100:8}"])
def test_an_unknown_accelerator_beside_a_known_one_is_kept_and_said(written):
    found = recipe(f"accelerators: {written}")
    assert {str(a) for r in found.resources for a in r.accelerators} == {"A100:8", "X900-96GB:4"}
    [said] = found.notes
    assert said.meaning.startswith('unknown accelerator "X900-96GB"; ')
    assert "no machine with it is known, so its alternatives are used" in said.meaning


def test_a_list_of_accelerators_is_an_order_of_preference():
    found = recipe("accelerators: ['H100:8', 'A100:8']")
    assert found.ordered
    assert [[str(a) for a in r.accelerators] for r in found.resources] == [["H100:8"], ["A100:8"]]


def test_gpus_is_another_name_for_accelerators():
    assert [str(a) for a in machine("gpus: A100:8").accelerators] == ["A100:8"]


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("infra: gcp/us-central1/us-central1-a", ("gcp", "us-central1", "us-central1-a")),
        ("infra: gcp/*/us-central1-a", ("gcp", None, "us-central1-a")),
        ("infra: '*/us-east1'", (None, "us-east1", None)),
        ("infra: '*'", (None, None, None)),
        ("infra: AWS", ("aws", None, None)),
        ("infra: k8s/my/context", ("kubernetes", "my/context", None)),
        ("cloud: GCP\nregion: us-*", ("gcp", "us-*", None)),
        ("cloud: ${CLOUD_PROVIDER}", (None, None, None)),
        ("cloud: $CLOUD\nregion: $REGION", ("gcp", "here", None)),
        ("infra: $CLOUD/$REGION", ("gcp", "here", None)),
        ("infra:", (None, None, None)),
    ],
)
def test_where_it_runs(written, place):
    found = machine(written, environ={"CLOUD": "gcp", "REGION": "here"})
    assert (found.cloud, found.region, found.zone) == place


def test_a_zone_name_of_aws_stands_for_its_region_and_says_so():
    found = recipe("infra: aws/us-east-1/us-east-1a")
    assert (found.resources[0].region, found.resources[0].zone) == ("us-east-1", None)
    assert "zone id" in found.notes[0].meaning


@pytest.mark.parametrize(
    ("field", "attribute", "value"),
    [
        ("cpus: 32+", "cpus", Minimum(amount=32, at_least=True)),
        ("cpus: 8", "cpus", Minimum(amount=8)),
        ("cpus: '4'", "cpus", Minimum(amount=4)),
        ("memory: 1000+", "memory", Minimum(amount=1000, at_least=True)),
        ("memory: 64GB+", "memory", Minimum(amount=64, at_least=True)),
        ("memory: 1TB", "memory", Minimum(amount=1024)),
        ("memory: 4x", "memory_per_cpu", True),
        ("disk_size: 512", "disk_size_gib", 512),
        ("disk_size: 1TB", "disk_size_gib", 1024),
        ("disk_tier: best", "disk_tier", "best"),
        ("network_tier: best", "network_tier", "best"),
        ("image_id: docker:vllm/vllm-openai:v0.10.0", "image_id", "docker:vllm/vllm-openai:v0.10.0"),
        ("instance_type: p4d.24xlarge", "instance_type", "p4d.24xlarge"),
        ("max_hourly_cost: 12.5", "max_hourly_cost", Decimal("12.5")),
        ("ports: 8000", "ports", (8000,)),
        ("ports: '8000'", "ports", (8000,)),
        ("ports: [8000, 22-24, '8000']", "ports", (8000, 22, 23, 24)),
        ("ports:", "ports", ()),
        ("labels: {team: red, cost: 12}", "labels", {"team": "red", "cost": "12"}),
    ],
)
def test_other_fields_of_resources(field, attribute, value):
    assert getattr(machine(field), attribute) == value


def test_entries_of_any_of_override_what_stands_around_them():
    found = recipe(
        """
infra: gcp/us-central1
accelerators: A100:8
use_spot: true
labels: {a: outer, b: outer}
any_of:
  - infra: aws
  - region: us-east1
    labels: {a: inner}
  - zone: us-west1-b
    accelerators: {A100-80GB:4, A100-80GB:8}
  - infra: aws
  - use_spot: false
"""
    )
    assert not found.ordered
    assert [(r.cloud, r.region, r.zone, r.use_spot) for r in found.resources] == [
        ("aws", None, None, True),
        ("gcp", "us-east1", None, True),
        ("gcp", "us-central1", "us-west1-b", True),
        ("gcp", "us-central1", None, False),
    ]
    assert found.resources[1].labels == {"a": "inner", "b": "outer"}
    assert [str(a) for a in found.resources[2].accelerators] == ["A100-80GB:4", "A100-80GB:8"]
    assert [str(a) for a in found.resources[0].accelerators] == ["A100:8"]


def test_ordered_keeps_the_order_of_the_file():
    found = recipe("ordered:\n  - {accelerators: H100:8}\n  - {accelerators: A100:8, cloud: gcp}")
    assert found.ordered
    assert [(str(r.accelerators[0]), r.cloud) for r in found.resources] == [("H100:8", None), ("A100:8", "gcp")]


def test_empty_sections_are_none_at_all():
    found = load("resources:\nservice:\nenvs:\nsecrets:\nsetup:\nrun: serve\nnum_nodes: 1", {})
    assert found == Recipe(name="recipe", run="serve", service=found.service)
    assert found.service.readiness_probe.path == "/health"


def test_a_probe_is_a_path_or_a_mapping():
    assert recipe(service="readiness_probe: /v1/models").service.readiness_probe.path == "/v1/models"
    probe = recipe(
        service="""
readiness_probe:
  path: /v1/chat/completions
  post_data: '{"model": "$MODEL_NAME", "n": 1}'
  headers: {Authorization: Bearer $AUTH_TOKEN, X-Model: "${MODEL_NAME}"}
  timeout_seconds: 2.5
  initial_delay_seconds: 60
""",
        rest="envs: {MODEL_NAME: org/model, AUTH_TOKEN: null}",
    ).service.readiness_probe
    assert probe.post_data == {"model": "org/model", "n": 1}
    assert probe.headers == {"Authorization": "Bearer $AUTH_TOKEN", "X-Model": "org/model"}
    assert (probe.timeout, probe.initial_delay) == (timedelta(seconds=2.5), timedelta(seconds=60))


def test_variables_are_replaced_in_post_data():
    service = "readiness_probe:\n  path: /\n  post_data: {model: $MODEL_NAME, deep: [{x: '${MODEL_NAME}!'}], n: 3}"
    body = recipe(service=service, rest="envs: {MODEL_NAME: m}").service.readiness_probe.post_data
    assert body == {"model": "m", "deep": [{"x": "m!"}], "n": 3}


def test_a_replica_policy_in_full():
    policy = recipe(
        service="""
replica_policy:
  min_replicas: 0
  max_replicas: 5
  target_qps_per_replica: 2.5
  upscale_delay_seconds: 30
  downscale_delay_seconds: 60
  num_overprovision: 1
  dynamic_on_demand_fallback: true
  base_ondemand_fallback_replicas: 1
"""
    ).service.replica_policy
    assert (policy.min_replicas, policy.max_replicas, policy.target_qps_per_replica) == (0, 5, 2.5)
    assert (policy.upscale_delay, policy.downscale_delay) == (timedelta(seconds=30), timedelta(seconds=60))
    assert (policy.num_overprovision, policy.base_ondemand_fallback_replicas) == (1, 1)
    assert policy.dynamic_ondemand_fallback


def test_replicas_alone_is_a_policy():
    assert recipe(service="replicas: 2").replicas == 2


def test_a_rate_for_each_accelerator_becomes_the_smallest_and_says_so():
    found = recipe(
        service="replica_policy: {min_replicas: 1, max_replicas: 2, target_qps_per_replica: {H100: 4, A100: 2}}"
    )
    assert found.service.replica_policy.target_qps_per_replica == 2
    assert any("smallest" in note.meaning for note in found.notes)


def test_a_policy_that_nothing_moves_says_so_and_starts_with_one():
    found = recipe(service="replica_policy: {min_replicas: 0, max_replicas: 2}")
    assert [note.field.rpartition(".")[2] for note in found.notes] == ["max_replicas"]
    assert found.replicas == 1


def test_a_policy_for_load_and_for_spot_is_served_and_needs_no_note():
    policy = (
        "min_replicas: 0, max_replicas: 4, target_qps_per_replica: 2.5, num_overprovision: 1, "
        "base_ondemand_fallback_replicas: 1, dynamic_ondemand_fallback: true"
    )
    found = recipe("{accelerators: A100:8, use_spot: true}", service=f"replica_policy: {{{policy}}}")
    assert found.notes == ()
    kept = found.service.replica_policy
    assert (kept.target_qps_per_replica, kept.num_overprovision, kept.base_ondemand_fallback_replicas) == (2.5, 1, 1)


def test_alternatives_may_differ_in_spot_alone():
    found = recipe("accelerators: {H200:8, H100:8}\nany_of: [{use_spot: true}, {use_spot: false}]")
    assert [r.use_spot for r in found.resources] == [True, False]
    assert all(len(r.accelerators) == 2 for r in found.resources)


@pytest.mark.parametrize("field", ["port", "ports"])
def test_the_service_chooses_its_port(field):
    assert recipe(service=f"{field}: 8080").port == 8080
    assert recipe("ports: [22, 8080]", service=f"{field}: 8080").port == 8080


def test_without_any_port_it_is_8000():
    assert recipe().port == 8000


@pytest.mark.parametrize("where", ["resources", "service"])
def test_the_balancing_policy_may_stand_in_either_place(where):
    found = recipe(**{where: "load_balancing_policy: round_robin"})
    assert found.service.load_balancing_policy == "round_robin"
    assert [note.field for note in found.notes] == [f"{where}.load_balancing_policy"]
    assert "the fewest" in found.notes[0].meaning


def test_tls_may_name_variables():
    found = recipe(service="tls: {keyfile: $KEYFILE, certfile: /c.pem}", rest="envs: {KEYFILE: null, X: /k}")
    assert found.service.tls == Tls(keyfile="$KEYFILE", certfile="/c.pem")
    assert "MIXTRAL_TLS_CERT" in found.notes[0].meaning


def test_envs_may_be_numbers_empty_or_for_the_launcher_to_give():
    found = load("run: x\nenvs: {N: 010, F: 1.10, B: true, E: '', MISSING: null, MODEL: '<your model>', NAME: a}\n", {})
    assert found.envs == {"N": "010", "F": "1.10", "B": "true", "E": "", "NAME": "a"}
    assert found.missing_envs == ("MISSING", "MODEL")


def test_secrets_are_named_and_their_values_never_kept():
    found = load(
        "run: x\nenvs: {HF_TOKEN: hf_123, WANDB_API_KEY: '', MAX_TOKEN: 5}\nsecrets: {OTHER: null, PLAIN: abc}", {}
    )
    assert set(found.secrets) == {"OTHER", "PLAIN", "HF_TOKEN", "WANDB_API_KEY"}
    assert found.envs == {"MAX_TOKEN": "5"}
    assert [(note.field, note.line) for note in found.notes] == [("envs.HF_TOKEN", 2), ("secrets.PLAIN", 3)]
    assert b"hf_123" not in msgspec.json.encode(found)
    assert b"abc" not in msgspec.json.encode(found)


def test_secrets_may_be_a_list_of_names():
    assert load("run: x\nsecrets: [HF_TOKEN]", {}).secrets == ("HF_TOKEN",)


def test_what_skypilot_has_and_we_do_not_serve_is_noted_with_its_line():
    found = load(
        """
num_nodes: 2
workdir: .
file_mounts: {/data: s3://bucket}
resources:
  autostop: 10
  job_recovery: FAILOVER
  accelerator_args: {runtime_version: x}
service:
  readiness_probe: {path: /, endpoint_probe_interval_seconds: 5}
  replica_policy: {min_replicas: 1, spot_placer: dynamic_fallback}
  auto_restart: true
run: x
""",
        {},
    )
    assert [(note.line, note.field) for note in found.notes] == [
        (2, "num_nodes"),
        (3, "workdir"),
        (4, "file_mounts"),
        (6, "resources.autostop"),
        (7, "resources.job_recovery"),
        (8, "resources.accelerator_args"),
        (10, "service.readiness_probe.endpoint_probe_interval_seconds"),
        (11, "service.replica_policy.spot_placer"),
        (12, "service.auto_restart"),
    ]
    assert all(note.meaning for note in found.notes)


def test_the_short_form_names_engine_model_and_flags():
    engine = load(
        "engine: {kind: vllm, model: a/b, args: {--max-model-len: 4096, enforce-eager: null, dtype: auto}}", {}
    ).engine
    assert (engine.kind, engine.model) == ("vllm", "a/b")
    assert engine.args == {"max-model-len": 4096, "enforce-eager": None, "dtype": "auto"}


def test_a_merge_key_brings_fields_in():
    found = load("envs:\n  <<: &common {A: 1, B: 2}\n  B: 3\nrun: x", {})
    assert found.envs == {"A": "1", "B": "3"}


def test_a_recipe_is_kept_whole_as_json():
    found = recipe("accelerators: {A100:8}\nmax_hourly_cost: 3.5\ncpus: 4+", service="replicas: 2")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Recipe) == found
