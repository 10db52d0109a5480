"""Strike a release at each of its steps, in each way: the site answers, the next run mends it: `make prove-kills`.

The release is held where its own journal says it is (SIGSTOP to its process), struck, and let go on where it lives:
* controller: SIGKILL of ansible-playbook and all that it started on the controller.
* module: SIGKILL of the process that releases on the host.
* power: the host is cut off (SIGKILL of everything on it at once) and booted again.
* dockerd: `systemctl restart docker` while the release goes on.

All the while the site is asked. Nothing may fail; at a host whose power was cut, from one second after its first answer
since it booted (nginx's workers from before and after the reload that opens the upstreams both answer for a moment);
the other hosts of the play lose nothing meanwhile. On a Swarm, where a restart of dockerd ends the tasks of its node
(live-restore is not for Swarms), both cost what that node was answering, until the proxies have noticed: `dark` is then
the time to the last request that failed.

Then the operator runs again, the same version or the old one, by turns: that run must succeed, and each host must then
be exactly that version: containers, image digests, networks, volumes, files, upstreams, journal, lease, history.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "lab"), str(HERE.parent / "arena")]

from slipway_arena import engines, versions
from slipway_arena.arena import Arena, Load, Machine, Play, Strike, load_average
from slipway_arena.judge import judge
from slipway_lab import settings
from slipway_lab.shell import LabError

DRAIN_SECONDS = 4
BACK_SECONDS = 120
NOTICE_SECONDS = 30
OPENING_SECONDS = 1.0
FRESH_SECONDS = 2.0
LIGHT = {"fresh_a_second": 8, "kept_a_second": 10, "post_a_second": 3, "slow": 2, "sockets": 3}
QUICK = (("controller", "switch"), ("dockerd", "finish"))


@dataclass
class Trial:
    way: str
    step: str
    came: str = ""  # the step that the release stood at
    dark_seconds: float = 0.0
    lost: int = 0
    asked: int = 0
    ended: str = ""  # what the hosts ran before the next run
    seconds: float = 0.0
    note: str = ""
    problems: list[str] = field(default_factory=list)


def strike_controller(_arena: Arena, _victim: Machine, play: Play, strike: Strike) -> None:
    play.kill()
    strike.go_on()


def strike_module(_arena: Arena, _victim: Machine, _play: Play, strike: Strike) -> None:
    strike.kill()


def strike_dockerd(_arena: Arena, victim: Machine, _play: Play, strike: Strike) -> None:
    restart = subprocess.Popen(["docker", "exec", victim.container, "systemctl", "restart", "docker"])
    time.sleep(0.05)
    strike.go_on()
    restart.wait(120)


def strike_power(_arena: Arena, victim: Machine, _play: Play, _strike: Strike) -> None:
    victim.power_off()
    time.sleep(1)
    victim.power_on()


WAYS: dict[str, Callable[[Arena, Machine, Play, Strike], None]] = {
    "controller": strike_controller,
    "module": strike_module,
    "power": strike_power,
    "dockerd": strike_dockerd,
}


def answering_again(load: Load, victim: Machine, since: float) -> float:
    """When the victim answered well for the first time since then."""
    deadline = time.monotonic() + BACK_SECONDS
    while time.monotonic() < deadline:
        found = [
            each.ended
            for each in load.so_far()
            if each.entrance == victim.address and each.begun > since and not each.failure and each.version
        ]
        if found:
            return min(found)
        time.sleep(0.3)
    raise LabError(f"{victim.name} does not answer within {BACK_SECONDS} s")


def hold(arena: Arena, way: str, step: str, old: str, new: str, back: bool) -> Trial:
    """One trial, from the old version to the new one, or back to the old one by the next run."""
    trial = Trial(way, step)
    victim = arena.releaser
    begun = time.monotonic()
    dark_from, dark_until = float("inf"), 0.0
    loses_a_node = arena.engine == "swarm" and way in ("power", "dockerd")
    struck = 0.0
    with arena.load(entrances=arena.entrances_beside(victim), **LIGHT) as load:
        time.sleep(1.5)
        strike = arena.strike(victim, step)
        play = arena.begin(new, stack_drain_seconds=DRAIN_SECONDS, stack_barrier_wait_seconds=20)
        trial.came = strike.wait()
        if trial.came == "never":
            trial.problems.append(f"the release never came to {step}: {play.wait().line[-600:]}")
        else:
            struck = time.monotonic()
            WAYS[way](arena, victim, play, strike)
            if way == "power" and not loses_a_node:
                dark_from, dark_until = struck, answering_again(load, victim, time.monotonic()) + OPENING_SECONDS
                trial.dark_seconds = dark_until - dark_from
            if way != "controller":
                play.wait()
            arena.await_quiet()
        if any(each.failure and each.ended > time.monotonic() - FRESH_SECONDS for each in load.so_far()):
            trial.note = f"it failed still, what the hosts knew: {arena.testify().relative_to(settings.ROOT)}"
        trial.ended = ", ".join(sorted(arena.serving()))
        expected = old if back else new
        said = arena.release(expected, stack_drain_seconds=DRAIN_SECONDS)
        if said.code != 0:
            trial.problems.append(f"the next run failed: {said.line[-900:]}")
        time.sleep(1)
    if loses_a_node:
        failed = [
            each.ended for each in load.answers if each.failure and struck <= each.ended <= struck + NOTICE_SECONDS
        ]
        dark_from, dark_until = struck, max(failed, default=struck)
        trial.dark_seconds = dark_until - struck
    answers = [
        each
        for each in load.answers
        if each.ended < dark_from or each.begun > dark_until or not (loses_a_node or each.entrance == victim.address)
    ]
    verdict = judge(answers)
    trial.asked, trial.lost = len(answers), len(verdict.failures)
    trial.problems += [f"failed: {line}" for line in judge_lines(verdict.why())]
    strange = {each.version for each in answers if each.version} - {old, new}
    trial.problems += [f"an answer of version {each}" for each in sorted(strange)]
    trial.problems += arena.audit(arena.wanted(expected))
    trial.seconds = time.monotonic() - begun
    return trial


def judge_lines(lines: list[str]) -> list[str]:
    """Websockets may end here in any way; what is asked must be answered."""
    return [line for line in lines if "websocket ended" not in line]


def tell(trial: Trial, load: str) -> None:
    mark = "FAILED" if trial.problems else "ok    "
    dark = f", dark {trial.dark_seconds:.1f} s" if trial.dark_seconds else ""
    print(
        f"  {mark} {trial.way} at {trial.came or trial.step}: {trial.lost} of {trial.asked} lost{dark}, "
        f"left {trial.ended} ({trial.seconds:.0f} s, load {load})",
        flush=True,
    )
    for line in [*trial.problems, *filter(None, [trial.note])]:
        print(f"         {line}", flush=True)


def prove(arena: Arena, chosen: list[tuple[str, str]]) -> list[Trial]:
    current, number, trials = "1", 1, []
    versions.publish(current)
    said = arena.release(current, stack_drain_seconds=DRAIN_SECONDS)
    if said.code != 0:
        raise SystemExit(f"the first release failed: {said.output[-2500:]}")
    arena.remember()
    for index, (way, step) in enumerate(chosen):
        number += 1
        new, back = str(number), index % 2 == 1
        versions.publish(new)
        try:
            trial = hold(arena, way, step, current, new, back)
        except (LabError, subprocess.SubprocessError) as error:
            trial = Trial(way, step, problems=[f"it could not be held: {error}"])
        if not back:
            current = new
        tell(trial, load_average())
        trials.append(trial)
        if trial.problems:
            healed = arena.release(current, stack_drain_seconds=DRAIN_SECONDS)
            if healed.code != 0:
                raise SystemExit(f"after that nothing can be released any more: {healed.output[-2000:]}")
    return trials


def table(arena: Arena, trials: list[Trial]) -> str:
    lines = ["| struck | " + " | ".join(arena.steps) + " |", "|---|" + "---|" * len(arena.steps)]
    for way in WAYS:
        mine = {trial.step: trial for trial in trials if trial.way == way}
        cells = []
        for step in arena.steps:
            one = mine.get(step)
            cells.append("" if one is None else "FAILED" if one.problems else f"{one.lost} lost")
        if mine:
            lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove.py", description=__doc__)
    parser.add_argument("--engine", choices=engines.NAMES, action="append")
    parser.add_argument("--hosts", type=int, default=1, help="of Compose; more than one release together")
    parser.add_argument("--way", choices=list(WAYS), action="append")
    parser.add_argument("--step", action="append")
    parser.add_argument("--quick", action="store_true", help="two trials on one Compose host")
    options = parser.parse_args(argv)
    failed = held = 0
    for engine in options.engine or (["compose"] if options.quick else engines.NAMES):
        with engines.make(engine, "proof-kills", "four.yaml", options.hosts) as arena:
            chosen = list(QUICK) if options.quick else [(way, step) for way in WAYS for step in arena.steps]
            chosen = [
                (way, step)
                for way, step in chosen
                if (not options.way or way in options.way) and (not options.step or step in options.step)
            ]
            trials = prove(arena, chosen)
            print(f"\n{arena.engine}, {len(arena.machines)} hosts\n{table(arena, trials)}")
            failed += sum(bool(trial.problems) for trial in trials)
            held += len(trials)
    print(f"{held} kills, {failed} failed")
    return 1 if failed or not held else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
