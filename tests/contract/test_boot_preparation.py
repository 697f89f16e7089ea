"""What a machine does before its engine starts: Docker, GPUs, disks, registries, and the causes of failures."""

import json
import shlex

import pytest

from tests.builders.machines import boot
from tests.fakes.computer import Computer
from tests.unit.workers.serving.test_bootstrap import LOGIN, vllm
from workers.serving.console import unmarked

pytestmark = pytest.mark.clouds
OFTEN = {"MIXTRAL_REPORT_SECONDS": "0.1"}


@pytest.fixture
def computer(tmp_path):
    computer = Computer(tmp_path)
    yield computer
    computer.end()


def script(run, setup="", **changes):
    return boot(kind="script", setup=setup, run=run, **changes)


def lines(said, start):
    return [line.removeprefix("mixtral: ") for line in said.splitlines() if line.startswith(f"mixtral: {start}")]


# Docker and NVIDIA's toolkit


def bare(computer):
    """Google's image: the driver, no Docker, and the toolkit's library at one version."""
    computer.lack("docker", "nvidia-ctk")
    (computer.folder / "nvidia").unlink()


def installations(computer):
    return [call for call in computer.words("apt-get") if " install " in call]


def test_on_google_s_image_docker_and_the_toolkit_of_its_library_are_installed(computer):
    bare(computer)
    said = computer.boot(vllm(), cloud="gcp")
    installed = installations(computer)
    assert installed[0].endswith("install docker.io")
    toolkit = "nvidia-container-toolkit=1.17.8-1 nvidia-container-toolkit-base=1.17.8-1"
    assert installed[1].endswith(f"install {toolkit} libnvidia-container-tools=1.17.8-1")
    assert computer.words("nvidia-ctk") == ["runtime configure --runtime=docker"]
    assert "restart docker" in computer.words("systemctl")
    assert lines(said, "phase")[:3] == ["phase booting", "phase installing", "phase installing"]
    assert computer.words("docker")[-1].startswith("run ")


def test_a_machine_without_gpus_gets_docker_and_no_toolkit(computer):
    bare(computer)
    computer.boot(script("serve", image="docker:a/b:1"), 0)
    assert len(installations(computer)) == 1
    assert computer.calls("nvidia-ctk") == []


def test_an_image_that_has_all_is_left_as_it_is(computer):
    computer.boot(vllm())
    assert computer.calls("apt-get") == []
    assert computer.calls("nvidia-ctk") == []


def test_another_process_that_holds_apt_s_lock_is_waited_for(computer):
    bare(computer)
    computer.fail("apt-get", "--yes", 4, "E: Could not get lock /var/lib/dpkg/lock-frontend")
    said = computer.boot(vllm())
    assert said.count("installing docker.io failed: E: Could not get lock /var/lib/dpkg/lock-frontend\n") == 2
    assert all("DPkg::Lock::Timeout=300" in call for call in computer.words("apt-get"))
    assert computer.words("docker")[-1].startswith("run ")


def test_docker_that_cannot_be_installed_is_said_with_the_cause(computer):
    bare(computer)
    computer.fail("apt-get", "--yes", 99, "E: Unable to locate package docker.io")
    computer.boot(vllm())
    assert computer.told().gave_up == "docker.io cannot be installed: E: Unable to locate package docker.io"


# GPUs


def test_a_driver_that_does_not_work_is_said_in_nvidia_smi_s_words(computer):
    cause = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    computer.fail("nvidia-smi", "", 99, f"{cause}\n\n")
    computer.boot(vllm(), settings={"MIXTRAL_PATIENCE_SECONDS": "0"})
    assert computer.told().gave_up == f"the GPU driver does not work after 0 s: {cause}"


def test_a_gpu_that_is_lost_is_said_in_nvidia_smi_s_words(computer):
    computer.has(gpus="7", lost="Unable to determine the device handle for GPU7: GPU is lost\n")
    computer.boot(vllm())
    assert computer.told().gave_up == (
        "the machine has 7 GPUs, but 8 were rented: Unable to determine the device handle for GPU7: GPU is lost"
    )


@pytest.mark.parametrize(("driver", "compatible"), [("570.172.08", True), ("580.126.09", False), ("595.58.03", False)])
def test_an_older_driver_has_vllm_load_its_compatibility_libraries(computer, driver, compatible):
    computer.has(driver=driver)
    computer.boot(vllm())
    argv, environment = computer.calls("docker")[-1]
    assert ("VLLM_ENABLE_CUDA_COMPATIBILITY" in argv) is compatible
    assert (environment.get("VLLM_ENABLE_CUDA_COMPATIBILITY") == "1") is compatible


