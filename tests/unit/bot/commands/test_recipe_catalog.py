"""Recipes as commands see them."""

import pytest

from bot.commands.errors import CommandError, EnvMissing, NoRecipe
from bot.commands.recipe_catalog import RecipeCatalog, name_from
from recipes.schema import RecipeError
from workers.serving.boot import boot_of

OPEN = """
envs: {MODEL: tiny, REGION: null}
secrets: {HF_TOKEN: null}
resources: {cpus: 1+, cloud: "${CLOUD_PROVIDER}"}
engine: {kind: scripted, model: scripted}
"""

PROBED = """
envs: {MODEL: tiny, WORD: null}
run: serve $MODEL
service:
  readiness_probe:
    path: /v1/completions
    post_data: {model: $MODEL, prompt: "${WORD}"}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "open.yaml").write_text(OPEN)
    return tmp_path


def shelf(folder, **environ):
    return RecipeCatalog((folder,), environ, "smollm2-135m")


def test_without_a_name_it_is_the_default(folder):
    assert shelf(folder).get(None).name == "smollm2-135m"


def test_an_unknown_recipe_is_refused_with_the_nearest(folder):
    with pytest.raises(NoRecipe) as caught:
        shelf(folder).get("smolm2")
    assert caught.value.nearest == "smollm2-135m"
    assert "mixtral-8x7b" in caught.value.sentence


@pytest.mark.parametrize("name", ["../../etc/passwd", "<!channel>", "x" * 200, "a/b"])
def test_a_name_that_is_no_name_finds_nothing(folder, name):
    with pytest.raises(CommandError) as caught:
        shelf(folder).get(name)
    assert "<" not in caught.value.sentence
    assert len(caught.value.sentence) < 300


def test_what_a_recipe_leaves_open_is_asked_for(folder):
    with pytest.raises(EnvMissing) as caught:
        shelf(folder).complete("open", {})
    assert "REGION" in caught.value.sentence
    assert caught.value.missing == ("REGION",)


def test_what_is_given_fills_the_recipe(folder):
    recipe = shelf(folder).complete("open", {"REGION": "eu", "CLOUD_PROVIDER": "gcp"})
    assert recipe.envs == {"MODEL": "tiny", "REGION": "eu"}
    assert recipe.missing_envs == ()
    assert recipe.resources[0].cloud == "gcp"


def test_what_is_given_reaches_the_probe_and_the_model_that_is_served(folder):
    (folder / "probed.yaml").write_text(PROBED)
    recipe = shelf(folder).complete("probed", {"MODEL": "a/b", "WORD": "hey"})
    assert recipe.service.readiness_probe.post_data == {"model": "a/b", "prompt": "hey"}
    assert boot_of(recipe, "d").served_names == ("a/b", "d")


@pytest.mark.parametrize(
    ("variable", "said"), [("NONSENSE", "Its variables are MODEL, REGION"), ("HF_TOKEN", "secret")]
)
def test_a_variable_that_the_recipe_lacks_or_hides_is_refused(folder, variable, said):
    with pytest.raises(CommandError) as caught:
        shelf(folder).complete("open", {"REGION": "eu", variable: "x"})
    assert said in caught.value.sentence


def test_a_file_is_read_again_when_it_changes(folder):
    recipes = shelf(folder)
    assert recipes.get("open").missing_envs == ("REGION",)
    (folder / "open.yaml").write_text(OPEN.replace("null}", "eu}", 1))
    assert recipes.get("open").missing_envs == ()


def test_a_broken_file_hides_no_other(folder):
    (folder / "broken.yaml").write_text("- no\n- mapping\n")
    found, broken = shelf(folder).all()
    assert {"open", "mixtral-8x7b"} <= {recipe.name for recipe in found}
    assert [error.file for error in broken] == ["broken.yaml"]


def test_a_broken_file_is_told_when_it_is_asked_for(folder):
    (folder / "broken.yaml").write_text("- no\n- mapping\n")
    with pytest.raises(RecipeError):
        shelf(folder).complete("broken", {})


def test_a_deployments_name_is_made_of_the_recipes():
    assert name_from("Qwen2.5_VL-72B") == "qwen2-5-vl-72b"
    assert name_from("x" * 63) == "x" * 40
