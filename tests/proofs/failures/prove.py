"""A release that fails on one host of three leaves the old version on all, and says why: `make prove-failures`.

Compose hosts that release together, under load. The third service of four is broken on the second host, in each way;
then a version that answers errors once it is watched, two deploys at once on all hosts and on overlapping subsets, and
holders of the lease that died or fell silent. After each trial every host must be exactly one version.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "lab"), str(HERE.parent / "arena")]

from slipway_arena import engines, versions
from slipway_arena.arena import Arena, Machine, Said, load_average
from slipway_arena.audit import version_of
from slipway_arena.judge import judge

DRAIN_SECONDS = 3
TTL_SECONDS = 120
REFUSED = "another release waits on this host"
COMMON: dict[str, Any] = {
    "stack_drain_seconds": DRAIN_SECONDS,
    "stack_barrier_wait_seconds": 60,
    "stack_disk_floor_mib": 64,
}
LIGHT = {"fresh_a_second": 9, "kept_a_second": 9, "post_a_second": 3, "slow": 3, "sockets": 3}
SMALL_DISK = """
systemctl stop docker.socket docker.service
mount -t tmpfs -o size=1200m tmpfs /var/lib/docker
systemctl start docker.service
"""
FILL = "fallocate -l $(($(df --output=avail -B1 /var/lib/docker | tail -1) - (20 << 20))) /var/lib/docker/fill"


@dataclass
class Trial:
    title: str
    asked: int = 0
    lost: int = 0
    said: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Broken:
    """What is wrong on the second host, and what the report must say."""

    title: str
    says: str
    environment: Mapping[str, str] = field(default_factory=dict)
    everywhere: Mapping[str, str] = field(default_factory=dict)
    on: int = 1  # the number of the host, from 0
    before: str = ""
    after: str = ""
    mib: int = 0
    quick: bool = False


BROKEN = (
    Broken("does not start", "exit code 3", {"FAULT": "exits"}),
    Broken("starts unhealthy", "is unhealthy", {"FAULT": "unhealthy"}, quick=True),
    Broken("healthy, then dies", "after it had been ready", {"FAULT": "dies:6"}, {"MONITOR": "15s"}),
    Broken("migration fails, on the host that migrates", "exit code 9", {"MIGRATE_EXIT": "9"}, on=0),
    Broken("image missing", "pull proof/web:none", {"THIRD_VERSION": "none"}),
    Broken("disk full", "no room for", before=FILL, after="rm -f /var/lib/docker/fill", mib=60),
)


class Proof:
    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.number = 1
        self.current = "1"
        self.trials: list[Trial] = []

    def new(self, mib: int = 0) -> str:
        self.number += 1
        versions.publish(str(self.number), mib)
        return str(self.number)

    def hold(self, title: str, act: Callable[[Trial], set[str]], lost_is_wrong: bool = True) -> None:
        """`act` returns the versions that may have answered; afterwards every host must run `self.current`."""
        trial = Trial(title)
        begun = time.monotonic()
        with self.arena.load(**LIGHT) as load:
            time.sleep(1)
            may = act(trial)
            time.sleep(1)
        verdict = judge(load.answers)
        trial.asked, trial.lost = len(load.answers), len(verdict.failures)
        if lost_is_wrong:
            trial.problems += [f"failed: {line}" for line in verdict.why() if "websocket ended" not in line]
        strange = {each.version for each in load.answers if each.version} - may
        trial.problems += [f"an answer of version {each}" for each in sorted(strange)]
        trial.problems += self.arena.audit(self.arena.wanted(self.current))
        trial.seconds = time.monotonic() - begun
        self.trials.append(trial)
        print(
            f"  {'FAILED' if trial.problems else 'ok    '} {title}: {trial.lost} of {trial.asked} lost, "
            f"{trial.said} ({trial.seconds:.0f} s, load {load_average()})",
            flush=True,
        )
        for problem in trial.problems:
            print(f"         {problem}", flush=True)

    def broken(self, way: Broken) -> None:
        new = self.new(way.mib)
        host = self.arena.machines[way.on]
        if way.before:
            host.shell(way.before)

        def act(trial: Trial) -> set[str]:
            own = {host.name: way.environment}
            said = self.arena.release(new, environment=way.everywhere, own=own, **COMMON)
            self.must_have_failed(trial, said, host, way.says)
            return {self.current, new}

        self.hold(f"{way.title} on {host.name}", act)
        if way.after:
            host.shell(way.after)

    def must_have_failed(self, trial: Trial, said: Said, host: Machine, words: str) -> None:
        if said.code == 0:
            trial.problems.append("the play went through")
        if words not in said.line or host.name not in said.line:
            trial.problems.append(f"`{words}` of {host.name} was not said: {said.line[-1500:]}")
        trial.said = f"exit {said.code}, said `{words}`"
        for name, seen in self.arena.everything().items():
            last = seen["history"][-1]
            if last["outcome"] != "failed":
                trial.problems.append(f"{name}: the history ends with {last['release']} {last['outcome']}")

    def errors_later(self, after: int, monitor: int) -> None:
        """Passes the gate on all hosts, and answers 500 later on."""
        new = self.new()

        def act(trial: Trial) -> set[str]:
            environment = {"WEB_FAULT": f"errors:{after}", "MONITOR": f"{monitor}s"}
            said = self.arena.release(new, environment=environment, **COMMON)
            self.must_have_failed(trial, said, self.arena.machines[0], "error of 500 or above")
            return {self.current, new}

        self.hold(f"answers 500 after {after} s, watched for {monitor} s", act, lost_is_wrong=False)

    def at_once(self, title: str, first: str, second: str) -> None:
        """Two operators; `first` and `second` say on which hosts."""
        one, other = self.new(), self.new()

        def act(trial: Trial) -> set[str]:
            plays = [
                self.arena.begin(version, *(["--limit", limit] if limit else []), stack_lease_wait_seconds=90, **COMMON)
                for version, limit in ((one, first), (other, second))
            ]
            ended = [play.wait() for play in plays]
            trial.said = f"exits {ended[0].code} and {ended[1].code}"
            for each in ended:
                if each.code != 0 and REFUSED not in each.line:
                    trial.problems.append(f"it does not say that another release is at work: {each.line[-900:]}")
            trial.problems += overlaps(self.arena)
            # Whoever was second, or nobody, may have won; the hosts are then brought to one version again.
            trial.problems += self.each_is_whole({self.current, one, other})
            last = self.new()
            said = self.arena.release(last, **COMMON)
            if said.code != 0:
                trial.problems.append(f"the run after them failed: {said.line[-900:]}")
            may = {self.current, one, other, last}
            self.current = last
            return may

        self.hold(title, act)

    def each_is_whole(self, may: set[str]) -> list[str]:
        """Each host runs one version of all its services, and nothing is under way."""
        problems = []
        for name, seen in self.arena.everything().items():
            running = {version_of(each) for each in seen["containers"]} - {"store"}
            if len(running) != 1 or not running <= may:
                problems.append(f"{name} runs versions {sorted(running)}")
            if seen["journal"] or seen["lease"].get("owner"):
                problems.append(f"{name} is left with journal {seen['journal']} and lease {seen['lease']}")
        return problems

    def silent_holder(self) -> None:
        """A holder whose process lives but beats no more: it is taken over after the TTL, and then changes nothing."""
        one, other = self.new(), self.new()
        host = self.arena.machines[0]

        def act(trial: Trial) -> set[str]:
            strike = self.arena.strike(host, "start")
            first = self.arena.begin(one, "--limit", host.name, **COMMON)
            came = strike.wait()
            begun = time.monotonic()
            second = self.arena.release(other, "--limit", host.name, stack_lease_wait_seconds=300, **COMMON)
            waited = time.monotonic() - begun
            strike.go_on()
            ended = first.wait()
            trial.said = (
                f"held at {came}; the next took over and ended after {waited:.0f} s; the first: exit {ended.code}"
            )
            if second.code != 0:
                trial.problems.append(f"the second failed: {second.line[-900:]}")
            if waited < TTL_SECONDS - 30:
                trial.problems.append(
                    f"the lease was taken over after {waited:.0f} s, before its TTL of {TTL_SECONDS} s"
                )
            if ended.code == 0 or "lost to" not in ended.line:
                trial.problems.append(f"the first was not told that it lost the lease: {ended.line[-900:]}")
            running = {version_of(each) for each in self.arena.look(host)["containers"]}
            if running != {"store", other}:
                trial.problems.append(f"{host.name} runs {sorted(running)} after that")
            said = self.arena.release(other, **COMMON)
            if said.code != 0:
                trial.problems.append(f"the run after them failed: {said.line[-900:]}")
            may = {self.current, one, other}
            self.current = other
            return may

        self.hold("a holder that falls silent", act)

    def dead_holder(self) -> None:
        """A holder whose process was killed: the next does not wait."""
        one = self.new()
        host = self.arena.machines[0]

        def act(trial: Trial) -> set[str]:
            strike = self.arena.strike(host, "start")
            first = self.arena.begin(one, "--limit", host.name, **COMMON)
            strike.wait()
            strike.kill()
            first.wait()
            begun = time.monotonic()
            said = self.arena.release(one, stack_lease_wait_seconds=5, **COMMON)
            trial.said = f"the next run, over all hosts, ended after {time.monotonic() - begun:.0f} s: exit {said.code}"
            if said.code != 0:
                trial.problems.append(f"the next run failed: {said.line[-900:]}")
            may = {self.current, one}
            self.current = one
            return may

        self.hold("a holder that is killed", act)


def overlaps(arena: Arena) -> list[str]:
    """Releases of one host that were under way at the same time, by its history (whole seconds)."""
    problems = []
    for name, seen in arena.everything().items():
        spans = [
            (datetime.fromisoformat(record["started"]), datetime.fromisoformat(record["finished"]), record["release"])
            for record in seen["history"]
            if record.get("started")
        ]
        for (_begun, ended, number), (begun, _ended, following) in zip(spans, spans[1:]):
            if begun < ended:
                problems.append(f"{name}: release {following} began before {number} had ended")
    return problems


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove.py", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="trials whose title holds this text")
    parser.add_argument("--quick", action="store_true", help="one way of being broken, on two hosts")
    options = parser.parse_args(argv)
    with engines.make("compose", "proof-failures", "four.yaml", 2 if options.quick else 3) as arena:
        arena.machines[1].shell(SMALL_DISK)
        proof = Proof(arena)
        versions.publish("1")
        said = arena.release("1", **COMMON)
        if said.code != 0:
            raise SystemExit(f"the first release failed: {said.output[-2500:]}")
        arena.remember()
        names = [machine.name for machine in arena.machines]
        held: list[tuple[str, Callable[[], None]]] = [
            (way.title, functools.partial(proof.broken, way)) for way in BROKEN if way.quick or not options.quick
        ]
        if not options.quick:
            held += [
                ("answers 500", lambda: proof.errors_later(30, 60)),
                ("two deploys at once", lambda: proof.at_once("two deploys at once", "", "")),
                (
                    "two subsets at once",
                    lambda: proof.at_once("two subsets at once", f"{names[0]},{names[1]}", f"{names[1]},{names[2]}"),
                ),
                ("a holder that is killed", proof.dead_holder),
                ("a holder that falls silent", proof.silent_holder),
            ]
        for title, act in held:
            if not options.only or any(words in title for words in options.only):
                act()
    failed = sum(bool(trial.problems) for trial in proof.trials)
    print("| trial | lost | said |\n|---|---|---|")
    for trial in proof.trials:
        print(f"| {trial.title} | {trial.lost} of {trial.asked} | {trial.said}{' FAILED' if trial.problems else ''} |")
    print(f"{len(proof.trials)} trials, {failed} failed")
    return 1 if failed or not proof.trials else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
