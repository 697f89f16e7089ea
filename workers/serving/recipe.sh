# Runs a recipe's setup and then its run, each by a bash of its own.
here="$(cd "$(dirname "$0")" && pwd)"
command -v sudo >/dev/null || { sudo() { "$@"; } && export -f sudo; }
mkdir -p ~/sky_workdir && cd ~/sky_workdir || exit
# Noted where its effects are: a new container needs it again, a machine that starts its engine again does not.
if [ -e "$here/setup.sh" ] && ! [ -e ~/.mixtral-set-up ]; then
  echo "mixtral: running the recipe's setup"
  bash "$here/setup.sh" || { status="$?" && echo "mixtral: setup exited with status $status" && exit "$status"; }
  touch ~/.mixtral-set-up
fi
echo "mixtral: starting the recipe's run"
exec bash "$here/run.sh"
