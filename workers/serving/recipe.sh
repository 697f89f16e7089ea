# Runs a recipe's setup and then its run, each in its own bash.
here="$(cd "$(dirname "$0")" && pwd)"
if ! command -v sudo >/dev/null; then # as in a container; options are ignored, variables are set
  sudo() {
    while [[ ${1:-} = -* ]]; do shift; done
    env "$@"
  }
  export -f sudo
fi
mkdir -p ~/sky_workdir && cd ~/sky_workdir || exit
# The marker file is in the home directory, as are setup's effects: a new container, a reboot or an image of this machine
# runs setup again, a restart of the engine does not.
known="$(cat /proc/sys/kernel/random/boot_id "$here/setup.sh" 2>/dev/null | cksum)"
if [ -e "$here/setup.sh" ] && [ "$(cat ~/.mixtral-set-up 2>/dev/null)" != "$known" ]; then
  echo "mixtral: running the recipe's setup"
  bash "$here/setup.sh" || { status="$?" && echo "mixtral: setup exited with status $status" && exit "$status"; }
  echo "$known" >~/.mixtral-set-up
fi
echo "mixtral: starting the recipe's run"
exec bash "$here/run.sh"
