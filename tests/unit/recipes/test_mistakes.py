"""Every mistake in a recipe raises one sentence with the file, the line and the field."""

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.loader import NoSuchRecipe, find, folders, load, names
from recipes.schema import Recipe, RecipeError


def sentence(text, environ=None):
    with pytest.raises(RecipeError) as caught:
        load(text, environ or {}, name="r")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "r.yaml: is empty"),
        ("- a\n- b", "r.yaml:1: must be a mapping of fields, not a list"),
        ("hello", 'r.yaml:1: must be a mapping of fields, not the text "hello"'),
        ("a: 1\n---\nb: 2", "r.yaml:2: starts a second document"),
        ("run: x\nresources:\n\tports: 1", "r.yaml:3: is not valid YAML: found character that cannot start any token;"),
        ("run: x\nrun: y", "r.yaml:2: run: is given twice, first in line 1"),
        ("run: !!python/object/apply:os.system [x]", "r.yaml:1: run: the tag"),
        ("run: *nothing", "r.yaml:1: is not valid YAML: found undefined alias"),
        ("run: x\nenvs: &e {a: *e}", "r.yaml:2: envs: aliases (*name) expand to too many values, or to themselves"),
        ("run: x\n? [a]\n: b", "r.yaml:2: a field's name must be text"),
        ("run: [", "r.yaml:1: is not valid YAML"),
        ("run: \x07", "r.yaml:1: contains a character that YAML forbids"),
        ("resources: {ports: 1}", "r.yaml:1: has nothing to run"),
        ("run: '  '", "r.yaml:1: has nothing to run"),
        ("run: x\nengine: {kind: vllm, model: m}", "r.yaml:2: engine: engine replaces setup and run"),
        ("engine: {kind: vlm, model: m}", 'r.yaml:1: engine.kind: unknown engine "vlm"; there are vllm, llamacpp'),
        ("engine: {kind: vllm}", "r.yaml:1: engine: needs a model"),
        ("engine: {kind: vllm, model: m, args: {a: [1]}}", "r.yaml:1: engine.args.a: must be one value, not a list"),
        ("engine: {kind: vllm, model: m, args: {'a b': 1}}", 'engine.args.a b: "a b" is not a valid flag name'),
        ("engine: {kind: vllm, model: m, modle: n}", 'engine.modle: unknown field "modle"; did you mean model?'),
        ("run: x\nresorces: {}", 'r.yaml:2: resorces: unknown field "resorces"; did you mean resources?'),
        ("run: x\nresources:\n  acelerators: A100", "r.yaml:3: resources.acelerators: unknown field"),
        ("run: x\nresources: A100", 'r.yaml:2: resources: must be a mapping of fields, not the text "A100"'),
        ("run: [x]", "r.yaml:1: run: must be text, not a list"),
        ("run: x\nnum_nodes: 0", "r.yaml:2: num_nodes: must be at least 1"),
        ("run: x\nname: a b", 'r.yaml:2: name: "a b" is not a valid recipe name: letters, digits'),
        ("run: x\nname: 🍋", 'r.yaml:2: name: "🍋" is not a valid recipe name'),
        ("run: x\nname: <!channel>", 'r.yaml:2: name: "<!channel>" is not a valid recipe name'),
        ("run: x\nname: " + "a" * 200, "is not a valid recipe name"),
        ("run: x\nenvs: {'a b': c}", 'r.yaml:2: envs.a b: "a b" is not a valid variable name'),
        ("run: x\nenvs: {A: [1]}", "r.yaml:2: envs.A: must be text, not a list"),
        ("run: x\nenvs: 3", "r.yaml:2: envs: must be a mapping of fields, not the number"),
    ],
)  # fmt: skip
def test_of_the_file_as_a_whole(text, says):
    assert says in sentence(text)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("accelerators: A1000:1", 'resources.accelerators: unknown accelerator "A1000"; did you mean A100'),
        ("accelerators: {zzz: 1}", 'unknown accelerator "zzz"; an example is A100-80GB:2'),
        ("accelerators: A100:0", 'resources.accelerators: must be between 1 and 128, not "0"'),
        ("accelerators: {A100: -1}", 'resources.accelerators.A100: must be between 1 and 128, not "-1"'),
        ("accelerators: {A100: 0.5}", "must be a whole number"),
        ("accelerators: L4:0.5", 'rented with whole GPUs: write L4:1, not "0.5"'),
        ("accelerators: {X900: 1, Y900: 1}", 'unknown accelerator "X900"'),
        ("accelerators: {'<!channel>': 1, A100: 1}", "unknown accelerator"),
        ("accelerators: {A100: many}", 'must be a number, not "many"'),
        ("accelerators: {A100:4: 2}", "gives the count twice"),
        ("accelerators: 80GB+", "choosing an accelerator by its memory"),
        ("accelerators: []", "names no accelerator"),
        ("accelerators: [[A100]]", "resources.accelerators[0]: must be text, not a list"),
        ("accelerators: A100\n  gpus: A100", "gpus and accelerators are the same"),
        ("cloud: asw", 'unknown cloud "asw"; did you mean aws?'),
        ("infra: a/b/c/d", "unknown cloud"),
        ("infra: aws/b/c/d", "must be cloud/region/zone"),
        ("infra: aws\n  region: x", "r.yaml:4: resources.region: infra already gives the place"),
        ("any_of: []\n  ordered: []", "any_of and ordered exclude each other"),
        ("any_of: {a: 1}", "must be a list, not a mapping"),
        ("any_of:\n  - {cpu: 3}", "r.yaml:4: resources.any_of[0].cpu: unknown field"),
        ("ports: 0", 'must be between 1 and 65535, not "0"'),
        ("ports: 70000", "must be between 1 and 65535"),
        ("ports: 1-65535", "must be a range of at most 64 ports"),
        ("ports: [a]", 'must be a number, not "a"'),
        ("ports: {a: 1}", "must be a number, not a mapping"),
        ("cpus: lots", "must be an amount such as 8 or 8+"),
        ("cpus: 0", "must be an amount"),
        ("memory: 4y", "must be an amount such as 64, 64+, 64GB+ or 4x"),
        ("disk_size: -5", "must be a size such as 256 or 1TB"),
        ("disk_tier: fast", "must be one of low, medium, high, ultra, best"),
        ("use_spot: often", 'must be true or false, not "often"'),
        ("max_hourly_cost: 0", "must be above 0 USD per hour"),
        ("max_hourly_cost: .inf", "must be a number of ordinary size"),
        ("labels: [a]", "must be a mapping of fields, not a list"),
    ],
)
def test_of_resources(field, says):
    message = sentence(f"run: x\nresources:\n  {field}\n")
    assert says in message
    assert message.startswith("r.yaml:")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("readiness_probe: v1", "service.readiness_probe: must be a path that starts with a slash"),
        ("readiness_probe: {post_data: {}}", "service.readiness_probe: needs a path"),
        ("readiness_probe: {path: /, post_data: nope}", "is not valid JSON"),
        ("readiness_probe: {path: /, post_data: '[1]'}", "must be a mapping of fields"),
        ("readiness_probe: {path: /, post_data: {a: .nan}}", "must be a number of ordinary size"),
        ("readiness_probe: {path: /, timeout_seconds: -1}", "must be between 0 and 604800 seconds"),
        ("readiness_probe: {path: /, initial_delay_seconds: soon}", 'must be a number, not "soon"'),
        ("replicas: 2\n  replica_policy: {min_replicas: 1}", "replicas and replica_policy exclude each other"),
        ("replicas: -1", "must be between 0 and 1000"),
        ("replicas: 1.5", "must be a whole number"),
        ("replica_policy: {min_replicas: 3, max_replicas: 2, target_qps_per_replica: 1}", "is 2, below min_replicas"),
        ("replica_policy: {min_replicas: 1, max_replicas: 2, target_qps_per_replica: 0}", "must be above 0"),
        ("port: 1\n  ports: 2", "port and ports are the same"),
        ("load_balancing_policy: best", "must be one of round_robin, least_load"),
        ("tls: {keyfile: a}", "service.tls: needs a certfile"),
    ],
)  # fmt: skip
def test_of_the_service(field, says):
    assert says in sentence(f"run: x\nservice:\n  {field}\n")


