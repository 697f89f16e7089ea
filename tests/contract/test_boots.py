"""User data run for real by bash, on a machine whose docker, GPUs and shutdown are programs that note their calls."""

import re
import shlex
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders.machines import boot
from tests.fakes.computer import KEY, Computer
from tests.unit.workers.serving.test_bootstrap import HOSTILE, MIXTRAL, script_of, vllm
from workers.serving.console import again, no_more, unmarked

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def computer(tmp_path):
    computer = Computer(tmp_path)
    yield computer
    computer.end()


def without_time(line):
    return re.sub(r" at \d+ ", " ", line)


def script(run, setup="", **changes):
    return boot(kind="script", setup=setup, run=run, **changes)


def test_the_short_form_runs_vllm_on_all_gpus_behind_the_port_with_its_key_out_of_sight(computer):
    said = computer.boot(vllm(args={"max-model-len": 4096}))
    assert [without_time(line) for line in said.splitlines() if line.startswith("mixtral: ")] == [
        "mixtral: phase booting",
        "mixtral: phase pulling",
        "mixtral: pulling vllm/vllm-openai:v0.33.0",
        "mixtral: phase loading",
        f"mixtral: starting {MIXTRAL}",
        without_time(f"mixtral: {again('the engine', 0, 1, NOON)}"),
        "mixtral: phase loading",
        f"mixtral: starting {MIXTRAL}",
        without_time(f"mixtral: {again('the engine', 0, 2, NOON)}"),
        "mixtral: phase loading",
        f"mixtral: starting {MIXTRAL}",
        f"mixtral: {no_more('the engine', 0, 3)}",
    ]
    argv, environment = computer.calls("docker")[-1]
    command = shlex.join(argv)
    assert argv[:2] == ["run", "--rm"]
    assert "--gpus all" in command
    assert "--publish 8000:8000" in command
    assert command.endswith(
        f"--entrypoint vllm vllm/vllm-openai:v0.33.0 serve {MIXTRAL} --served-model-name {MIXTRAL} mixtral "
        "--host 0.0.0.0 --port 8000 --tensor-parallel-size 8 --max-model-len 4096"
    )
    assert "--env VLLM_API_KEY" in command
    assert environment["VLLM_API_KEY"] == KEY
    assert all(KEY not in shlex.join(argv) for _, argv, _ in computer.noted())


def test_the_shutdown_is_armed_before_all_and_the_deadman_is_started(computer):
    computer.boot(vllm(), cloud="gcp")
    assert [name for name, _, _ in computer.noted()[:2]] == ["systemctl", "shutdown"]
    assert computer.words("systemctl")[0] == "is-active --quiet mixtral-deadman"
    assert computer.words("shutdown")[0] == "-h +120"
    deadman = str(computer.folder / "state/deadman.sh")
    [(argv, environment)] = computer.calls("setsid")  # there is no systemd here
    assert argv == ["bash", deadman]
    assert environment["MIXTRAL_CLOUD"] == "gcp"


def test_the_gpus_that_came_decide_how_the_model_is_divided(computer):
    computer.has(gpus="4")
    computer.boot(vllm(), 8, 4)
    argv, environment = computer.calls("docker")[-1]
    assert argv[-2:] == ["--tensor-parallel-size", "4"]
    assert environment["SKYPILOT_NUM_GPUS_PER_NODE"] == "4"


def test_a_machine_with_a_broken_gpu_says_so_and_starts_nothing(computer):
    computer.has(gpus="7")
    computer.boot(vllm(), 8, 4)
    assert computer.told().gave_up == "the machine has 7 GPUs, but 4 or 8 were rented"
    assert computer.calls("docker") == []


def test_it_waits_for_the_driver_and_for_docker_and_pulls_again(computer):
    computer.fail("nvidia-smi", "", 2)
    computer.fail("docker", "version", 1)
    computer.fail("docker", "pull", 2)
    said = computer.boot(vllm())
    assert said.count("mixtral: waiting for the GPU driver\n") == 2
    assert said.count("mixtral: waiting for Docker\n") == 1
    assert said.count("mixtral: pulling vllm/vllm-openai:v0.33.0\n") == 3
    assert computer.calls("docker")[-1][0][0] == "run"


