# This part is the same on every machine.
set -u
export HOME="${HOME:-/root}"
folder="${MIXTRAL_FOLDER:-/var/lib/mixtral-bot}"
root="${MIXTRAL_ROOT:-}" # of the system's own files
patience="${MIXTRAL_PATIENCE_SECONDS:-900}"
pause="${MIXTRAL_PAUSE_SECONDS:-10}"
lasting="${MIXTRAL_LASTING_SECONDS:-$lasting}" # an engine that ends within this time has ended early
linger="${MIXTRAL_LINGER_SECONDS:-600}"
every="${MIXTRAL_REPORT_SECONDS:-10}"
log_limit="${MIXTRAL_LOG_LIMIT:-50000000}" # bytes
gpus=0
compatible=no
why=""

# The mark is secret: an engine may print text of its users, who could otherwise forge these lines.
say() {
  echo "mixtral[$mark]: $*"
}

# The control plane reads the reason and ends the machine; otherwise the machine ends itself.
give_up() {
  say "giving up: $*"
  sleep "$linger" 8>&-
  shutdown -h now
  exit 0
}

put() { # NAME MODE TEXT
  printf %s "$3" >"$folder/$1.new" && chmod "$2" "$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"
}

unpack() { # NAME MODE <<< base64 of gzip
  put "$1" "$2" "$(base64 --decode | gzip --decompress)"
}

try() { # COMMAND...: on failure, `why` is the last line that it wrote
  why="$("$@" 2>&1 8>&-)" && return
  why="$(grep '[^[:space:]]' <<<"$why" | tail -n 1)"
  why="${why:0:300}"
  return 1
}

unit() { # NAME TEXT
  local file="$root/etc/systemd/system/$1"
  printf '%s\n' "$2" >"$file.new" && chmod 644 "$file.new" && mv "$file.new" "$file"
}

# cloud-init runs user data once per instance, and a reboot cancels a scheduled shutdown. So two units run at every boot:
# the deadman, before all others, and the rest of this script.
install_units() {
  [ -d "$root/run/systemd/system" ] || return
  cp "$0" "$folder/boot.new" && chmod 700 "$folder/boot.new" && mv "$folder/boot.new" "$folder/boot" || return
  unit mixtral-deadman.service "[Unit]
Description=Shuts this machine down at its expiry
Before=docker.service containerd.service mixtral-boot.service
StartLimitIntervalSec=0
[Service]
Environment=MIXTRAL_CLOUD=$MIXTRAL_CLOUD
ExecStart=/bin/bash $folder/deadman.sh
Restart=always
RestartSec=1
OOMScoreAdjust=-1000
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target" &&
    systemctl daemon-reload &&
    systemctl enable --quiet --now mixtral-deadman.service &&
    unit mixtral-boot.service "[Unit]
Description=Serves the model of mixtral-bot
Wants=network-online.target mixtral-deadman.service
After=network-online.target mixtral-deadman.service docker.service
[Service]
ExecStart=/bin/bash $folder/boot serve
RemainAfterExit=yes
Restart=on-failure
RestartSec=10
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=1048576
LimitMEMLOCK=infinity
LogRateLimitIntervalSec=0
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target" &&
    systemctl daemon-reload &&
    systemctl enable --quiet mixtral-boot.service &&
    systemctl start --no-block mixtral-boot.service
}

wait_for() { # WHAT COMMAND...
  local what="$1" deadline="$((SECONDS + patience))"
  shift
  until try timeout 60 "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || give_up "$what does not work after $patience s: ${why:-no reason was given}"
    say "waiting for $what"
    sleep "$pause" 8>&-
  done
}

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
    apt update >/dev/null 2>&1          # a source may be broken that is not needed here
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

# Docker keeps the logs of containers for ever, unless it is told otherwise. `contain` bounds those of its own.
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

local_disks() { # prints the machine's own NVMe disks
  local link
  for link in "$root"/dev/disk/by-id/{google-local-nvme-ssd-,nvme-Amazon_EC2_NVMe_Instance_Storage_}*; do
    [[ ! -e $link || $link = *-part* ]] || readlink -f "$link"
  done | sort --unique
}