def test_a_serving_port_that_is_not_opened_is_refused():
    assert "serves on port 8080, but resources.ports opens 8000 only" in sentence(
        "run: x\nresources: {ports: 8000}\nservice: {ports: 8080}"
    )


def test_what_the_environment_holds_is_not_repeated():
    message = sentence("run: x\nresources: {cloud: $SECRET}", {"SECRET": "xoxb-1-2-3"})
    assert "xoxb" not in message
    assert 'the value of "$SECRET" is not a known cloud' in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run: " + "x" * 10_000_000, "is 10,000,005 bytes long; a recipe has at most 1,000,000"),
        ("[" * 999_000, "nests deeper than 40 levels"),
        ("a: " * 300_000, "r.yaml"),
        ("- a\n" * 240_000, "has more than 20,000 values"),
        ("\n".join(["a0: &a0 [" + "x," * 9 + "]", *(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]" for n in range(1, 30))]),
         "aliases (*name) expand to too many values"),
        ("? " * 400_000, "r.yaml"),
        ("!!" * 400_000, "r.yaml"),
        ("run: " + "9" * 100_000, "is not a valid value"),
    ],
)  # fmt: skip
def test_what_would_explode_is_refused_at_once(text, says):
    began = time.monotonic()
    assert says in sentence(text)
    assert time.monotonic() - began < 20, "it was expanded"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"run: \xff\xfe", "r.yaml:1: is not UTF-8 text (byte 0xff)"),
        (b"a: 1\n\x00\x01\x02", "r.yaml:2: contains a character that YAML forbids"),
        (b"\x7fELF" + bytes(range(256)), "r.yaml:"),
        (b"x" * 2_000_000, "r.yaml: is 2,000,000 bytes long"),
    ],
)
def test_files_that_are_no_text(tmp_path, raw, says):
    file = tmp_path / "r.yaml"
    file.write_bytes(raw)
    with pytest.raises(RecipeError, match=r"^r\.yaml") as caught:
        load(file, {})
    assert str(caught.value).startswith(says)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RecipeError, match=r"^none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


