#!/usr/bin/env bash
# ansible-lint by the production profile, over a copy of what is tracked or new: the working tree links to itself.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
copy=$(tests/copy_collection.sh lint)
cd "$copy"
PATH="$root/.venv/bin:$PATH" ANSIBLE_CONFIG="$root/tests/lint.cfg" ansible-lint --offline --profile production -q