# Disks and logs


def disks(computer, *names):
    folder = computer.root / "dev/disk/by-id"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def test_several_local_disks_become_one_for_weights_and_images_before_docker_is_installed(computer):
    bare(computer)
    disks(computer, "google-local-nvme-ssd-0", "google-local-nvme-ssd-1", "google-local-nvme-ssd-1-part1")
    said = computer.boot(vllm(), cloud="gcp")
    assert "mixtral: weights and images are on 2 disks of the machine itself\n" in said
    assert "--raid-devices=2" in computer.words("mdadm")[0]
    assert computer.words("mkfs.ext4")[0].endswith("/dev/md/mixtral")
    programs = [name for name, _, _ in computer.noted()]
    bound = [argv[-1] for argv, _ in computer.calls("mount") if argv[0] == "--bind"]
    root, state = computer.root, computer.folder / "state"
    assert bound == [f"{state}/cache", f"{root}/var/lib/docker", f"{root}/var/lib/containerd"]
    assert programs.index("mount") < programs.index("apt-get")


def test_one_local_disk_is_used_as_it_is_and_kept_over_a_reboot(computer):
    disks(computer, "google-local-nvme-ssd-0")
    computer.boot(vllm(), cloud="gcp")
    assert computer.calls("mdadm") == []
    assert len(computer.calls("mkfs.ext4")) == 1
    (computer.folder / "mounts").unlink()
    computer.has(labelled="/dev/nvme0n1")
    computer.boot(vllm(), cloud="gcp")
    assert len(computer.calls("mkfs.ext4")) == 1
    assert computer.words("mount")[4] == f"/dev/nvme0n1 {computer.folder}/state/local"


def test_on_aws_the_image_has_mounted_the_local_disks(computer):
    disks(computer, "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS1", "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS1_1")
    (computer.root / "opt/dlami/nvme").mkdir(parents=True)
    computer.has(mounts=f"{computer.root}/opt/dlami/nvme\n")
    computer.boot(vllm())
    assert computer.calls("mkfs.ext4") == []
    assert (computer.root / "opt/dlami/nvme/mixtral/cache").is_dir()
    assert "stop docker.socket docker containerd" in computer.words("systemctl")


def test_local_disks_that_cannot_be_used_are_said_and_the_rented_disk_serves(computer):
    disks(computer, "google-local-nvme-ssd-0")
    computer.fail("mkfs.ext4", "-q", 1, "mkfs.ext4: Device or resource busy")
    said = computer.boot(vllm())
    assert "mixtral: the machine's own disks cannot be used: mkfs.ext4: Device or resource busy\n" in said
    assert computer.words("docker")[-1].startswith("run ")


def test_docker_bounds_the_logs_of_a_recipe_s_own_containers(computer):
    (computer.root / "etc/docker").mkdir(parents=True)
    settings = computer.root / "etc/docker/daemon.json"
    settings.write_text('{"runtimes": {"nvidia": {}}}')
    computer.boot(script("docker run a/b:1"))
    assert json.loads(settings.read_text()) == {"runtimes": {"nvidia": {}}, "log-driver": "local"}
    assert "try-restart docker" in computer.words("systemctl")


def test_the_log_of_a_talkative_engine_is_bounded(computer):
    talk = f"seq 2000; until [ -e {computer.folder}/state/boot.log.1 ]; do sleep 0.05; done"
    computer.boot(script(talk), settings=OFTEN | {"MIXTRAL_LOG_LIMIT": "1000"})
    assert (computer.folder / "state/boot.log.1").stat().st_size > 1000
    assert (computer.folder / "state/boot.log").stat().st_size < 1000


# Registries


def test_a_private_registry_is_logged_in_to_and_the_password_is_never_an_argument_or_a_line(computer):
    image = "docker:registry.example.com/team/app:1"
    said = computer.boot(script("serve", image=image, envs=LOGIN))
    assert (computer.folder / "password").read_text() == "hunter2"
    assert "login --username reader --password-stdin registry.example.com" in computer.words("docker")
    assert "pull --quiet registry.example.com/team/app:1" in computer.words("docker")
    assert all("hunter2" not in shlex.join(argv) for _, argv, _ in computer.noted())
    assert "hunter2" not in said


