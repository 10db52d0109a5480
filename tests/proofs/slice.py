"""A small slice of the proofs of releases, side by side, for `make test`: under load, killed, broken on one host."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROOFS = ("releases", "kills", "failures")


def run(name: str) -> tuple[str, int, str, float]:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(HERE / name / "prove.py"), "--quick"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return name, done.returncode, done.stdout, time.monotonic() - begun


def main() -> int:
    failed = []
    with concurrent.futures.ThreadPoolExecutor(len(PROOFS)) as pool:
        for name, code, output, seconds in pool.map(run, PROOFS):
            print(f"--- {name} ({seconds:.0f} s)\n{output}", flush=True)
            failed += [name] if code else []
    print(f"slice of the proofs: {'failed: ' + ', '.join(failed) if failed else 'all held'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
