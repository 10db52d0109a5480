"""Many releases in a row under steady load: nothing fails, nothing gets slow, none takes long: `make prove-releases`.

Definitions, so that the figures can be read:
* failed: a request that could not connect, was reset, timed out, had another status than 200, was cut short, or whose
  body was not whole, of one version, and of a version that served at that time. A GET on a kept connection that the
  server closed before any byte of an answer is asked once more on a new one, as RFC 9112 says, and counted as repeated.
* a websocket is lost when a release ends it before the drain limit has passed since the switch (since the first request
  that the new version answered was sent), or when it ends without a release. Those that a release ends after the limit
  are counted by how: told (a closing frame came) or untold.
* release: from the moment at which the lease is taken to that at which it is given back, seen on the host. What Ansible
  needs around it is told too: the task, with the start of its module over SSH, and the whole play.
* boot: from the start of a new container to the first probe that found it healthy, the slowest of the release, as the
  engine tells it. Drain: the limit, because there is always a websocket that would live longer.
* without: the seconds before each release, in the same run, with the same load.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "lab"), str(HERE.parent / "arena")]

from slipway_arena import engines, versions
from slipway_arena.arena import Arena, load_average
from slipway_arena.judge import Answer, Verdict, Window, judge, percentile, times_table, within

DRAIN_SECONDS = 5
OVERHEAD_SECONDS = 1.5
CONTROL_SECONDS = 5.0
RATIO = 1.2
STOPS = ("graceful", "at_once")


def moment(text: str) -> float:
    """Seconds of a time as the engine writes it, with more digits than Python reads."""
    whole, _dot, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    zone = rest[len(digits) :].replace("Z", "+00:00")
    return datetime.fromisoformat(f"{whole}.{digits[:6]:0<6}{zone or '+00:00'}").timestamp()


def boot_seconds(containers: Sequence[dict[str, Any]]) -> float:
    """Of the slowest container, from its start to the end of the first probe that found it healthy."""
    found = []
    for each in containers:
        probes = [probe for probe in each["State"].get("Health", {}).get("Log", []) if probe["ExitCode"] == 0]
        if probes:
            found.append(moment(probes[0]["End"]) - moment(each["State"]["StartedAt"]))
    return max(found, default=0.0)


def prove(arena: Arena, stop: str, count: int, first: int) -> bool:
    """`count` releases of an application that ends gracefully, or at once; True when all is as it has to be."""
    numbers = [str(number) for number in range(first, first + count + 1)]
    for number in numbers:
        versions.publish(number)
    environment = {"STOP": stop}
    said = arena.release(numbers[0], environment=environment, stack_drain_seconds=DRAIN_SECONDS)
    if said.code != 0:
        raise SystemExit(f"the first release failed: {said.output[-2000:]}")
    windows: list[Window] = []
    controls: list[tuple[float, float]] = []
    takes: list[tuple[float, float, float]] = []  # boot, task, play
    failed: list[str] = []
    loads = [load_average()]
    with arena.leases() as held, arena.load() as load:
        time.sleep(2)
        for old, new in zip(numbers, numbers[1:]):
            begun = time.monotonic()
            time.sleep(CONTROL_SECONDS)
            controls.append((begun, time.monotonic()))
            said = arena.release(new, environment=environment, stack_drain_seconds=DRAIN_SECONDS)
            windows.append(Window(said.begun, said.ended, old, new))
            if said.code != 0:
                failed.append(f"release of version {new}: {said.line[-800:]}")
                break
            at, until = said.task("Release the stack")
            takes.append((boot_seconds(arena.containers("web")), until - at, said.seconds))
            time.sleep(1)
        loads.append(load_average())
    # Tidying up after a release takes the lease once more, for a moment.
    longest = [max((until - at for at, until in held if one.begun <= at <= one.ended), default=0.0) for one in windows]
    return tell(arena, stop, windows, controls, list(zip(longest, takes)), failed, load.answers, loads)


def tell(
    arena: Arena,
    stop: str,
    windows: list[Window],
    controls: list[tuple[float, float]],
    takes: list[tuple[float, tuple[float, float, float]]],
    failed: list[str],
    answers: list[Answer],
    loads: list[str],
) -> bool:
    verdict = judge(answers, windows, DRAIN_SECONDS)
    times = times_table(within(answers, [(each.begun, each.ended) for each in windows]), within(answers, controls))
    over = [release - boot - DRAIN_SECONDS for release, (boot, _task, _play) in takes]
    slow = [kind for kind, row in times.items() if row["ratio"] > RATIO]
    print(f"\n{arena.engine}, the application ends {stop}: {len(windows)} releases, load average {' -> '.join(loads)}")
    print(counted(verdict))
    for line in [*verdict.why(), *failed]:
        print(f"  FAILED {line}")
    print("| requests | during releases | p50 | p99 | without | p50 | p99 | p99 ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, row in times.items():
        print(
            f"| {kind} | {row['release_count']:.0f} | {row['release_p50']:.1f} ms | {row['release_p99']:.1f} ms "
            f"| {row['control_count']:.0f} | {row['control_p50']:.1f} ms | {row['control_p99']:.1f} ms "
            f"| {row['ratio']:.2f} |"
        )
    print("| seconds | median | slowest |\n|---|---|---|")
    for name, values in (
        ("the release", [each[0] for each in takes]),
        ("of which boot", [each[1][0] for each in takes]),
        (f"more than boot + drain ({DRAIN_SECONDS})", over),
        ("the task", [each[1][1] for each in takes]),
        ("the play", [each[1][2] for each in takes]),
    ):
        print(f"| {name} | {percentile(values, 0.5):.2f} | {max(values, default=0):.2f} |")
    late = sum(each > OVERHEAD_SECONDS for each in over)
    print(f"p99 within {RATIO} x: {'yes' if not slow else 'not for ' + ', '.join(slow)}")
    print(f"within boot + drain + {OVERHEAD_SECONDS} s: {len(over) - late} of {len(over)}", flush=True)
    return not verdict.lost and not failed and bool(takes)


def counted(verdict: Verdict) -> str:
    asked = ", ".join(f"{count} {kind}" for kind, count in verdict.asked.items())
    ends = ", ".join(f"{count} {how}" for how, count in sorted(verdict.sockets.items()))
    return f"asked {asked}; lost {verdict.lost}; repeated {verdict.repeated}; websockets ended: {ends or 'none'}"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove.py", description=__doc__)
    parser.add_argument("--engine", choices=engines.NAMES, action="append")
    parser.add_argument("--count", type=int, default=100, help="releases an engine, half of them of each application")
    parser.add_argument("--stop", choices=STOPS, action="append", help="how the application ends on SIGTERM")
    parser.add_argument("--quick", action="store_true", help="two releases of each application on Compose")
    options = parser.parse_args(argv)
    count = 4 if options.quick else options.count
    good = True
    for engine in options.engine or (["compose"] if options.quick else engines.NAMES):
        with engines.make(engine, "proof-releases", "web.yaml") as arena:
            for index, stop in enumerate(options.stop or STOPS):
                good = prove(arena, stop, count // 2, 1 + index * 1000) and good
    print(f"releases: {'proved' if good else 'NOT proved'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
