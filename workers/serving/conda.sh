# Installs conda if it is missing, and activates it for a recipe's script.
if ! command -v conda >/dev/null; then
  if ! [ -x "$HOME/miniconda3/bin/conda" ]; then
    echo "mixtral: installing conda"
    installer="$(mktemp)"
    from="https://github.com/conda-forge/miniforge/releases/latest/download/Miniforge3-Linux-$(uname -m).sh"
    curl --silent --show-error --fail --location --retry 5 --output "$installer" "$from" ||
      wget --quiet --tries 5 --output-document "$installer" "$from"
    bash "$installer" -b -u -p "$HOME/miniconda3" >/dev/null || echo "mixtral: conda could not be installed"
    rm -f "$installer"
  fi
  PATH="$HOME/miniconda3/bin:$PATH"
fi
eval "$(conda shell.bash hook)"
conda activate base
