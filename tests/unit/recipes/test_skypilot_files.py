"""SkyPilot's Mixtral example and the three recipes of Mistral's deployment guide load unchanged."""

from datetime import timedelta

import pytest

from recipes.loader import load
from recipes.schema import Accelerator

SKYPILOT_MIXTRAL = """
service:
  readiness_probe:
    path: /v1/chat/completions
    post_data:
      model: mistralai/Mixtral-8x7B-Instruct-v0.1
      messages:
        - role: user
          content: Hello! What is your name?
    initial_delay_seconds: 1200
  replica_policy:
    min_replicas: 2

resources:
  accelerators: {A100:4, A100:8, A100-80GB:2, A100-80GB:4, A100-80GB:8}
  ports: 8000
  disk_tier: high

setup: |
  conda create -n mixtral -y python=3.10
  pip install torch vllm transformers megablocks

run: |
  conda activate mixtral
  python -u -m vllm.entrypoints.openai.api_server --host 0.0.0.0 \\
    --model mistralai/Mixtral-8x7B-Instruct-v0.1 \\
    --tensor-parallel-size $SKYPILOT_NUM_GPUS_PER_NODE | tee ~/openai_api_server.log
"""

GUIDE = """
envs:
  MODEL_NAME: {model}

resources:
  cloud: ${{CLOUD_PROVIDER}}
  accelerators: {accelerators}
  ports:
    - 8000

run: |
  docker run --gpus all -p 8000:8000 ghcr.io/mistralai/mistral-src/vllm:latest \\
    --host 0.0.0.0 --model $MODEL_NAME --tensor-parallel-size {count}
"""

FIVE = tuple(
    Accelerator(name=name, count=count)
    for name, count in (("A100", 4), ("A100", 8), ("A100-80GB", 2), ("A100-80GB", 4), ("A100-80GB", 8))
)


def test_skypilots_mixtral_example_loads_as_it_is():
    recipe = load(SKYPILOT_MIXTRAL, {}, name="mixtral")
    probe = recipe.service.readiness_probe
    assert recipe.resources[0].accelerators == FIVE
    assert (recipe.port, recipe.replicas, recipe.resources[0].disk_tier) == (8000, 2, "high")
    assert probe.path == "/v1/chat/completions"
    assert probe.post_data == {
        "model": "mistralai/Mixtral-8x7B-Instruct-v0.1",
        "messages": [{"role": "user", "content": "Hello! What is your name?"}],
    }
    assert probe.initial_delay == timedelta(seconds=1200)
    assert probe.timeout == timedelta(seconds=15)
    assert recipe.run.endswith("tee ~/openai_api_server.log\n")
    assert [note.field for note in recipe.notes] == ["setup"]
    assert recipe.engine is None


@pytest.mark.parametrize(
    ("packages", "noted"),
    [
        ("vllm transformers megablocks", True),
        ("megablocks \\\n    vllm", True),
        ("megablocks\n  pip install vllm", True),
        ("vllm==0.4.0 megablocks", False),
        ("vllm megablocks==0.5.0", False),
        ("vllm transformers", False),
        ("my-megablocks vllm", False),
    ],
)
def test_a_setup_that_pip_cannot_resolve_is_noted_before_anything_is_bought(packages, noted):
    found = load(f"setup: |\n  pip install {packages}\nrun: serve\n", {}).notes
    assert [(note.field, note.line) for note in found] == ([("setup", 1)] if noted else [])
    assert all("torch < 2.7.1" in note.meaning for note in found)


@pytest.mark.parametrize(
    ("script", "noted"),
    [
        ("exec an-engine --port 8000 --api-key $AUTH_TOKEN", "another"),
        ("an-engine --api-key=sk-1 --port 8000", "another"),
        ("an-engine --api-key 'one of mine' --port 8000", "another"),
        ("VLLM_API_KEY=$AUTH_TOKEN an-engine", "another"),
        ("docker run -e VLLM_API_KEY=$AUTH_TOKEN an/image", "another"),
        ("docker run an/image \\\n    --api-key $AUTH_TOKEN", "another"),
        ("docker run --gpus all an/image --model m", "not passed on"),
        ("sudo podman container run an/image", "not passed on"),
        ("an-engine --port 8000", None),
        ("an-engine --api-key $VLLM_API_KEY", None),
        ('an-engine --api-key="${VLLM_API_KEY}" --port 8000', None),
        ("an-engine --api-key sk-1 $VLLM_API_KEY --port 8000", None),
        ("an-engine --api-key-file keys", None),
        ("# an-engine --api-key $AUTH_TOKEN\nan-engine", None),
        ("docker run -e VLLM_API_KEY an/image", None),
        ("docker run --env VLLM_API_KEY=$VLLM_API_KEY an/image", None),
        ("docker run --env-file keys an/image", None),
        ("docker run an/image --api-key ${VLLM_API_KEY} --model m", None),
        ("docker pull an/image && an-engine", None),
    ],
)
def test_an_engine_that_will_not_take_the_gateways_key_is_noted_before_anything_is_bought(script, noted):
    text = "run: |\n  " + script.replace("\n", "\n  ") + "\n"
    said = {"another": "refuses every request", "not passed on": "answers requests without a key"}
    found = load(text, {}).notes
    assert [note.field for note in found] == (["run"] if noted else [])
    assert all(said[noted] in note.meaning for note in found)


def test_its_newer_variant_with_a10g_in_small_letters_and_spot_loads():
    text = SKYPILOT_MIXTRAL.replace("{A100:4,", "{L4:8, A10g:8, A10:8, A100:4,").replace(
        "disk_tier: high", "disk_tier: high\n  use_spot: true"
    )
    resources = load(text, {}).resources[0]
    assert [str(a) for a in resources.accelerators][:4] == ["L4:8", "A10G:8", "A10:8", "A100:4"]
    assert resources.use_spot is True


@pytest.mark.parametrize(
    ("model", "accelerators", "count"),
    [
        ("mistralai/Mistral-7B-Instruct-v0.2", "A10G:1", 1),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "A100-80GB:2", 2),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", "A100-80GB:4", 4),
    ],
)
@pytest.mark.parametrize(("environ", "cloud"), [({}, None), ({"CLOUD_PROVIDER": "GCP"}, "gcp")])
def test_mistrals_guide_loads_as_it_is(model, accelerators, count, environ, cloud):
    recipe = load(GUIDE.format(model=model, accelerators=accelerators, count=count), environ)
    resources = recipe.resources[0]
    assert [str(a) for a in resources.accelerators] == [accelerators]
    assert resources.cloud == cloud
    assert recipe.port == 8000
    assert recipe.service.readiness_probe.path == "/health"
    assert recipe.envs == {"MODEL_NAME": model}
    assert [note.field for note in recipe.notes] == ["run"]
    assert "add -e VLLM_API_KEY to docker run" in recipe.notes[0].meaning