def test_a_login_that_is_refused_is_said_in_the_registry_s_words(computer):
    cause = "Error response from daemon: unauthorized: incorrect username or password"
    computer.fail("docker", "login", 99, cause)
    computer.boot(script("serve", image="docker:team/app:1", envs=LOGIN))
    assert computer.told().gave_up == f"registry.example.com/team/app:1 cannot be pulled: {cause}"


# Phases


def test_the_bytes_of_an_image_and_of_weights_are_reported(computer):
    layers = {"layers": [{"size": 3000}, {"size": 5000}]}
    manifests = [
        {"Descriptor": {"platform": {"architecture": "arm64"}}, "OCIManifest": {"layers": [{"size": 1}]}},
        {"Descriptor": {"platform": {"architecture": "amd64"}}, "OCIManifest": layers},
    ]
    (computer.root / "sys/class/net/eth0/statistics/rx_bytes").write_text("1000")
    computer.has(manifest=json.dumps(manifests), receives="3000 8000", downloads="5000 50000")
    said = computer.boot(vllm(), settings=OFTEN)
    assert lines(said, "progress pulling")[-2:] == ["progress pulling 2000 8000", "progress pulling 7000 8000"]
    loaded = [int(line.split()[2]) for line in lines(said, "progress loading")]
    assert any(5000 <= done < 50000 for done in loaded)
    assert max(loaded) >= 50000
    assert {line.split()[3] for line in lines(said, "progress loading")} == {"0"}


def test_a_registry_that_does_not_tell_sizes_leaves_the_total_unknown(computer):
    (computer.root / "sys/class/net/eth0/statistics/rx_bytes").write_text("1000")
    computer.fail("docker", "manifest", 9, "no such manifest")
    computer.has(receives="3000")
    assert "progress pulling 2000 0" in lines(computer.boot(vllm(), settings=OFTEN), "progress pulling")


def test_setup_is_an_installation_and_loading_begins_with_run(computer):
    run = f"until grep --quiet 'phase loading' {computer.folder}/state/boot.log; do sleep 0.05; done; exit 7"
    said = computer.boot(script(run, "echo one"), settings=OFTEN)
    assert lines(said, "phase") == ["phase booting", "phase installing"] + ["phase loading"] * 3
    first = said.index("mixtral: phase loading")
    assert said.index("mixtral: starting the recipe's run\nmixtral: phase loading") < first
    assert said.index("\none\n") < first


# Programs of scripts


def test_uv_is_installed_with_an_environment_for_setup_and_run(computer):
    computer.lack("uv")
    venv = 'mkdir -p "${!#}/bin"; echo "export VIRTUAL_ENV=${!#}" >"${!#}/bin/activate"'
    uv = f'#!/bin/bash\n[ "$1" = venv ] && {{ {venv}; }} || echo "uv $* in $VIRTUAL_ENV"\n'
    installer = computer.folder / "installer"
    installer.write_text(
        f'mkdir -p "$UV_INSTALL_DIR" && printf %s {shlex.quote(uv)} >"$UV_INSTALL_DIR/uv"\n'
        'chmod +x "$UV_INSTALL_DIR/uv"\n'
    )
    computer.put(
        "curl",
        f'#!/bin/bash\nfor word; do [ "$before" = --output ] && cp {installer} "$word"; before="$word"; done\n',
    )
    said = computer.boot(script('echo "serving in $VIRTUAL_ENV"', "uv pip install vllm"))
    home = computer.folder / "home"
    assert said.count("mixtral: installing uv\n") == 1
    assert f"uv pip install vllm in {home}/.mixtral-uv\n" in said
    assert f"serving in {home}/.mixtral-uv\n" in said


def test_a_script_that_names_sudo_runs_without_it(computer):
    computer.lack("sudo")
    said = computer.boot(script("sudo -E WHO=root printenv WHO; sudo echo as root"))
    assert "\nroot\nas root\n" in said


def test_weights_of_scripts_are_where_the_others_are(computer):
    computer.boot(script("echo x >~/.cache/huggingface/blob"))
    assert (computer.folder / "state/cache/huggingface/blob").exists()


def test_the_log_holds_what_the_console_shows(computer):
    said = computer.boot(script("echo served"))
    assert unmarked((computer.folder / "state/boot.log").read_text()) == said
