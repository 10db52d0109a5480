"""A small slice of the proofs of releases, of recovery and of the corpus, for `make test`: some side by side."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROOFS = (
    ("releases/prove.py", "kills/prove.py", "failures/prove.py"),
    ("recovery/prove_faults.py", "recovery/prove_restore_kills.py", "recovery/prove_points.py", "corpus/prove.py"),
)


def run(name: str) -> tuple[str, int, str, float]:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(HERE / name), "--quick"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return name, done.returncode, done.stdout, time.monotonic() - begun


def main() -> int:
    failed = []
    for together in PROOFS:
        with concurrent.futures.ThreadPoolExecutor(len(together)) as pool:
            for name, code, output, seconds in pool.map(run, together):
                print(f"--- {name} ({seconds:.0f} s)\n{output}", flush=True)
                failed += [name] if code else []
    print(f"slice of the proofs: {'failed: ' + ', '.join(failed) if failed else 'all held'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