def test_a_file_whose_name_is_no_recipes_name(tmp_path):
    file = tmp_path / "my <!channel>.yaml"
    file.write_text("run: x")
    with pytest.raises(RecipeError, match="is not a valid recipe name"):
        load(file, {})
    file.write_text("run: x\nname: mine")
    assert load(file, {}).name == "mine"


def test_every_shipped_recipe_loads_and_the_notes_of_skypilots_name_its_setup_alone():
    assert names() == ("mistral-7b", "mixtral-8x22b", "mixtral-8x7b", "mixtral-8x7b-skypilot", "smollm2-135m")
    for name in names():
        recipe = load(find(name), {})
        assert recipe.name == name
        assert [note.field for note in recipe.notes] == (["setup"] if name == "mixtral-8x7b-skypilot" else [])
        assert recipe.port == 8000


def test_a_further_folder_adds_recipes_and_goes_first(tmp_path):
    (tmp_path / "own.yml").write_text("run: x")
    (tmp_path / "mistral-7b.yaml").write_text("run: own")
    (tmp_path / "no name.yaml").write_text("run: x")
    further = folders({"MIXTRAL_RECIPES": str(tmp_path)})
    assert further == (tmp_path,)
    assert "own" in names(further)
    assert "no name" not in names(further)
    assert load(find("mistral-7b", further), {}).run == "own"


def test_a_further_folder_that_is_none_is_told():
    with pytest.raises(RecipeError, match="MIXTRAL_RECIPES must name folders"):
        names(folders({"MIXTRAL_RECIPES": "/no/such/folder"}))
    assert folders({}) == ()


@pytest.mark.parametrize("name", ["../mixtral-8x7b", "", "a\nb", "<!channel>", "x" * 200])
def test_a_name_that_nobody_has(name):
    with pytest.raises(NoSuchRecipe, match="no recipe is called"):
        find(name)


def test_the_nearest_recipe_is_named():
    with pytest.raises(NoSuchRecipe, match=r'no recipe is called "mixtral-8x7"; did you mean mixtral-8x7b\?') as caught:
        find("mixtral-8x7")
    assert caught.value.nearest == "mixtral-8x7b"


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(["A100:8", "aws/us-east-1", "8+", "4x", "$X", "${X}", "/p", "1-9", "~", "0x_", "1e999", "&a"]),
)  # fmt: skip
FIELDS = st.sampled_from([
    "name", "resources", "service", "envs", "secrets", "setup", "run", "engine", "num_nodes", "workdir",
    "accelerators", "gpus", "infra", "cloud", "region", "zone", "cpus", "memory", "ports", "any_of", "ordered",
    "labels", "use_spot", "disk_size", "readiness_probe", "replica_policy", "replicas", "path", "post_data",
    "headers", "timeout_seconds", "min_replicas", "max_replicas", "target_qps_per_replica", "kind", "model",
    "args", "tls", "load_balancing_policy", "keyfile", "certfile", "A100", "L4:8", "X", "max_hourly_cost",
    "image_id",
])  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)


def loads_or_says(source):
    """Fail the test unless `source` loads or raises a RecipeError of one line."""
    try:
        result: Recipe | str = load(source, {"X": "1"})
    except RecipeError as error:
        result = str(error)
    assert isinstance(result, Recipe) or "\n" not in result


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters() | st.sampled_from("\n:-[]{}&*!|>'\"#%@`,? \t")))
def test_any_text_loads_or_says_why_not(text):
    loads_or_says(text)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(FIELDS, TREES, max_size=8))
def test_any_tree_loads_or_says_why_not(tree):
    loads_or_says(yaml.safe_dump(tree, allow_unicode=True))
    loads_or_says(yaml.safe_dump({"run": "x", **tree}, allow_unicode=True))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["resources", "service"]), st.dictionaries(FIELDS, TREES, max_size=4))
def test_any_section_loads_or_says_why_not(section, tree):
    loads_or_says(yaml.safe_dump({"run": "x", section: tree}, allow_unicode=True))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_file_loads_or_says_why_not(tmp_path_factory, raw):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(raw)
    loads_or_says(file)
