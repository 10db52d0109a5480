#!/usr/bin/env bash
# ansible-lint by the production profile, over a copy at the path that a collection has: the working tree links to itself.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
copy=$(tests/copy_collection.sh lint)
cd "$copy"
PATH="$root/.venv/bin:$PATH" ANSIBLE_COLLECTIONS_PATH="$root/.cache/lint" ANSIBLE_VAULT_IDENTITY_LIST="lab@inventories/lab/.vault-password" \
  ansible-lint --offline -q "$@"
