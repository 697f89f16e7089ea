# Docker, NVIDIA's toolkit, and images. The functions are called by bootstrap.sh and use its variables.

# Another process may hold apt's lock, for example unattended upgrades after the first boot.
apt() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get --yes --quiet --quiet --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3 "$@"
}

install() { # PACKAGE...
  local count
  command -v apt-get >/dev/null || give_up "$1 is missing, and this image has no apt-get to install it"
  for count in 1 2 3 4 5; do
    say "installing $*"
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a >/dev/null 2>&1 # an earlier installation may have been interrupted
    apt update >/dev/null 2>&1          # a source that is not needed here may be broken
    try apt --allow-change-held-packages install "$@" && return
    say "installing $1 failed: $why"
    sleep "$((pause * count))" 8>&-
  done
  give_up "$1 cannot be installed: $why"
}

# The toolkit's packages must have the version of their library, which Google's image pins.
install_toolkit() {
  local list="$root/etc/apt/sources.list.d/nvidia-container-toolkit.list" key=/usr/share/keyrings/nvidia-container-toolkit.asc
  local from=https://nvidia.github.io/libnvidia-container version
  if ! apt-cache show nvidia-container-toolkit >/dev/null 2>&1; then
    try curl --silent --show-error --fail --location --retry 5 --output "$root$key" "$from/gpgkey" ||
      give_up "the key of NVIDIA's packages cannot be downloaded: $why"
    echo "deb [signed-by=$key] $from/stable/deb/$(dpkg --print-architecture) /" >"$list"
  fi
  version="$(dpkg-query --show --showformat '${Version}' libnvidia-container1 2>/dev/null)"
  install nvidia-container-toolkit"${version:+=$version}" nvidia-container-toolkit-base"${version:+=$version}" \
    libnvidia-container-tools"${version:+=$version}"
}

wait_for_docker() {
  wait_for Docker docker version --format "{{.Server.Version}}"
}

prepare_docker() {
  if ! command -v docker >/dev/null; then
    say "phase installing"
    install docker.io
    systemctl enable --quiet --now docker
  fi
  wait_for_docker
  if [ "$gpus" != 0 ] && ! docker info --format "{{json .Runtimes}}" 2>/dev/null | grep --quiet nvidia; then
    command -v nvidia-ctk >/dev/null || { say "phase installing" && install_toolkit; }
    { try nvidia-ctk runtime configure --runtime=docker && try systemctl restart docker; } ||
      give_up "Docker cannot use the GPUs: $why"
    wait_for_docker
  fi
}

# By default, Docker does not limit the logs of containers. `contain` limits those of its own.
bound_docker_logs() {
  local file="$root/etc/docker/daemon.json"
  if [ ! -e "$file" ]; then
    mkdir -p "${file%/*}" && echo '{"log-driver": "local"}' >"$file"
  else
    python3 - "$file" <<'END' || return
import json, sys
with open(sys.argv[1]) as file:
    found = json.load(file)
if "log-driver" in found:
    sys.exit(1)
with open(sys.argv[1], "w") as file:
    json.dump({**found, "log-driver": "local"}, file, indent=2)
END
  fi
  systemctl try-restart docker 2>/dev/null
}

stop() { # PROCESS
  kill "$1" && wait "$1"
} 2>/dev/null

report() { # PHASE TOTAL COMMAND...: reports the number of bytes that the command prints, each time it has changed
  local phase="$1" total="$2" now last=""
  shift 2
  exec 8>&-
  while sleep "$every" >/dev/null 2>&1; do
    now="$("$@" 2>/dev/null)"
    [ "$now" = "$last" ] || say "progress $phase ${now:-0} $total"
    last="$now"
  done
}

received() { # bytes that the network interfaces have received
  cat "$root"/sys/class/net/e*/statistics/rx_bytes | awk '{ sum += $1 } END { printf "%.0f", sum }'
}

image_size() { # IMAGE: prints the bytes of its packed layers; 0 if the registry does not return them
  timeout 60 docker manifest inspect --verbose "$1" 2>/dev/null | python3 -c '
import json, sys
found = json.load(sys.stdin)
found = found if isinstance(found, list) else [found]
sizes = [
    sum(layer["size"] for layer in (one.get("OCIManifest") or one["SchemaV2Manifest"])["layers"])
    for one in found
    if one["Descriptor"].get("platform", {}).get("architecture", "amd64") == "amd64"
]
print(sizes[0])' 2>/dev/null || echo 0
}

login() { # DOCKER HOME: the password is never an argument
  # shellcheck source=/dev/null
  (. "$folder/env" && printf %s "$SKYPILOT_DOCKER_PASSWORD" |
    HOME="$2" "$1" login --username "$SKYPILOT_DOCKER_USERNAME" --password-stdin "$SKYPILOT_DOCKER_SERVER")
}

pull() { # IMAGE
  local count reporter before status
  docker image inspect "$1" >/dev/null 2>&1 && return # it was pulled before a reboot
  say "phase pulling"
  for count in 1 2 3 4 5; do
    say "pulling $1"
    if [ "$registry" = yes ] && ! try login "$(command -v docker)" "$HOME"; then
      say "the registry refused the login: $why"
    else
      before="$(received 2>/dev/null)"
      report pulling "$(image_size "$1" 2>/dev/null)" since "${before:-0}" &
      reporter="$!"
      try docker pull --quiet "$1"
      status="$?"
      stop "$reporter"
      [ "$status" != 0 ] || return 0
      say "pulling $1 failed: $why"
    fi
    sleep "$((pause * count))" 8>&-
  done
  give_up "$1 cannot be pulled: $why"
}

since() { # BYTES
  echo "$(($(received) - $1))"
}
