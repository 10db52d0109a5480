"""Looks at ports from two machines, through everything that touches a firewall: prove.py [RELEASE ...].

Makes a lab host for each release, a second network in a public range, and on both networks a machine that looks. For
each moment the whole matrix of cells.py is tried over the wire; while the moment comes about, what may never answer is
tried without a pause. All of it is removed at the end (--keep leaves it).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests/lab"), str(HERE)]

from cells import (
    CHANGE,
    DISABLE,
    ENABLE,
    FIRST,
    KILL,
    MOMENTS,
    NFTABLES,
    REBOOT,
    RECREATE,
    RELOAD,
    RESTART,
    SOURCES,
    Cell,
    cells,
    judge,
    window,
)
from slipway_lab import engine, hosts, images, settings
from slipway_lab.shell import LabError, run

PUBLIC = f"{settings.PREFIX}-public"
PUBLIC_SUBNET, PUBLIC_SUBNET_V6 = "198.51.100.0/24", "2001:db8:198::/64"
NUMBERS = {"trixie": 40, "bookworm": 44}
FILES = ("probe.py", "echo.py", "containers.sh")
SECONDS = 1.2
LATE_SECONDS = 6
WATCH_SECONDS = 0.4
SETTLE_SECONDS = 180
STOP = "/tmp/proof-stop"
CONTAINERS = ("declared", "same", "named", "default", "hostnet")
SHOWN = 8
DISTURBANCES = {
    RECREATE: "sh /opt/proof/containers.sh",
    RESTART: "systemctl restart docker",
    KILL: "systemctl kill -s KILL docker.service; sleep 3; systemctl reset-failed docker; systemctl start docker",
    RELOAD: "ufw reload",
    DISABLE: "ufw disable",
    ENABLE: "ufw --force enable",
    NFTABLES: "systemctl restart nftables",
}


def docker(*arguments: str, stdin: str = "") -> str:
    return run(["docker", *arguments], stdin=stdin.encode(), timeout=600).stdout.decode().strip()


@dataclass
class Subject:
    """One host under proof, and the machines that look at it."""

    release: str
    addresses: dict[tuple[str, str], str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    tried: int = 0
    meanwhile: list[str] = field(default_factory=list)
    windows: dict[str, float] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"exposure-{self.release}"

    @property
    def container(self) -> str:
        return hosts.container_name(self.host)

    def prober(self, source: str) -> str:
        return f"{self.container}-{source}"

    def shell(self, script: str) -> str:
        return docker("exec", self.container, "sh", "-c", script)

    def say(self, text: str) -> None:
        print(f"  {self.release:<9} {text}", flush=True)


def build(subject: Subject) -> None:
    """The host on both networks, the machines that look, the roles, the containers."""
    number = NUMBERS[subject.release]
    wanted = f"{settings.SUBNET.rpartition('.')[0]}.{number}"
    hosts.remove(subject.host)
    host = hosts.create(subject.host, subject.release, True, wanted)
    connect(subject.container, number)
    for source in SOURCES:
        name = subject.prober(source)
        run(["docker", "rm", "--force", name], check=False)
        network = settings.NETWORK if source == "lan" else PUBLIC
        docker(
            "run", "--detach", "--init", f"--name={name}", f"--label={settings.LABEL}=prober", "--cap-add=NET_ADMIN",
            f"--network={network}", images.ensure(images.host("trixie")), "sleep", "infinity",
        )  # fmt: skip
    for machine in (subject.container, *map(subject.prober, SOURCES)):
        docker("exec", machine, "mkdir", "-p", "/opt/proof")
        for name in FILES:
            docker("cp", str(HERE / name), f"{machine}:/opt/proof/{name}")
    for source in SOURCES:
        docker("exec", "--detach", subject.prober(source), "python3", "/opt/proof/echo.py", source, "5000")
    play(subject, host.address)
    subject.shell("sh /opt/proof/containers.sh")
    remember_addresses(subject)


def connect(container: str, number: int) -> None:
    base, base_v6 = PUBLIC_SUBNET.rpartition(".")[0], PUBLIC_SUBNET_V6.partition("/")[0]
    docker("network", "connect", f"--ip={base}.{number}", f"--ip6={base_v6}{number:x}", PUBLIC, container)


def play(subject: Subject, address: str, **variables: Any) -> str:
    """Run the roles from the controller, over SSH."""
    ssh = f"-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -i {settings.KEY}"
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", f"{address},", "-u", settings.USER]
    command += ["--ssh-common-args", ssh, str(HERE / "site.yml"), "-e", json.dumps(variables)]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"),
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_FORCE_COLOR": "0",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    if done.returncode:
        raise LabError(f"site.yml failed on {subject.host}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.stdout


def remember_addresses(subject: Subject) -> None:
    """Where each source finds the host, the containers and the machines that look; and give them routes."""
    networks = {"lan": settings.NETWORK, "public": PUBLIC}
    for source, network in networks.items():
        for what, name in ((f"host-{source}", subject.container), (source, subject.prober(source))):
            found = json.loads(docker("inspect", name))[0]["NetworkSettings"]["Networks"][network]
            subject.addresses[what, "v4"] = found["IPAddress"]
            subject.addresses[what, "v6"] = found["GlobalIPv6Address"]
    inside = json.loads(subject.shell(f"docker inspect {' '.join(CONTAINERS)}"))
    for name, found in zip(CONTAINERS, inside):
        for network in found["NetworkSettings"]["Networks"].values():
            subject.addresses[name, "v4"] = network["IPAddress"]
            subject.addresses[name, "v6"] = network["GlobalIPv6Address"]
    for source in SOURCES:
        for name in CONTAINERS[:-1]:
            for family in ("v4", "v6"):
                gateway, address = subject.addresses[f"host-{source}", family], subject.addresses[name, family]
                flag = "-6" if family == "v6" else "-4"
                docker("exec", subject.prober(source), "ip", flag, "route", "replace", address, "via", gateway)


def attempt(subject: Subject, cell: Cell) -> list[Any]:
    """What probe.py is asked for one cell."""
    if cell.source == "container" or cell.routed:
        address = subject.addresses[cell.server, cell.family]
    else:
        address = subject.addresses[f"host-{cell.source}", cell.family]
    return [cell.text, cell.family, cell.protocol, address, cell.port]


def place(subject: Subject, source: str) -> list[str]:
    """The command prefix of the machine or container that a cell is tried from."""
    if source == "container":
        return [subject.container, "docker", "exec", "-i", "declared", "/usr/bin/python3"]
    return [subject.container if source == "host" else subject.prober(source), "python3"]


def asked(attempts: list[list[Any]], seconds: float, watch: str | None = None) -> str:
    return json.dumps({"attempts": attempts, "seconds": seconds, "watch": watch})


def tried(subject: Subject, source: str, attempts: list[list[Any]], seconds: float) -> dict[str, Any]:
    command = [*place(subject, source), "/opt/proof/probe.py"]
    if not attempts:
        return {}
    answer: dict[str, Any] = json.loads(docker("exec", "-i", *command, stdin=asked(attempts, seconds)))["found"]
    return answer


def answered(subject: Subject, wanted: list[Cell], seconds: float) -> dict[str, str]:
    """Who answered each cell, from all sources at once."""
    answers: dict[str, str] = {}
    with ThreadPoolExecutor() as pool:
        for found in pool.map(
            lambda source: tried(subject, source, [attempt(subject, c) for c in wanted if c.source == source], seconds),
            (*SOURCES, "container"),
        ):
            answers.update(found)
    return answers


def wait_until_served(subject: Subject) -> None:
    """Every server answers from the host itself, or its silence towards others would prove nothing."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            remember_addresses(subject)
            silent = [key for key, name in tried(subject, "host", own_attempts(subject), SECONDS).items() if not name]
            if not silent:
                return
        except LabError as error:
            silent = [str(error)]
        if time.monotonic() > deadline:
            raise LabError(f"{subject.host}: not served after {SETTLE_SECONDS} s: {', '.join(silent)}")
        time.sleep(0.5)


