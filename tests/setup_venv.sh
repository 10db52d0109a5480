#!/usr/bin/env bash
# Makes the Python environment: tests/setup_venv.sh PYTHON DIRECTORY
set -euo pipefail
python=$1 venv=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "slipway: $python is older than Python 3.11: install a newer one and run make PYTHON=python3.x" >&2
  exit 1
}
if ! "$python" -m venv "$venv"; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
    echo "slipway: $python cannot make a virtual environment: install python3-venv" >&2
    exit 1
  }
  apt-get update -q && apt-get install -y -q --no-install-recommends python3-venv
  "$python" -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt 2> >(grep -v "is neither a file nor a directory" >&2)