# The machine's own disks are faster than the rented one, and empty after the machine was stopped. Without them, or if
# they cannot be used, everything is on the rented one.
use_local_disks() {
  local disks label=mixtral-local at="$folder/local" device
  mapfile -t disks < <(local_disks)
  [ "${#disks[@]}" -gt 0 ] || return
  if [ -d "$root/opt/dlami" ]; then # AWS's image mounts them itself
    at="$root/opt/dlami/nvme"
    local deadline="$((SECONDS + 60))" why="$at is not mounted"
    until mountpoint --quiet "$at" || [ "$SECONDS" -ge "$deadline" ]; do sleep 1 8>&-; done
  elif device="$(blkid --label "$label")"; then
    mkdir -p "$at" && try mount "$device" "$at"
  else
    device="${disks[0]}"
    if [ "${#disks[@]}" -gt 1 ]; then
      command -v mdadm >/dev/null || try apt install mdadm
      device=/dev/md/mixtral
      try mdadm --create "$device" --run --level=0 --raid-devices="${#disks[@]}" "${disks[@]}"
    fi
    try mkfs.ext4 -q -F -m 0 -L "$label" "$device" && mkdir -p "$at" && try mount "$device" "$at"
  fi
  mountpoint --quiet "$at" || { say "the machine's own disks cannot be used: $why" && return; }
  say "weights and images are on ${#disks[@]} disks of the machine itself"
  onto "$at" "$folder/cache"
  [ "$needs_docker" = no ] || mountpoint --quiet "$root/var/lib/docker" || {
    systemctl stop docker.socket docker containerd 2>/dev/null
    onto "$at" "$root/var/lib/docker"
    onto "$at" "$root/var/lib/containerd"
    systemctl start containerd docker.socket docker 2>/dev/null
  }
}

onto() { # DISK FOLDER
  mountpoint --quiet "$2" || { mkdir -p "$1/mixtral/${2##*/}" "$2" && mount --bind "$1/mixtral/${2##*/}" "$2"; }
}

stop() { # PROCESS
  kill "$1" && wait "$1"
} 2>/dev/null

