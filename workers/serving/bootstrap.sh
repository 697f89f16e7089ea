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

runs() { # START: whether the recipe's setup has ended; its script prints this line without the mark
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
