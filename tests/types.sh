#!/usr/bin/env bash
# Checks the types of all our Python, under the names that Ansible gives it.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/mypy --no-error-summary --cache-dir .cache/mypy -p ansible_collections.slipway.ops.plugins
.venv/bin/mypy --no-error-summary --cache-dir .cache/mypy tests/lab tests/scenarios.py
MYPYPATH=tests/proofs/lockout .venv/bin/mypy --no-error-summary --cache-dir .cache/mypy tests/proofs/lockout/prove.py tests/proofs/lockout/slipway_lockout
for program in tests/proofs/recovery/prove_*.py tests/bench/backup/bench.py; do
  MYPYPATH=tests/proofs/recovery .venv/bin/mypy --no-error-summary --cache-dir .cache/mypy tests/proofs/recovery/slipway_recovery "$program"
done
for program in tests/proofs/{releases,kills,failures,nodes}/prove.py tests/bench/deploy/bench.py; do
  MYPYPATH=tests/proofs/arena .venv/bin/mypy --no-error-summary --cache-dir .cache/mypy tests/proofs/arena/slipway_arena "$program"
done
MYPYPATH=tests/proofs/corpus .venv/bin/mypy --no-error-summary --cache-dir .cache/mypy tests/proofs/corpus/prove.py