report() { # PHASE TOTAL COMMAND...: says every few seconds how many bytes the command prints, if they have changed
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

image_size() { # IMAGE: prints the bytes of its packed layers; 0 if the registry does not say
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
      report pulling "$(image_size "$1")" since "${before:-0}" &
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

# The environment may overwrite variables of this script, so only the arguments are used after it is read.
with_environment() { # COMMAND...
  (
    export SKYPILOT_NUM_GPUS_PER_NODE="$gpus" SKYPILOT_SETUP_NUM_GPUS_PER_NODE="$gpus"
    [ "$compatible" = no ] || export VLLM_ENABLE_CUDA_COMPATIBILITY=1
    # shellcheck source=/dev/null
    . "$folder/env"
    exec "$@" </dev/null 8>&-
  )
}

contain() { # ENTRYPOINT ARGUMENT...: runs in the image; argv has the names of variables, never values
  local entrypoint="$1" name given=()
  shift
  for name in "${names[@]}" SKYPILOT_NUM_GPUS_PER_NODE SKYPILOT_SETUP_NUM_GPUS_PER_NODE; do
    given+=(--env "$name")
  done
  [ "$compatible" = no ] || given+=(--env VLLM_ENABLE_CUDA_COMPATIBILITY)
  [ "$gpus" = 0 ] || given+=(--gpus all)
  docker rm --force mixtral >/dev/null 2>&1
  with_environment "$(command -v docker)" run --rm --name mixtral --ipc host --log-driver local \
    --publish "$port:$port" --volume "$folder/cache:/root/.cache" --volume "$folder/recipe:/mixtral:ro" \
    "${given[@]}" --entrypoint "$entrypoint" "$image" "$@"
}

weights() { # bytes of the weights that the engine has downloaded
  du --summarize --block-size=1 "$folder/cache/huggingface" | cut -f 1
}

trim_log() {
  [ "$(stat --format=%s "$folder/boot.log")" -lt "$log_limit" ] ||
    { cp "$folder/boot.log" "$folder/boot.log.1" && : >"$folder/boot.log"; }
}

runs() { # START: whether the recipe's setup has ended; its script says so, and does not know the mark
  tail --bytes="+$1" "$folder/boot.log" | grep --quiet "mixtral: starting the recipe's run"
}

accompany() { # PHASE START: runs beside the engine, whose output begins at START in the log
  local phase="$1" now last="" began="$SECONDS"
  exec 8>&-
  while sleep "$every" >/dev/null 2>&1; do
    if [ "$phase" = installing ]; then
      runs "$2" || continue
      phase=loading
      say "phase loading"
    fi
    trim_log 2>/dev/null
    now="$(weights 2>/dev/null)"
    [ "${now:-0}" = "${last:-0}" ] || [ "$((SECONDS - began))" -ge 14400 ] || say "progress loading $now 0"
    last="$now"
  done
}

check_gpus() {
  wait_for "the GPU driver" nvidia-smi
  local listed driver
  listed="$(timeout 60 nvidia-smi --list-gpus 2>&1)"
  gpus="$(grep --count "^GPU [0-9]*: " <<<"$listed")"
  why="$(grep --invert-match --extended-regexp '^(GPU [0-9]*: .*|[[:space:]]*)$' <<<"$listed" | tail -n 1)"
  [[ " $counts " = *" $gpus "* ]] ||
    give_up "the machine has $gpus GPUs, but ${counts// / or } were rented${why:+: ${why:0:300}}"
  driver="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)"
  [[ ! $driver =~ ^[0-9]+ || ${driver%%.*} -ge $driver_least ]] || compatible=yes
}

mask="$(umask)"
umask 077
mkdir -p "$folder/recipe" && chmod 700 "$folder" && chmod 755 "$folder/recipe"
if [ "${1:-}" != serve ]; then
  files
  install_units && exit
  setsid bash "$folder/deadman.sh" </dev/null 8>&- & # without systemd
fi
exec 8>"$folder/lock"
flock --nonblock 8 || exit 0
exec > >(tee -a "$folder/boot.log" 8>&-) 2>&1
umask "$mask"

say "phase booting"
[ "$counts" = 0 ] || check_gpus
use_local_disks
mkdir -p "$folder/cache/huggingface"
if [ "$kind" = script ] && [ -z "$image" ]; then
  mkdir -p ~/.cache
  [ -e ~/.cache/huggingface ] || ln -s "$folder/cache/huggingface" ~/.cache/huggingface
  [ "$needs_docker" = no ] || bound_docker_logs
fi
[ "$needs_docker" = no ] || prepare_docker
[ -z "$image" ] || pull "$image"
starts="$(cat "$folder/starts" 2>/dev/null)" # starts before a reboot are counted too
early=0
set_up=no
while true; do
  starts="$((${starts:-0} + 1))"
  put starts 600 "$starts"
  [ "$needs_docker" = no ] || wait_for_docker # an update may have stopped it
  [ -e "$folder/recipe/setup.sh" ] && [ "$set_up" = no ] && phase=installing || phase=loading
  say "phase $phase"
  say "starting $what"
  start="$(($(stat --format=%s "$folder/boot.log") + 1))"
  accompany "$phase" "$start" &
  companion="$!"
  began="$SECONDS"
  serve
  status="$?"
  stop "$companion"
  [ -n "$image" ] || ! runs "$start" || set_up=yes # in a container, each start runs setup
  if [ "$status" = 0 ] && [ "$kind" = script ] && [ -z "$image" ]; then
    say "$what has ended, and the processes that it started continue to serve"
    exit
  fi
  early="$((SECONDS - began < lasting ? early + 1 : 0))"
  [ "$early" -lt "$starts_most" ] || give_up "$engine exited with status $status at each of its last $early starts"
  say "$engine exited with status $status at $(date +%s) (start $starts), and is started again"
  sleep "$((pause * (early + 1)))" 8>&-
done
