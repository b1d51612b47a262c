#!/bin/sh
# Makes a virtual environment with a pinned set: setup.sh FOLDER PINS. Uses uv where it is installed, pip otherwise.
# PYTHON names the interpreter (default python3).
set -eu
folder=$1 pins=$2 python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1). Set PYTHON=... to use another one." >&2
  exit 1
}
echo "Setting up $folder from $pins ..." >&2
"$python" -m venv --clear "$folder"
# The set is complete, so its packages need no resolving.
if command -v uv >/dev/null 2>&1; then
  VIRTUAL_ENV=$folder uv pip install --quiet --no-deps --requirement "$pins"
else
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$pins"
fi
