"""The hub is asked about a model's weights: its answers, and their consequences before the first paid call."""

import socket
from datetime import timedelta

import pytest

from recipes.loader import load
from tests.builders.recipes import MIXTRAL, SCRIPTED, SMOLLM2
from tests.fakes.hub import FakeHub
from workers.serving.hub import weights_of
from workers.serving.weights import is_offline, question_of, token_reaches

MODEL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
TOKEN = "hf_aTokenOfThisTest1234567890"
WHERE = "where `mixtral-bot worker` runs"


@pytest.fixture
def hub():
    hub = FakeHub()
    yield hub
    hub.close()


def told(hub, recipe=MIXTRAL, **environ):
    environ = {"HF_ENDPOINT": f"{hub.url}/", **environ}
    verdict = weights_of(question_of(recipe), environ)
    assert TOKEN not in verdict.says
    return verdict


def script(text):
    return load(text, {})


SEED = f"""
service: {{readiness_probe: {{path: /v1/chat/completions, post_data: {{model: {MODEL}}}}}}}
resources: {{accelerators: A100:8, ports: 8000}}
run: python -m vllm.entrypoints.openai.api_server --model {MODEL}
"""
BY_ANOTHER_NAME = SEED.replace(f"--model {MODEL}", "--model s3://bucket/weights")


def test_a_public_model_is_no_matter(hub):
    hub.models[MODEL] = False
    assert told(hub).says == ""
    assert hub.requests == [("GET", f"/api/models/{MODEL}", "")]


@pytest.mark.parametrize("gated", ["auto", "manual", True])
def test_a_gated_model_without_a_token_is_refused_with_what_to_set_and_where(hub, gated):
    hub.models[MODEL] = gated
    verdict = told(hub)
    assert verdict.refused
    assert f"conditions at {hub.url}/{MODEL}, and set HF_TOKEN {WHERE} (never in a channel)" in verdict.says


def test_a_token_that_opens_the_model_is_enough(hub):
    hub.models[MODEL], hub.opens[TOKEN] = "manual", {MODEL}
    assert told(hub, HF_TOKEN=f" {TOKEN}\n").says == ""


def test_a_token_that_opens_nothing_is_said(hub):
    hub.models[MODEL], hub.opens[TOKEN] = "manual", set()
    verdict = told(hub, HF_TOKEN=TOKEN)
    assert verdict.refused
    assert "HF_TOKEN does not open them" in verdict.says
    assert f"{hub.url}/{MODEL} with the account of the token" in verdict.says


@pytest.mark.parametrize("gated", [False, "auto"])
def test_a_token_that_the_hub_does_not_know_is_said_since_it_fails_every_download(hub, gated):
    hub.models[MODEL] = gated
    verdict = told(hub, HF_TOKEN=TOKEN)
    assert verdict.refused
    assert "rejects HF_TOKEN as invalid" in verdict.says


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_model_that_the_hub_does_not_have_is_refused(hub, token):
    hub.opens[TOKEN] = set()
    verdict = told(hub, HF_TOKEN=token)
    assert verdict.refused
    assert f"has no model {MODEL}, or it is private. Correct the name" in verdict.says


def test_a_model_that_was_renamed_is_followed(hub):
    hub.models["mistralai/New"], hub.renamed[MODEL] = False, "mistralai/New"
    assert told(hub).says == ""


@pytest.mark.parametrize(
    "always",
    [
        (503, '{"error": "down"}'),
        (429, '{"error": "slow"}'),
        (403, "<html>Blocked by the proxy"),
        (401, "<html>Log in to the proxy"),
        (404, "not a hub"),
        (200, "<html>Welcome to the hotel"),
        (200, "[1]"),
        (200, "[" * 100_000),
    ],
)
def test_a_hub_that_says_nothing_of_use_is_a_warning_and_refuses_nothing(hub, always):
    hub.always = always
    verdict = told(hub, HF_TOKEN=TOKEN)
    assert not verdict.refused
    assert "could not be checked" in verdict.says


