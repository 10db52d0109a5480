"""A Swarm loses a node under load: what fails, for how long, and when it is whole again: `make prove-nodes`.

Three managers, of which each could be the leader and each has nginx; two replicas of the service run on two of them.
Requests come in at the nodes that are not lost: which way in clients take is for the name service or the address in
front of the nodes to say, and is not measured here. The node is lost by a power cut (SIGKILL of everything on it):
first one with a replica that is not the leader, then the leader.

* failed: as in tests/proofs/arena/slipway_arena/load.py. Requests that the lost node was answering cannot but fail.
* nothing fails any more: seconds from the cut to the end of the last request that failed.
* whole again: seconds from the cut until all replicas run on the nodes that are left and the proxies ask them alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "lab"), str(HERE.parent / "arena")]

from slipway_arena import audit, engines, versions
from slipway_arena.arena import Arena, Machine, load_average
from slipway_arena.judge import judge
from slipway_lab.shell import LabError, wait_until

WHOLE_SECONDS = 180
LEADER, FOLLOWER = "the leader", "a node with a replica"


def leader(arena: Arena) -> str:
    for machine in arena.machines:
        listed = machine.shell("docker node ls --format '{{.Hostname}} {{.ManagerStatus}}' || true")
        for line in listed.splitlines():
            if line.endswith(" Leader"):
                return line.split(" ")[0]
    raise LabError("the Swarm has no leader")


def choose(arena: Arena, what: str) -> Machine:
    first = leader(arena)
    if what == LEADER:
        return next(machine for machine in arena.machines if machine.name == first)
    asked = servers(arena.machines[0])
    return next(
        machine
        for machine in arena.machines
        if machine.name != first and any(server.startswith(f"{machine.address}:") for server in asked)
    )


def servers(machine: Machine) -> set[str]:
    """Whom its nginx asks."""
    return audit.servers_in({"": machine.shell("cat /etc/nginx/slipway/upstreams/*.conf")})


def lose(arena: Arena, what: str) -> bool:
    victim = choose(arena, what)
    left = [machine for machine in arena.machines if machine is not victim]

    def whole() -> bool:
        asked = [servers(machine) for machine in left]
        return all(
            len(one) == arena.replicas["web"] and not any(each.startswith(f"{victim.address}:") for each in one)
            for one in asked
        )

    with arena.load(entrances=arena.entrances_beside(victim)) as load:
        time.sleep(4)
        cut = time.monotonic()
        victim.power_off()
        wait_until("a Swarm that is whole on the nodes left", whole, WHOLE_SECONDS, 0.5)
        whole_after = time.monotonic() - cut
        time.sleep(10)
    verdict = judge(load.answers)
    failed_after = max((each.ended - cut for each in verdict.failures), default=0.0)
    slowest = max((each.seconds for each in load.answers if each.kind in ("fresh", "kept", "post")), default=0.0)
    begun_late = [each for each in verdict.failures if each.begun > cut + whole_after]
    print(
        f"| {what} | {sum(verdict.asked.values())} | {len(verdict.failures)} | {'; '.join(verdict.why()) or '-'} "
        f"| {failed_after:.1f} | {whole_after:.1f} | {slowest:.1f} | {load_average()} |",
        flush=True,
    )
    victim.power_on()
    wait_until("three managers that are reachable", lambda: reachable(arena) == len(arena.machines), 180, 1)
    return not begun_late


def reachable(arena: Arena) -> int:
    listed = arena.machines[0].shell("docker node ls --format '{{.Status}} {{.ManagerStatus}}' || true").splitlines()
    return sum(line in ("Ready Leader", "Ready Reachable") for line in listed)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove.py", description=__doc__)
    parser.add_argument("--count", type=int, default=3, help="how often each is lost")
    options = parser.parse_args(argv)
    good = True
    with engines.make("swarm", "proof-nodes", "web.yaml") as arena:
        versions.publish("1")
        said = arena.release("1")
        if said.code != 0:
            raise SystemExit(f"the first release failed: {said.output[-2500:]}")
        print("| lost | asked | failed | which | last failure, s | whole, s | slowest quick request, s | load |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for _turn in range(options.count):
            for what in (FOLLOWER, LEADER):
                good = lose(arena, what) and good
    print(
        f"nodes: {'nothing failed once the Swarm was whole' if good else 'requests failed on a Swarm that was whole'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