def test_an_image_that_cannot_be_pulled_is_said(computer):
    computer.fail("docker", "pull", 99, "\nError response from daemon: manifest unknown\n")
    computer.boot(vllm())
    cause = "Error response from daemon: manifest unknown"
    assert computer.told().gave_up == f"vllm/vllm-openai:v0.33.0 cannot be pulled: {cause}"
    assert [argv[0] for argv, _ in computer.calls("docker")].count("pull") == 5
    assert [argv for argv, _ in computer.calls("docker") if argv[0] == "run"] == []


def test_a_script_finds_what_skypilot_gives_and_its_secrets(computer):
    names = ["NUM_GPUS_PER_NODE", "NUM_NODES", "NODE_RANK", "NODE_IPS", "SETUP_NUM_GPUS_PER_NODE", "SERVE_REPLICA_ID"]
    run = "".join(f'echo "{name} is $SKYPILOT_{name}"\n' for name in names)
    run += 'echo "in ${PWD##*/} with $MINE"; printenv HF_TOKEN >hf; sudo echo as root\n'
    said = computer.boot(script(run, "echo ready >from-setup\n", envs={"MINE": "my own"}), HF_TOKEN="hf_x")
    assert "mixtral: running the recipe's setup\nmixtral: starting the recipe's run\n" in said
    for line in ("NUM_GPUS_PER_NODE is 8", "NUM_NODES is 1", "NODE_RANK is 0", "NODE_IPS is 127.0.0.1"):
        assert f"{line}\n" in said
    assert "in sky_workdir with my own\n" in said
    folder = computer.folder / "home/sky_workdir"
    assert (folder / "from-setup").read_text() == "ready\n"
    assert (folder / "hf").read_text() == "hf_x\n"
    assert unmarked((computer.folder / "state/boot.log").read_text()) == said
    assert (computer.folder / "state").stat().st_mode & 0o777 == 0o700
    assert (computer.folder / "state/boot.log").stat().st_mode & 0o077 == 0


def test_a_setup_that_fails_ends_the_boot(computer):
    said = computer.boot(script("echo never", "exit 3"))
    assert "mixtral: setup exited with status 3\n" in said
    assert "never" not in said


FAILS_FOUR_TIMES = 'echo run >>"$HOME/runs"; [ "$(wc -l <"$HOME/runs")" -gt 4 ] || exit 7\n'


def test_an_engine_that_ends_early_is_started_three_times_and_the_machine_then_ends(computer):
    said = computer.boot(script(FAILS_FOUR_TIMES, "echo installing\n"))
    assert said.count("\ninstalling\n") == 1, "what setup has done is still there"
    assert said.count("mixtral: starting the recipe's run\n") == 2 * 3, "the machine says it, and the script"
    assert computer.told().gave_up == "the recipe's run exited with status 7 at each of its last 3 starts"
    restarted = computer.told().restarted
    assert (restarted.start, restarted.how) == (2, "the recipe's run exited with status 7")
    assert abs(datetime.now(UTC) - restarted.at) < timedelta(minutes=1)
    assert computer.calls("shutdown")[-1][0] == ["-h", "now"]


def test_one_that_had_lasted_is_started_again_however_often(computer):
    computer.boot(script(FAILS_FOUR_TIMES), lasting=0)
    assert computer.told().restarted.start == 4
    assert computer.told().gave_up == ""
    assert ["-h", "now"] not in [argv for argv, _ in computer.calls("shutdown")]


def test_an_end_after_a_long_run_is_not_the_first_of_the_early_ones(computer):
    run = 'echo run >>"$HOME/runs"; [ "$(wc -l <"$HOME/runs")" -gt 1 ] || sleep 6; exit 7\n'
    computer.boot(script(run), lasting=5)  # whole seconds are counted, and a busy machine needs some for nothing
    assert (computer.folder / "home/runs").read_text().count("run") == 4
    assert computer.told().gave_up == "the recipe's run exited with status 7 at each of its last 3 starts"