def own_attempts(subject: Subject) -> list[list[Any]]:
    """Each server at its own address, from the host."""
    listening = {
        "declared": (8080, 7000),
        "same": (8080,),
        "named": (8080,),
        "default": (8080,),
        "hostnet": (8100, 8200),
    }
    loopback = {"v4": "127.0.0.1", "v6": "::1"}
    return [
        [f"{name} {family} {protocol} {port}", family, protocol, address, port]
        for name, ports in listening.items()
        for family in ("v4", "v6")
        for protocol in ("tcp", "udp")
        for port in ports
        for address in [loopback[family] if name == "hostnet" else subject.addresses[name, family]]
    ]


def measure(subject: Subject, moment: str) -> None:
    """Try the whole matrix at one moment and print a line."""
    begun = time.monotonic()
    wait_until_served(subject)
    wanted = cells(moment)
    answers = answered(subject, wanted, SECONDS)
    # A machine under load may be late; one that is closed stays so.
    answers.update(answered(subject, [cell for cell in wanted if cell.may and not answers[cell.text]], LATE_SECONDS))
    wrong = [problem for cell in wanted if (problem := judge(cell, answers[cell.text]))]
    subject.tried += len(wanted)
    subject.problems += wrong
    leaks = sum(problem.startswith("LEAK") for problem in wrong)
    seconds = time.monotonic() - begun
    subject.say(f"{moment:<24} {len(wanted):>5} {leaks:>6} {len(wrong) - leaks:>13} {seconds:>8.1f}")
    for problem in wrong[:SHOWN]:
        subject.say(f"  {problem}")
    if len(wrong) > SHOWN:
        subject.say(f"  and {len(wrong) - SHOWN} more")


