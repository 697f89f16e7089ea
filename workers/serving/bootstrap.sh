# This part is the same on every machine.
set -u
export HOME="${HOME:-/root}"
folder="${MIXTRAL_FOLDER:-/var/lib/mixtral-bot}"
patience="${MIXTRAL_PATIENCE_SECONDS:-900}"
pause="${MIXTRAL_PAUSE_SECONDS:-10}"
lasting="${MIXTRAL_LASTING_SECONDS:-$lasting}" # an engine that ends within this time has ended early
linger="${MIXTRAL_LINGER_SECONDS:-600}"
gpus=0

# The mark is secret: an engine may print text of its users, who could otherwise forge these lines.
say() {
  echo "mixtral[$mark]: $*"
}

# The control plane reads the reason and ends the machine; otherwise the machine ends itself.
give_up() {
  say "giving up: $*"
  sleep "$linger" 8>&-
  shutdown -h now
  exit 1
}

put() { # NAME MODE TEXT
  printf %s "$3" >"$folder/$1.new" && chmod "$2" "$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"
}

unpack() { # NAME MODE <<< base64 of gzip
  put "$1" "$2" "$(base64 --decode | gzip --decompress)"
}

# The deadman has its own unit (without systemd, its own session), so that it outlives this script.
start_deadman() {
  systemctl is-active --quiet mixtral-deadman && return
  if ! systemd-run --quiet --collect --unit mixtral-deadman --property Restart=always \
    --property StandardOutput=journal+console --setenv MIXTRAL_CLOUD="$MIXTRAL_CLOUD" \
    /bin/bash "$folder/deadman.sh"; then
    setsid bash "$folder/deadman.sh" </dev/null 8>&- &
  fi
}

wait_for() { # WHAT COMMAND...
  local what="$1" deadline="$((SECONDS + patience))"
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || give_up "$what is still missing after $patience s: this machine's image must contain it"
    say "waiting for $what"
    sleep "$pause"
  done
}

pull() { # IMAGE
  local try
  for try in 1 2 3 4 5; do
    say "pulling $1"
    docker pull --quiet "$1" && return
    say "pulling $1 failed"
    sleep "$((pause * try))"
  done
  give_up "$1 cannot be pulled, for the reason above"
}

# The environment may overwrite variables of this script, so only the arguments are used after it is read.
with_environment() { # COMMAND...
  (
    export SKYPILOT_NUM_GPUS_PER_NODE="$gpus" SKYPILOT_SETUP_NUM_GPUS_PER_NODE="$gpus"
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
  [ "$gpus" = 0 ] || given+=(--gpus all)
  docker rm --force mixtral >/dev/null 2>&1
  with_environment "$(command -v docker)" run --rm --name mixtral --ipc host --log-driver local \
    --publish "$port:$port" --volume "$folder/cache:/root/.cache" --volume "$folder/recipe:/mixtral:ro" \
    "${given[@]}" --entrypoint "$entrypoint" "$image" "$@"
}

mask="$(umask)"
umask 077
mkdir -p "$folder/recipe" "$folder/cache" && chmod 700 "$folder" && chmod 755 "$folder/recipe"
exec 8>"$folder/lock"
flock --nonblock 8 || exit 0
files
start_deadman
exec > >(tee -a "$folder/boot.log") 2>&1
umask "$mask"

if [ "$counts" != 0 ]; then
  wait_for "the GPU driver" nvidia-smi
  gpus="$(nvidia-smi --list-gpus | grep --count "^GPU ")"
  [[ " $counts " = *" $gpus "* ]] || give_up "the machine has $gpus GPUs, but ${counts// / or } were rented"
fi
[ "$needs_docker" = no ] || wait_for Docker docker info
[ -z "$image" ] || pull "$image"
starts="$(cat "$folder/starts" 2>/dev/null)" # starts before a reboot are counted too
early=0
while true; do
  starts="$((${starts:-0} + 1))"
  put starts 600 "$starts"
  [ "$needs_docker" = no ] || wait_for Docker docker info # an update may have stopped it
  say "starting $what"
  began="$SECONDS"
  serve
  status="$?"
  if [ "$status" = 0 ] && [ "$kind" = script ] && [ -z "$image" ]; then
    say "$what has ended, and the processes that it started continue to serve"
    exit
  fi
  early="$((SECONDS - began < lasting ? early + 1 : 0))"
  [ "$early" -lt "$starts_most" ] || give_up "$engine exited with status $status at each of its last $early starts"
  say "$engine exited with status $status at $(date +%s) (start $starts), and is started again"
  sleep "$((pause * (early + 1)))" 8>&-
done