def test_what_counts_as_early_is_what_the_recipe_takes_to_be_ready():
    patient = boot(kind="script", run="serve", initial_delay=timedelta(minutes=40))
    assert "lasting=2400\n" in script_of(patient)


def test_a_container_that_ends_well_has_left_nothing_running(computer):
    computer.boot(script("serve", image="docker:a/b:1"))
    assert len([argv for argv, _ in computer.calls("docker") if argv[0] == "run"]) == 3
    assert computer.told().gave_up == "the recipe's run exited with status 0 at each of its last 3 starts"


def test_starts_are_counted_through_reboots(computer):
    run = script("exit 7")
    for last in (2, 5):
        computer.boot(run)
        assert computer.told().restarted.start == last


def test_a_run_that_leaves_its_server_behind_and_ends_well_is_left_alone(computer):
    said = computer.boot(script("true", "echo installing\n"))
    assert said.endswith("mixtral: the recipe's run has ended, and the processes that it started continue to serve\n")
    assert said.count("mixtral: starting the recipe's run\n") == 2
    assert ["-h", "now"] not in [argv for argv, _ in computer.calls("shutdown")]


def test_names_that_the_script_itself_uses_are_no_harm_in_a_recipe(computer):
    envs = dict.fromkeys(("folder", "image", "port", "given", "names", "entrypoint", "gpus", "docker"), "odd")
    computer.boot(script("true", image="docker:a/b:1", envs=envs | {"PATH": "/nowhere"}))
    argv, environment = computer.calls("docker")[-1]
    assert argv[-3:] == ["bash", "a/b:1", "/mixtral/recipe.sh"]
    assert f"{computer.folder}/state/cache:/root/.cache" in argv
    assert environment["folder"] == "odd"
    assert environment["PATH"] == "/nowhere"


def test_a_recipe_in_an_image_runs_inside_a_container(computer):
    computer.boot(script("serve", image="docker:nvcr.io/a/b:1"))
    assert [argv for argv, _ in computer.calls("docker") if argv[0] == "pull"] == [["pull", "--quiet", "nvcr.io/a/b:1"]]
    argv, _ = computer.calls("docker")[-1]
    assert argv[-4:] == ["--entrypoint", "bash", "nvcr.io/a/b:1", "/mixtral/recipe.sh"]
    assert f"{computer.folder}/state/recipe:/mixtral:ro" in argv
    assert (computer.folder / "state/recipe/run.sh").read_text() == "serve"
    assert (computer.folder / "state/recipe/run.sh").stat().st_mode & 0o777 == 0o644


def test_a_hostile_recipe_breaks_out_of_nothing(computer):
    odd = HOSTILE.replace("/tmp/broken", str(computer.folder / "broken"))
    for asked in (
        vllm(model=odd, image=f"docker:{odd}", args={"x": odd}, envs={"A": odd}),
        script("true", image=f"docker:{odd}", envs={"A": odd}, model=odd, served_names=(odd,)),
    ):
        computer.boot(asked)
        _, environment = computer.calls("docker")[-1]
        assert environment["A"] == odd
    assert not (computer.folder / "broken").exists()


def test_a_long_script_arrives_whole(computer):
    setup = "".join(f"echo {n} >>lines\n" for n in range(1000))
    computer.boot(script("wc -l <lines", setup))
    assert (computer.folder / "state/recipe/setup.sh").read_text() == setup