@contextmanager
def watched(subject: Subject, moment: str) -> Iterator[None]:
    """Meanwhile try without a pause, from both sides, what may never answer, and note what did."""
    closed = [cell for cell in cells(moment) if not cell.may]
    watchers: list[tuple[str, subprocess.Popen[str]]] = []
    for source in SOURCES:
        docker("exec", subject.prober(source), "rm", "-f", STOP)
        command = ["docker", "exec", "-i", *place(subject, source), "/opt/proof/probe.py"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(asked([attempt(subject, c) for c in closed if c.source == source], WATCH_SECONDS, STOP))
        process.stdin.close()
        process.stdin = None
        watchers.append((source, process))
    try:
        yield
    finally:
        for source, process in watchers:
            docker("exec", subject.prober(source), "touch", STOP)
            seen = json.loads(process.communicate(timeout=60)[0])
            note(subject, moment, {cell.text: cell for cell in closed}, seen["found"])


def note(subject: Subject, moment: str, closed: dict[str, Cell], seen: dict[str, Any]) -> None:
    """Keep what was open meanwhile; what ufw and nftables do by themselves apart, as the longest time."""
    for key, one in seen.items():
        seconds = one["last"] - one["first"]
        culprit = window(moment, closed[key].server)
        if culprit:
            title = f"{culprit} itself, {moment}"
            subject.windows[title] = max(seconds, subject.windows.get(title, 0))
        else:
            subject.meanwhile.append(f"LEAK {key} is answered by {one['server']} for {seconds:.1f} s meanwhile")


def started(subject: Subject) -> str:
    return subject.shell(f"docker inspect -f '{{{{.State.StartedAt}}}}' {' '.join(CONTAINERS)}")


def bring_about(subject: Subject, moment: str) -> None:
    """Make the disturbance happen."""
    address = subject.addresses["host-lan", "v4"]
    if moment == CHANGE:
        before = started(subject)
        play(subject, address, proof_docker_port=9999)
        play(subject, address)
        if started(subject) != before:
            subject.problems.append(f"RESTART {moment}: a container was started anew by a change of rules")
    elif moment == REBOOT:
        docker("restart", "--time=30", subject.container)
    else:
        before = started(subject)
        subject.shell(DISTURBANCES[moment])
        if moment in (RELOAD, DISABLE, ENABLE) and started(subject) != before:
            subject.problems.append(f"RESTART {moment}: a container was started anew by it")


def prove(subject: Subject) -> Subject:
    for moment in MOMENTS:
        if moment == CHANGE:  # declares another port for a moment, so there is something that may answer
            bring_about(subject, moment)
        elif moment != FIRST:
            with watched(subject, moment):
                bring_about(subject, moment)
                wait_until_served(subject)
        measure(subject, moment)
    return subject


def clean(subject: Subject) -> None:
    for source in SOURCES:
        run(["docker", "rm", "--force", subject.prober(source)], check=False)
    hosts.remove(subject.host)


def make_network() -> None:
    if not engine.exists("network", PUBLIC):
        docker(
            "network", "create", f"--label={settings.LABEL}", "--ipv6", f"--subnet={PUBLIC_SUBNET}",
            f"--subnet={PUBLIC_SUBNET_V6}", PUBLIC,
        )  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="*", default=list(NUMBERS), metavar="RELEASE")
    parser.add_argument("--keep", action="store_true", help="leave the machines and the network")
    options = parser.parse_args(arguments)
    engine.ensure()
    make_network()
    subjects = [Subject(release) for release in options.releases]
    begun = time.monotonic()
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(build, subjects))
        print(f"\n  {'':<9} {'moment':<24} {'cells':>5} {'leaks':>6} {'false blocks':>13} {'seconds':>8}")
        with ThreadPoolExecutor() as pool:
            list(pool.map(prove, subjects))
    finally:
        if not options.keep:
            for subject in subjects:
                clean(subject)
            run(["docker", "network", "rm", PUBLIC], check=False)
    return report(subjects, time.monotonic() - begun)


def report(subjects: list[Subject], seconds: float) -> int:
    problems = [problem for subject in subjects for problem in subject.problems]
    for subject in subjects:
        for title, length in subject.windows.items():
            subject.say(f"open for up to {length:.1f} s by {title}")
        for line in subject.meanwhile[:SHOWN]:
            subject.say(line)
    leaks = sum(problem.startswith("LEAK") for problem in problems)
    blocks = sum(problem.startswith("FALSE") for problem in problems)
    meanwhile = sum(len(subject.meanwhile) for subject in subjects)
    print(
        f"\n  {sum(subject.tried for subject in subjects)} cells, {leaks} leaks, {blocks} false blocks;"
        f" {meanwhile} leaks while something happened;"
        f" {len(problems) - leaks - blocks} containers started anew by a change of rules; {seconds:.0f} s\n"
        "  not measured: the ingress mesh of Swarm, which needs IPVS in the kernel"
    )
    return 1 if problems or meanwhile else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
