"""One release by three tools, in turns, on one host under one load: what is lost, and seconds: `make bench-deploy`.

* slipway: the play with role stack; nginx follows the containers, and old requests end within the drain limit.
* docker compose: `docker compose pull` and `up -d`, as most people deploy.
* rollout: twice the replicas, wait until the new ones are healthy, stop the old ones (rollout.sh, in the manner of
  docker-rollout). nginx is given the ports of all replicas beforehand.

Each with an application that ends gracefully on SIGTERM, and with one that ends at once. What counts as lost is said in
tests/proofs/arena/slipway_arena/load.py; a websocket that a release ends is told apart and not counted as lost, so that
the three can be compared. A websocket that is refused is counted each time that its
client tries again.
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
sys.path[:0] = [str(HERE.parents[1] / "lab"), str(HERE.parents[1] / "proofs/arena")]

from slipway_arena import engines, versions
from slipway_arena.arena import SITE, Arena, load_average
from slipway_arena.judge import SOCKET, Answer, judge, percentile
from slipway_lab.shell import LabError

DRAIN_SECONDS = 5
STOPS = ("graceful", "at_once")
OWN_PORT, PLAIN_PORT = 443, 8443


@dataclass
class Tally:
    seconds: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


class Tools:
    """The three, each as a function from a version to a release."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.host = arena.machines[0]

    def install(self) -> None:
        self.host.shell("apt-get update -qq; apt-get install -y -qq --no-install-recommends docker-compose >/dev/null")
        for name, place in (
            ("compose.yaml", "/root/plain/compose.yaml"),
            ("rollout.sh", "/root/plain/rollout.sh"),
            ("site.conf", f"/etc/nginx/slipway/sites/{SITE}.plain.conf"),
        ):
            text = (HERE / name).read_text(encoding="utf-8")
            self.host.shell(f"mkdir -p {Path(place).parent}\ncat > {place} <<'FILE'\n{text}FILE\n")
        # Beside the site of ours, in the same nginx.
        include = f"include /etc/nginx/slipway/sites/{SITE}.conf;"
        self.host.shell(
            f"sed -i 's,{include},&\\n    {include.replace('.conf;', '.plain.conf;')},' /etc/nginx/nginx.conf"
        )
        self.host.shell("nginx -t -q && nginx -s reload")

    def plain(self, version: str, stop: str, script: str) -> None:
        self.host.shell(f"export VERSION={version} STOP={stop}; cd /root/plain; {script}", timeout=300)

    def compose(self, version: str, stop: str) -> None:
        self.plain(version, stop, "docker compose pull -q && docker compose up -d --quiet-pull 2>&1")

    def rollout(self, version: str, stop: str) -> None:
        self.plain(version, stop, "bash rollout.sh 2>&1")

    def rollout_drain(self, version: str, stop: str) -> None:
        self.plain(version, stop, f"DRAIN={DRAIN_SECONDS} bash rollout.sh 2>&1")

    def slipway(self, version: str, stop: str) -> None:
        said = self.arena.release(version, environment={"STOP": stop}, stack_drain_seconds=DRAIN_SECONDS)
        if said.code != 0:
            raise LabError(f"the release failed: {said.output[-1500:]}")


def bench(arena: Arena, count: int) -> list[str]:
    tools = Tools(arena)
    tools.install()
    lines = [
        "| tool | application ends | releases | requests | lost | websockets refused, cut | what was seen |"
        " s a release | p99 fresh |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    ways: dict[str, tuple[Callable[[str, str], None], int]] = {
        "slipway": (tools.slipway, OWN_PORT),
        "docker compose up -d": (tools.compose, PLAIN_PORT),
        "rollout": (tools.rollout, PLAIN_PORT),
        f"rollout, {DRAIN_SECONDS} s later": (tools.rollout_drain, PLAIN_PORT),
    }
    number = 0
    for stop in STOPS:
        tallies = {name: Tally() for name in ways}
        number += 1
        versions.publish(str(number))
        tools.slipway(str(number), stop)
        tools.compose(str(number), stop)
        time.sleep(3)
        for _turn in range(count):
            number += 1
            versions.publish(str(number))
            for name, (act, port) in ways.items():
                if name != "slipway":
                    number += 1
                    versions.publish(str(number))
                entrances = [(arena.machines[0].address, port)]
                with arena.load(entrances=entrances) as load:
                    time.sleep(3)
                    begun = time.monotonic()
                    act(str(number), stop)
                    tallies[name].seconds.append(time.monotonic() - begun)
                    time.sleep(3)
                tallies[name].answers += load.answers
        for name, tally in tallies.items():
            lines.append(row(name, stop, tally))
            print(lines[-1], flush=True)
    return lines


def row(name: str, stop: str, tally: Tally) -> str:
    verdict = judge(tally.answers)
    refused = sum(each.kind == SOCKET for each in verdict.failures)
    asked = sum(count for kind, count in verdict.asked.items() if kind != SOCKET)
    why = [line for line in verdict.why() if "websocket ended" not in line]
    cut = sum(count for how, count in verdict.sockets.items() if how != "ours")
    p99 = 1000 * percentile([each.seconds for each in tally.answers if each.kind == "fresh"], 0.99)
    return (
        f"| {name} | {stop} | {len(tally.seconds)} | {asked} | {len(verdict.failures) - refused} | {refused}, {cut} "
        f"| {'; '.join(why) or '-'} "
        f"| {percentile(tally.seconds, 0.5):.1f} (slowest {max(tally.seconds):.1f}) | {p99:.0f} ms |"
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__)
    parser.add_argument("--count", type=int, default=5, help="releases of each tool and application")
    options = parser.parse_args(argv)
    begun = load_average()
    with engines.make("compose", "proof-bench", "web.yaml") as arena:
        version = subprocess.run(
            ["docker", "exec", arena.machines[0].container, "docker", "version", "-f", "{{.Server.Version}}"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        lines = bench(arena, options.count)
    print(f"\nDocker {version}, load average {begun} -> {load_average()}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
