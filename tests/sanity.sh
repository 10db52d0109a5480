#!/usr/bin/env bash
# ansible-test sanity, all tests, over a copy at the path it asks for.
# Its pip bootstrap script is fetched from a host that closed networks do not reach: ensurepip does the same job.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
cache="$HOME/.ansible/test/cache"
requirements=("$root"/.venv/lib/python3*/site-packages/ansible_test/_internal/python_requirements.py)
version=$(sed -n "s/^ *pip='\([0-9.]*\)',.*/\1/p" "${requirements[0]}" | head -n 1 | tr . _)
mkdir -p "$cache"
bootstrap="$cache/get_pip_${version}.py"
[ -s "$bootstrap" ] || printf 'import ensurepip\nimport sys\n\nsys.exit(ensurepip._main(["--upgrade", "--default-pip"]))\n' > "$bootstrap"
copy=$(tests/copy_collection.sh sanity)
cd "$copy"
python=$("$root/.venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PATH="$root/.venv/bin:$PATH" ansible-test sanity --color no --python "$python" "$@"
