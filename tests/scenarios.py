"""Runs Molecule's scenarios, two at a time, with a line for each: python tests/scenarios.py [--with-site] [NAME ...].

A scenario that fails is tried once more, on fresh hosts, when the others are done and the machine is quiet. Its line
says so, and the log of the failure is kept beside (NAME.first.log).
"""

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
LIMIT_SECONDS = 1800
SITE, WITH_SITE = "site", "--with-site"  # the whole system beside the scenarios, as one of the two
TAIL_LINES = 60
# These take longest: begun first, so that none of them runs on alone when all others have ended.
LONGEST = ("backup", "stack", "restore", "swarm_stack", "upgrade", "strategies", "drill", "receiver")


def run(name: str) -> tuple[str, int, float, Path]:
    """Run one scenario from create to destroy, or the site; its output goes to a file of its own."""
    log = LOGS / f"{name}.log"
    begun = time.monotonic()
    with log.open("w", encoding="utf-8") as output:

        def step(*command: str) -> int:
            return subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_SECONDS,
                check=False,
            ).returncode

        try:
            if name == SITE:
                code = step("pytest", "-q", "-s", "--durations=8", "tests/integration/site")
            else:
                # A run that was broken off has left its word that hosts are there.
                step("molecule", "reset", "-s", name)
                code = step("molecule", "test", "-s", name)
        except subprocess.TimeoutExpired:
            output.write(f"\nstopped after {LIMIT_SECONDS} s\n")
            code = 124
    return name, code, time.monotonic() - begun, log


def main(wanted: list[str]) -> int:
    scenarios = [name for name in wanted if name != WITH_SITE] or sorted(
        (path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")),
        key=lambda name: (LONGEST.index(name) if name in LONGEST else len(LONGEST), name),
    )
    if WITH_SITE in wanted:
        scenarios.insert(0, SITE)
    LOGS.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, scenario) for scenario in scenarios]):
            scenario, code, seconds, log = done.result()
            tell(scenario, code, seconds, log)
            if code:
                failed.append(scenario)
    lost = 0
    for again in failed:
        (LOGS / f"{again}.log").rename(LOGS / f"{again}.first.log")
        scenario, code, seconds, log = run(again)
        tell(f"{scenario} (second try)", code, seconds, log)
        lost += code != 0
    print(f"{len(scenarios) - lost} passed, {lost} failed", flush=True)
    return 1 if lost else 0


def tell(title: str, code: int, seconds: float, log: Path) -> None:
    """One line, and the end of the log of what failed."""
    print(f"  {'ok    ' if code == 0 else 'FAILED'} {title:<24} {seconds:6.0f} s", flush=True)
    if code:
        print("\n".join(log.read_text(encoding="utf-8").splitlines()[-TAIL_LINES:]), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
