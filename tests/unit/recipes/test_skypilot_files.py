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
    assert recipe.notes == ()
    assert recipe.engine is None


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
    assert recipe.notes == ()
