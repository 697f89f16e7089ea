# Installs uv if it is missing, and activates an environment for `uv pip` unless conda has one.
if ! command -v uv >/dev/null; then
  if ! [ -x "$HOME/.local/bin/uv" ]; then
    echo "mixtral: installing uv"
    installer="$(mktemp)"
    from=https://astral.sh/uv/install.sh
    curl --silent --show-error --fail --location --retry 5 --output "$installer" "$from" ||
      wget --quiet --tries 5 --output-document "$installer" "$from"
    UV_INSTALL_DIR="$HOME/.local/bin" UV_NO_MODIFY_PATH=1 sh "$installer" --quiet || echo "mixtral: uv could not be installed"
    rm -f "$installer"
  fi
  PATH="$HOME/.local/bin:$PATH"
fi
if [ -z "${CONDA_PREFIX:-}" ]; then
  # A Python of uv's own: it has the headers that vLLM compiles with.
  [ -d "$HOME/.mixtral-uv" ] || uv venv --quiet --seed --python 3.12 --python-preference only-managed "$HOME/.mixtral-uv"
  . "$HOME/.mixtral-uv/bin/activate"
fi
