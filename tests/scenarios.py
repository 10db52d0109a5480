"""Runs Molecule's scenarios, two at a time, with a line for each: python tests/scenarios.py [SCENARIO ...]."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / ".cache/scenarios"
AT_ONCE = 2
LIMIT_SECONDS = 1200
TAIL_LINES = 60


def run(scenario: str) -> tuple[str, int, float, Path]:
    """Run one scenario from create to destroy; its output goes to a file of its own."""
    log = LOGS / f"{scenario}.log"
    begun = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        try:
            code = subprocess.run(
                [str(ROOT / ".venv/bin/molecule"), "test", "-s", scenario],
                cwd=ROOT,
                env={**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            output.write(f"\nstopped after {LIMIT_SECONDS} s\n")
            code = 124
    return scenario, code, time.monotonic() - begun, log


def main(wanted: list[str]) -> int:
    scenarios = wanted or sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, scenario) for scenario in scenarios]):
            scenario, code, seconds, log = done.result()
            print(f"  {'ok    ' if code == 0 else 'FAILED'} {scenario:<14} {seconds:6.0f} s", flush=True)
            if code:
                failed += 1
                print("\n".join(log.read_text(encoding="utf-8").splitlines()[-TAIL_LINES:]), flush=True)
    print(f"{len(scenarios) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
