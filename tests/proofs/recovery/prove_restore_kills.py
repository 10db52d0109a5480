"""Strike a restore at each of its steps; the old data stays usable, one command mends it: `make prove-restore-kills`.

A stack with PostgreSQL, MariaDB and a volume, and a point of it. Before each trial every source is given a mark that
the point does not have, so that old and restored data can be told apart. A first restore runs to its end: what it says
on its way are the steps. Then a restore is struck as soon as it says the step's line, or half a second later:

* killed: SIGKILL of the process; what it started in containers goes on.
* told to stop: SIGTERM, as by an operator or a unit's time limit.
* power: the host is cut off (SIGKILL of everything on it at once) and booted again.

After that, by turns:

* `restore --abort`: every source is as it was, with its mark; all containers run; nothing is left lying about. Where
  the restore had not begun, or had ended already, it says so and changes nothing;
* the same command again: every source is as the point has it, all containers run, and the old data is kept beside, with
  its mark. Then the old data is discarded.

In no trial may sources be of two times: one restored and another not.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests/lab"), str(HERE), str(ROOT / ".cache/collections")]

from slipway_lab import hosts
from slipway_lab.shell import LabError, wait_until
from slipway_recovery.ground import Ground, Stack, load_average

STACK = "shop"
VOLUMES = "/var/lib/docker/volumes"
RESTORE = f"slipway restore --stack {STACK} --confirm {STACK}"
SOURCES = ("postgres", "mariadb", "uploads")
OLD, POINT = "old", "of the point"
KILLED, STOPPED, POWER = "killed", "told to stop", "power"
ABORT, AGAIN = "--abort", "the same again"
LATER_SECONDS = 0.5
# Words that are another one each time: numbers, and the names of points and of what is made for one restore.
VARYING = re.compile(r"^\d|\d{8}T\d{6}Z")


@dataclass
class Trial:
    way: str
    step: str
    later: bool
    then: str
    came: str = ""
    found: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.way} at: {self.step}{', half a second on' if self.later else ''}; then {self.then}"


class Arena:
    """The stack, its mark, and what is there."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        # No earlier proof on a host that was kept has made the same.
        self.mark = int(time.time())

    def prepare(self) -> None:
        done = self.ground.backup(STACK)
        if done.code != 0:
            raise SystemExit(f"the point cannot be made: {done.said}")

    def set_mark(self) -> None:
        """Something in every source that the newest point does not have."""
        self.mark += 1
        self.ground.shell(
            f"{STACK}-ready; echo \"INSERT INTO orders (note) VALUES ('mark {self.mark}')\" | {STACK}-pg;"
            f"echo \"INSERT INTO orders (note) VALUES ('mark {self.mark}')\" | {STACK}-sql;"
            f"echo {self.mark} > {VOLUMES}/{STACK}_uploads/_data/mark-{self.mark}"
        )

    def look(self) -> dict[str, str]:
        """Of which time each source is. Asks the live servers."""
        count = f"SELECT count(*) FROM orders WHERE note = 'mark {self.mark}'"
        said = self.ground.shell(
            f'{STACK}-ready; echo "{count}" | {STACK}-pg; echo "{count}" | {STACK}-sql;'
            f"ls {VOLUMES}/{STACK}_uploads/_data | grep -cx mark-{self.mark} || true"
        ).split()
        return {source: OLD if number == "1" else POINT for source, number in zip(SOURCES, said)}

    def tidy(self) -> list[str]:
        """What is not as it should be when no restore is under way."""
        problems = []
        said = self.ground.shell(
            "docker ps --all --quiet --filter label=slipway.isolated | wc -l;"
            f"docker ps --quiet --filter label=com.docker.compose.project={STACK} | wc -l;"
            f"ls -d {VOLUMES}/{STACK}_*/.slipway-* {VOLUMES}/.slipway-* 2>/dev/null | grep -cv previous || true"
        ).split()
        if said[0] != "0":
            problems.append(f"{said[0]} isolated containers are left")
        if said[1] != "3":
            problems.append(f"{said[1]} containers of the stack run, and not 3")
        if said[2] != "0":
            problems.append(f"{said[2]} directories of the restore are left")
        if self.ground.ask(f"backup status --stack {STACK}")["interrupted_restore"] is not None:
            problems.append("the status still has an interrupted restore")
        return problems

    def kept(self) -> bool:
        """Whether the old data is beside, with its mark: the volume's file, and data directories of both servers."""
        previous = self.ground.ask(f"backup status --stack {STACK}")["previous"]
        names = " ".join(previous)
        found = self.ground.run(
            f"ls $(for d in {names}; do echo $d/mark-{self.mark} $d/PG_VERSION $d/ibdata1; done) 2>/dev/null"
            " | sed 's,.*/,,' | sort -u | wc -l"
        )
        return bool(previous) and found.out.strip() == "3"

    def steps(self) -> list[str]:
        """What a restore says on its way: each line once, as a pattern; what the plan says before is no step."""
        self.set_mark()
        done = self.ground.run(RESTORE, 900)
        if done.code != 0:
            raise SystemExit(f"a restore that nobody strikes fails: {done.said}")
        found: list[str] = []
        for line in done.out.splitlines():
            if re.match(r"(?!everything)[a-z]+ing |base backup |physical backup |.* is prepared", line):
                words = itertools.takewhile(lambda word: not VARYING.search(word), line.split(":")[0].split())
                pattern = "^" + re.escape(" ".join(words))
                found += [] if pattern in found else [pattern]
        self.ground.shell(f"slipway restore --discard-previous --stack {STACK} --confirm {STACK}")
        return found

    # Striking

    def strike(self, trial: Trial) -> None:
        delay = LATER_SECONDS if trial.later else 0.0
        if trial.way == POWER:
            self._cut_power(trial, delay)
            return
        strike = "kill -9 $process" if trial.way == KILLED else "kill $process"
        done = self.ground.struck(RESTORE, trial.step, strike, delay)
        if done.code == 99:
            raise LabError(f"the restore never came to its step: {done.said[-400:]}")
        trial.came = done.said[-300:] if trial.way == STOPPED else ""
        if trial.way == STOPPED and done.code == 0 and not trial.later:
            trial.problems.append("told to stop, it went on to its end")

    def _cut_power(self, trial: Trial, delay: float) -> None:
        ground = self.ground
        with ground.start(RESTORE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if re.match(trial.step, line):
                    time.sleep(delay)
                    subprocess.run(["docker", "kill", ground.container], capture_output=True, check=True)
                    break
            else:
                raise LabError("the restore never came to its step")
            process.wait(30)
        time.sleep(1)
        subprocess.run(["docker", "start", ground.container], capture_output=True, check=True)
        wait_until("sshd", lambda: hosts.takes_login(ground.address), 120, 0.5)
        wait_until("the engine of the host", lambda: ground.run("docker info").code == 0, 120, 0.5)


def hold(arena: Arena, trial: Trial) -> None:
    begun, ground = time.monotonic(), arena.ground
    arena.set_mark()
    arena.strike(trial)
    if trial.then == ABORT:
        done = ground.run(f"{RESTORE} --abort", 900)
        wanted = {OLD}
        if done.code == 3 and "no restore was interrupted" in done.err:
            # It had not begun to change anything, or had ended.
            wanted = {OLD, POINT}
        elif done.code != 0:
            trial.problems.append(f"it cannot be taken back: {done.said[-500:]}")
    else:
        done = ground.run(RESTORE, 900)
        wanted = {POINT}
        if done.code != 0:
            trial.problems.append(f"the same command fails: {done.said[-500:]}")
    found = set(arena.look().values())
    trial.found = ", ".join(sorted(found))
    if len(found) != 1 or not found <= wanted:
        trial.problems.append(f"the data is {arena.look()}")
    trial.problems += arena.tidy()
    if found == {POINT}:
        if not arena.kept():
            trial.problems.append("the old data is not kept beside, with its mark")
        ground.shell(f"slipway restore --discard-previous --stack {STACK} --confirm {STACK}")
    trial.seconds = time.monotonic() - begun


def plan(steps: Sequence[str], quick: bool) -> list[Trial]:
    """Killed at each step twice, at once and later, with both ways on by turns; the other strikes at some of them."""
    if quick:
        middle = next((step for step in steps if "exchanging" in step), steps[len(steps) // 2])
        return [Trial(KILLED, middle, False, ABORT), Trial(KILLED, steps[0], True, AGAIN)]
    trials = []
    for number, step in enumerate(steps):
        for later in (False, True):
            then = ABORT if (number + later) % 2 == 0 else AGAIN
            trials.append(Trial(KILLED, step, later, then))
    touching = [step for step in steps if re.match(r"\^(stopping|exchanging|starting|recovering|unpacking)", step)]
    trials += [Trial(STOPPED, step, False, ABORT if index % 2 else AGAIN) for index, step in enumerate(touching)]
    trials += [
        Trial(POWER, step, index % 2 == 1, AGAIN if index % 2 else ABORT)
        for index, step in enumerate(step for step in touching if "unpacking" not in step)
    ]
    return trials


def prove(arena: Arena, quick: bool, ways: Sequence[str], begin: int, count: int) -> list[Trial]:
    arena.prepare()
    steps = arena.steps()
    print(f"  {len(steps)} steps: {'; '.join(step[1:] for step in steps)}".replace("\\", ""), flush=True)
    trials = [trial for trial in plan(steps, quick) if not ways or trial.way in ways][begin:]
    if 0 < count < len(trials):
        trials = [trials[place * len(trials) // count] for place in range(count)]
    for trial in trials:
        try:
            hold(arena, trial)
        except (LabError, subprocess.SubprocessError, ValueError, KeyError) as error:
            trial.problems.append(f"it could not be held: {error}")
        tell(trial)
        if trial.problems:
            # The next one needs firm ground.
            arena.ground.run(f"{RESTORE} --abort; {RESTORE}; slipway restore --discard-previous --confirm {STACK}", 900)
    return trials


def tell(trial: Trial) -> None:
    mark = "FAILED" if trial.problems else "ok    "
    title = trial.title.replace("\\", "").replace("^", "")
    print(f"  {mark} {title}: {trial.found} ({trial.seconds:.0f} s, load {load_average()})", flush=True)
    for problem in trial.problems:
        print(f"         {problem}", flush=True)


def table(trials: Sequence[Trial]) -> str:
    lines = ["| step | struck | then | the data is |", "|---|---|---|---|"]
    for trial in trials:
        step = trial.step[1:].replace("\\", "") + (", half a second on" if trial.later else "")
        lines.append(f"| {step} | {trial.way} | {trial.then} | {'FAILED' if trial.problems else trial.found} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove_restore_kills.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two trials")
    parser.add_argument("--way", action="append", default=[], choices=[KILLED, STOPPED, POWER])
    parser.add_argument("--begin", type=int, default=0, help="pass over so many, which an earlier run held")
    parser.add_argument("--count", type=int, default=0, help="only so many, spread over all steps and ways")
    options = parser.parse_args(argv)
    with Ground("proof-restores", [Stack(STACK, f"/srv/backup/{STACK}", ("postgresql", "mariadb"))]) as ground:
        trials = prove(Arena(ground), options.quick, options.way, options.begin, options.count)
    print(f"\n{table(trials)}")
    failed = sum(bool(trial.problems) for trial in trials)
    print(f"{len(trials)} restores struck, {failed} failed")
    return 1 if failed or not trials else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