@pytest.mark.parametrize(
    ("endpoint", "token"),
    [("http://127.0.0.1:1", "hf_\u00e4"), ("http://127.0.0.1:1", "hf_a\nb"), ("http://[", ""), ("nonsense", "hf_x")],
)
def test_a_hub_that_cannot_be_reached_is_a_warning(endpoint, token):
    environ = {"HF_ENDPOINT": endpoint, "HF_TOKEN": token}
    verdict = weights_of(question_of(MIXTRAL), environ)
    assert not verdict.refused
    assert "could not be checked" in verdict.says
    assert token not in verdict.says or not token


def test_a_hub_that_is_silent_is_waited_for_in_seconds(monkeypatch):
    monkeypatch.setattr("workers.serving.hub.WITHIN", timedelta(seconds=0.1))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        environ = {"HF_ENDPOINT": f"http://127.0.0.1:{mute.getsockname()[1]}"}
        assert "gave no answer within 0.1 s" in weights_of(question_of(MIXTRAL), environ).says


def test_a_hub_whose_answer_never_ends_is_waited_for_in_seconds(hub, monkeypatch):
    monkeypatch.setattr("workers.serving.hub.WITHIN", timedelta(seconds=0.1))
    hub.models[MODEL], hub.drips = False, True
    assert "gave no answer within 0.1 s" in told(hub).says


def test_a_script_gets_the_token_if_it_downloads_from_the_hub_or_its_recipe_names_it(hub):
    hub.models[MODEL], hub.opens[TOKEN] = "manual", {MODEL}
    assert told(hub, script(SEED), HF_TOKEN=TOKEN).says == ""
    assert token_reaches(script(SEED))
    other = "resources: {ports: 8000}\nrun: serve"
    assert not token_reaches(script(other))
    assert token_reaches(script(f"secrets: [HF_TOKEN]\n{other}"))
    assert not token_reaches(script(f"envs: {{HF_ENDPOINT: http://elsewhere.example}}\n{SEED}"))


def test_a_script_that_may_take_its_weights_from_elsewhere_is_warned_and_not_refused(hub):
    hub.models[MODEL] = "manual"
    verdict = told(hub, script(BY_ANOTHER_NAME))
    assert not verdict.refused
    assert "gated" in verdict.says


@pytest.mark.parametrize(
    "run",
    [
        f"vllm serve {MODEL} --port 8000",
        f'python -m vllm.entrypoints.openai.api_server --model="{MODEL}"',
        f"docker run --gpus all vllm/vllm-openai:v1 --host 0.0.0.0 --model {MODEL}",
        f"python -m sglang.launch_server --model-path {MODEL}",
        "vllm serve $MODEL_NAME",
        "vllm serve '${MODEL_NAME}' --served-model-name other/name",
    ],
)
def test_the_model_that_a_script_passes_to_its_server_is_asked_for(hub, run):
    hub.models[MODEL] = "auto"
    text = f"envs: {{MODEL_NAME: {MODEL}}}\nresources: {{ports: 8000}}\nrun: |\n  {run}\n"
    assert told(hub, script(text)).refused


def test_a_folder_that_looks_like_a_model_is_not_refused(hub):
    verdict = told(hub, script("resources: {ports: 8000}\nrun: vllm serve models/mine"))
    assert not verdict.refused
    assert "has no model models/mine" in verdict.says


def test_a_name_under_which_other_weights_are_served_is_not_refused(hub):
    hub.models[MODEL] = "auto"
    text = f"{BY_ANOTHER_NAME} --served-model-name {MODEL}"
    assert not told(hub, script(text)).refused


@pytest.mark.parametrize(
    "recipe",
    [
        SCRIPTED,
        SMOLLM2,
        script("resources: {ports: 8000}\nrun: serve"),
        script("resources: {ports: 8000}\nrun: vllm serve $NOT_SET"),
        script(f"envs: {{HF_ENDPOINT: http://elsewhere.example}}\n{SEED}"),
        script(SEED.replace(MODEL, "s3://bucket/weights")),
        script(SEED.replace(MODEL, "/models/mixtral")),
    ],
)
def test_what_does_not_come_from_the_hub_is_not_asked_for(recipe):
    assert question_of(recipe) is None


@pytest.mark.parametrize(("value", "asked"), [("1", False), ("true", False), ("0", True), ("", True)])
def test_a_worker_that_is_offline_asks_nobody(value, asked):
    assert is_offline({"HF_HUB_OFFLINE": value}) is not asked