def test_conda_is_installed_once_for_a_recipe_that_activates_it(computer):
    home = computer.folder / "home"
    installer = computer.folder / "installer"
    conda = '#!/bin/sh\n[ "$1" = shell.bash ] && echo \'conda() { echo "conda $*"; }\'\n'
    installer.write_text(
        f'[ "$1 $2 $3 $4" = "-b -u -p $HOME/miniconda3" ] || exit 1\nmkdir -p $HOME/miniconda3/bin\n'
        f"printf %s {shlex.quote(conda)} >$HOME/miniconda3/bin/conda\nchmod +x $HOME/miniconda3/bin/conda\n"
    )
    computer.put(
        "curl",
        f'#!/bin/bash\nfor word; do [ "$before" = --output ] && cp {installer} "$word"; before="$word"; done\n',
    )
    said = computer.boot(script("conda activate mixtral\necho served", "conda create --yes --name mixtral"))
    assert said.count("mixtral: installing conda\n") == 1
    assert said.count("conda activate base\n") == 2
    assert "conda create --yes --name mixtral\n" in said
    assert said.index("conda activate mixtral\n") < said.index("served\n")
    assert (home / "miniconda3/bin/conda").exists()


def test_a_second_boot_serves_again(computer):
    assert computer.boot(vllm()).count(f"mixtral: starting {MIXTRAL}\n") == 3
    assert computer.boot(vllm()).count(f"mixtral: starting {MIXTRAL}\n") == 3
    runs = [argv for argv, _ in computer.calls("docker") if argv[0] == "run"]
    assert len(runs) == 6
    assert ["rm", "--force", "mixtral"] in [argv for argv, _ in computer.calls("docker")]


def test_a_machine_without_gpus_serves_a_script_without_looking_for_them(computer):
    said = computer.boot(script('echo "$SKYPILOT_NUM_GPUS_PER_NODE GPUs"'), 0)
    assert "0 GPUs\n" in said
    assert computer.calls("docker") == []


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_user_data_leaves_the_boot_to_units_that_start_at_every_boot(computer, cloud):
    computer.with_systemd()
    said = computer.boot(vllm(), cloud=cloud)
    assert said == ""
    assert computer.calls("docker") == []
    assert [call for call in computer.words("systemctl") if not call.startswith(("daemon", "is-active"))] == [
        "enable --quiet --now mixtral-deadman.service",
        "enable --quiet mixtral-boot.service",
        "start --no-block mixtral-boot.service",
    ]
    assert "mixtral: phase loading\n" in computer.start_units()
    assert computer.words("docker")[-1].startswith("run ")


def test_after_a_reboot_the_stored_expiry_is_armed_before_all_and_the_engine_starts_again(computer):
    computer.with_systemd()
    computer.boot(vllm())
    computer.start_units()
    computer.end()
    (computer.folder / "state/expiry").write_text(str(int(time.time()) + 1800))
    (computer.folder / "calls").unlink()
    said = computer.start_units()  # cloud-init does not run user data a second time
    assert computer.noted()[0][:2] == ("shutdown", ["--no-wall", "-h", "+30"])
    assert "-h +120" not in computer.words("shutdown"), "nothing replaces what the deadman has armed"
    assert "mixtral: phase loading\n" in said
    assert "pull" not in [argv[0] for argv, _ in computer.calls("docker")], "the image is on the disk"
    assert (computer.folder / "state/starts").read_text() == "6"


def test_user_data_that_runs_at_every_boot_as_on_gce_replaces_nothing(computer):
    computer.with_systemd()
    computer.boot(vllm(), cloud="gcp")
    computer.start_units()
    (computer.folder / "calls").unlink()
    assert computer.boot(vllm(), cloud="gcp") == ""
    assert "-h +120" not in computer.words("shutdown")
    assert computer.calls("docker") == []


def test_where_the_deadman_does_not_run_the_first_lease_is_armed_again(computer):
    computer.with_systemd()
    computer.boot(vllm())
    computer.serve()
    assert computer.words("shutdown")[:2] == ["-h +120", "-h +120"]


def test_the_copy_that_runs_at_every_boot_is_nobody_s_business(computer):
    computer.with_systemd()
    computer.boot(vllm())
    assert (computer.folder / "state/boot").stat().st_mode & 0o777 == 0o700
    assert "StandardOutput=journal+console" in (computer.root / "etc/systemd/system/mixtral-boot.service").read_text()
