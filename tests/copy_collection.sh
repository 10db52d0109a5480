#!/usr/bin/env bash
# Copies the collection to .cache/NAME/ansible_collections/slipway/ops and prints that path: tests/copy_collection.sh NAME
set -euo pipefail
cd "$(dirname "$0")/.."
target=.cache/$1/ansible_collections/slipway/ops
rm -rf "$target"
mkdir -p "$target"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do if [ -e "$f" ] || [ -L "$f" ]; then printf '%s\0' "$f"; fi; done \
  | tar --null --files-from=- -c | tar -x -C "$target"
git -C "$target" init -q && git -C "$target" add -A  # ansible-test asks git for the files
echo "$PWD/$target"
