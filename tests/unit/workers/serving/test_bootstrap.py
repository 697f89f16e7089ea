"""What a cloud's machine is given to run: whole, quoted, short enough, and readable again."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.loader import load, shipped
from tests.builders.machines import SECRETS, boot, request
from tests.builders.offers import offer
from tests.patience import PATIENCE
from workers.machines import Token
from workers.serving.boot import boot_of
from workers.serving.bootstrap import LIMIT, Header, environment, header, unpacked, user_data
from workers.serving.errors import ServingError

MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
KEY = SECRETS["VLLM_API_KEY"]
HOSTILE = '\'; touch /tmp/broken; echo "$(id)" `id` \\\nEND_OF_FILE\n}\n# mixtral: {}\n'
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


def gpus(count, cloud="aws"):
    return offer(f"{cloud} here-1", gpu=f"A100:{count}" if count else "")


def vllm(**changes):
    return boot(**{"kind": "vllm", "model": MIXTRAL, "served_names": (MIXTRAL, "mixtral")} | changes)


def script(setup="", run="serve", **changes):
    return boot(kind="script", setup=setup, run=run, **changes)


def written(asked, *counts, secrets=SECRETS, cloud="aws"):
    return user_data(request("t-1", [gpus(n, cloud) for n in counts or (8,)], boot=asked), secrets)


def script_of(asked, *counts, **given):
    """What the user data of this boot unpacks and runs."""
    return unpacked(written(asked, *counts, **given))


def bash(text, *words):
    return subprocess.run(
        ["bash", *words], input=text, capture_output=True, text=True, timeout=20 * PATIENCE, check=False
    )


LOGIN = {
    "SKYPILOT_DOCKER_USERNAME": "reader",
    "SKYPILOT_DOCKER_PASSWORD": "hunter2",
    "SKYPILOT_DOCKER_SERVER": "registry.example.com",
}
ALL = {
    "short form": vllm(args={"max-model-len": 4096}),
    "short form with an image": vllm(image="docker:vllm/vllm-openai:v0.10.0"),
    "script": script("pip install x\n", "serve\n"),
    "script with uv": script("uv pip install x\n", "serve\n"),
    "script from a private registry": script(image="docker:a/b:1", envs=LOGIN),
    "script with conda": script("conda create --yes --name x\n", "conda activate x\nserve\n"),
    "script in a container": script(image="docker:nvcr.io/a/b:1", envs={"A": "b"}),
    "long script": script("".join(f"echo {n}\n" for n in range(1000)), "serve"),
    "hostile script": script(HOSTILE, HOSTILE, envs={"A": HOSTILE}, model=HOSTILE, served_names=(HOSTILE,)),
    "hostile short form": vllm(model=HOSTILE, image=f"docker:{HOSTILE}", args={"x": HOSTILE}),
    "scripted": boot(),
}


@pytest.fixture(params=ALL, ids=str)
def any_boot(request):
    return ALL[request.param]


def test_the_machine_arms_its_end_before_anything_else(any_boot):
    lines = [line for line in written(any_boot).splitlines() if not line.startswith("#")]
    assert lines[:2] == [
        'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"',
        "systemctl is-active --quiet mixtral-deadman || shutdown -h +120 # until the deadman has started",
    ]


def test_it_is_short_enough_for_ec2_and_bash_can_read_it(any_boot):
    text = written(any_boot)
    assert len(text.encode()) <= LIMIT
    assert bash(text, "-n").stderr == ""
    assert bash(script_of(any_boot), "-n").stderr == ""


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing(any_boot):
    if HOSTILE in any_boot.model:
        pytest.skip("a recipe's text may be as odd as it likes")
    for text in (written(any_boot), f"#!/bin/bash\n{script_of(any_boot)}"):
        found = subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True, check=False)
        assert found.stdout == ""


def test_the_same_request_gives_the_same_text(any_boot):
    asked = request("t-1", [gpus(8)], boot=any_boot)
    assert user_data(asked, SECRETS) == user_data(asked, SECRETS)


def test_its_header_says_what_it_serves_and_no_secret(any_boot):
    text = written(any_boot)
    about = header(text)
    assert about == Header(
        kind=any_boot.kind,
        model=any_boot.model,
        served_names=any_boot.served_names,
        port=8000,
        token=Token("t-1"),
        args=any_boot.args,
    )
    assert KEY not in text.splitlines()[1]


def test_the_key_stands_in_the_environment_and_nowhere_else(any_boot):
    text = written(any_boot)
    assert environment(text)["VLLM_API_KEY"] == KEY
    assert KEY not in text
    assert script_of(any_boot).count(KEY) == 1


@pytest.mark.parametrize("text", ["", "#!/bin/bash\necho hi\n", "#cloud-config\n", "#!/bin/sh\n# mixtral: {}\n"])
def test_what_is_not_ours_has_no_header(text):
    assert header(text) is None
    assert environment(text) == {}
    assert unpacked(text) == ""


@settings(max_examples=200, deadline=None)
@given(value=TEXT, model=TEXT.filter(bool), setup=TEXT)
def test_whatever_a_recipe_says_comes_back_word_for_word(value, model, setup):
    asked = script(setup, "serve", envs={"VALUE": value}, model=model, served_names=(model,))
    text = written(asked, secrets=SECRETS | {"HF_TOKEN": value})
    assert environment(text)["VALUE"] == environment(text)["HF_TOKEN"] == value
    assert header(text).model == model


@settings(max_examples=30, deadline=None)
@given(value=TEXT, setup=TEXT, run=TEXT.filter(str.strip))
def test_bash_writes_the_files_word_for_word(tmp_path_factory, value, setup, run):
    folder = tmp_path_factory.mktemp("files")
    text = script_of(script(setup, run, envs={"VALUE": value}))
    files = re.search(r"^files\(\) \{\n.*?\n\}\nserve\(\) \{\n", text, re.DOTALL | re.MULTILINE)
    put = re.search(r"^put\(\).*?^\}\n", text, re.DOTALL | re.MULTILINE)
    assert files
    assert put
    (folder / "recipe").mkdir()
    body = text[text.index("files() {") : text.rindex("serve() {")]
    assert bash(f"folder={folder}\n{put[0]}\n{body}\nfiles\n").stderr == ""
    shown = bash(f'unset VALUE\n. {folder}/env\nprintf %s "$VALUE"\n')
    assert shown.stdout == value.replace("\r\n", "\n").replace("\r", "\n")
    assert (folder / "recipe/run.sh").read_bytes().decode().endswith(run)
    assert (folder / "recipe/setup.sh").exists() == bool(setup.strip())
    assert (folder / "env").stat().st_mode & 0o777 == 0o600


def test_each_number_of_gpus_of_a_batch_has_its_own_parallel_size():
    text = script_of(vllm(), 8, 4, 8)
    assert "counts='4 8'" in text
    for n in (4, 8):
        assert f"    {n}) contain vllm serve {MIXTRAL} " in text
        assert f"--tensor-parallel-size {n} ;;" in text


def test_the_short_form_runs_a_pinned_image_and_a_recipe_may_name_another():
    assert re.search(r"^image=vllm/vllm-openai:v\d+\.\d+\.\d+$", script_of(vllm()), re.MULTILINE)
    assert "image=vllm/vllm-openai:v0.10.0\n" in script_of(ALL["short form with an image"])
    assert "image=''\n" in script_of(script(image="ami-0123"))


def test_conda_uv_and_docker_come_only_with_a_recipe_that_uses_them():
    assert "miniforge" not in script_of(script())
    assert "miniforge" in script_of(ALL["script with conda"])
    assert "astral.sh" not in script_of(ALL["script with conda"])
    assert "astral.sh" in script_of(ALL["script with uv"])
    assert "needs_docker=no\n" in script_of(script())
    assert "needs_docker=yes\n" in script_of(script(run="docker run --gpus all vllm/vllm-openai"))
    assert "needs_docker=yes\n" in script_of(vllm())


def test_the_image_of_a_registry_with_a_login_is_that_registrys():
    named = script(image="docker:team/app:1", envs=LOGIN)
    assert "image=registry.example.com/team/app:1\n" in script_of(named)
    whole = script(image="docker:registry.example.com/team/app:1", envs=LOGIN)
    assert "image=registry.example.com/team/app:1\n" in script_of(whole)
    assert "registry=yes\n" in script_of(whole)
    assert "registry=no\n" in script_of(vllm())


def test_the_longest_recipe_that_is_shipped_leaves_room_for_scripts():
    recipes = [boot_of(load(path, {}), "mixtral") for path in shipped().glob("*.yaml")]
    longest = max(len(written(asked).encode()) for asked in recipes if asked.kind != "llamacpp")
    assert LIMIT - longest > 5000


@pytest.mark.parametrize(
    ("asked", "secrets", "said"),
    [
        (script("".join(f"echo {hash(str(n))}\n" for n in range(9000))), SECRETS, "Shorten `setup` and `run`"),
        (vllm(), {}, "VLLM_API_KEY is not set"),
        (script(run=" \n"), SECRETS, "nothing to serve"),
        (boot(kind="llamacpp"), SECRETS, "--clouds local"),
        (boot(kind="warp"), SECRETS, "no engine 'warp'"),
        (
            script(image="docker:a/b:1", envs={"SKYPILOT_DOCKER_USERNAME": "reader"}),
            SECRETS,
            "SKYPILOT_DOCKER_PASSWORD and SKYPILOT_DOCKER_SERVER is empty or missing",
        ),
        (script(envs={"A B": "c"}), SECRETS, "'A B' cannot be the name"),
        (script(envs={"A": "\0"}), SECRETS, "zero byte"),
        (script(run="a\0b"), SECRETS, "zero byte"),
        (vllm(args={"api-key": "x"}), SECRETS, "cannot be set in a recipe"),
        (vllm(args={"pipeline-parallel-size": 3}), SECRETS, "8 GPUs cannot be divided by 3"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_mend(asked, secrets, said):
    with pytest.raises(ServingError, match=re.escape(said)):
        written(asked, secrets=secrets)


def test_vllm_without_a_gpu_is_refused():
    with pytest.raises(ServingError, match="needs a GPU"):
        written(vllm(), 0)
