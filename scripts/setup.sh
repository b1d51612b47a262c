#!/bin/sh
# Makes a virtual environment with a pinned set and this package: setup.sh FOLDER PINS PACKAGE, where PACKAGE is what pip takes,
# e.g. "--editable ." or a wheel. PYTHON names the interpreter (default python3). Installs with uv, which takes a third of the
# time, and with pip where uv cannot be had or does not get through.
set -eu
folder=$1 pins=$2 python=${PYTHON:-python3}
shift 2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1). Set PYTHON=... to use another one." >&2
  exit 1
}
echo "Setting up $folder from $pins ..." >&2
# A dot every five seconds says that it goes on.
(while sleep 5; do printf . >&2; done) &
dots=$!
trap 'kill "$dots" 2>/dev/null; echo >&2' EXIT
"$python" -m venv --clear "$folder"
pip() { "$folder/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
uv=$(command -v uv) || { pip install uv==0.13.9 && uv=$folder/bin/uv; } || uv=false
# The set is complete, so its packages need no resolving. A proxy or a certificate that pip knows may be unknown to uv.
install() { "$uv" pip install --quiet --python "$folder/bin/python" --no-deps "$@" || pip install --no-deps "$@"; }
install --requirement "$pins"
# Editable: with the build backend of the set, not with today's. A wheel is built already.
install --no-build-isolation "$@"
