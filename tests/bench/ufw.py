"""How long a firewall policy takes inside a host: ours, whole, beside one module call for each rule.

`make bench-ufw`. Every Python that runs on the host is timed there, so that neither SSH nor the controller counts. The
two are tried in turn, and the median of the rounds is shown. One rule a call is tried with ten rules; for more, its
numbers are those of ten rules, multiplied, and marked so.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NAME = "bench-ufw"
SIZES = (1, 10, 50, 200, 1000)
TRIED_ONE_BY_ONE = 10
ROUNDS = 2
TIMES = "/run/bench-times"
PYTHON = "/usr/local/bin/timed-python"
TIMED_PYTHON = f"""#!/bin/bash
TIMEFORMAT='%R %U %S'
exec 3>&2
{{ time /usr/bin/python3 "$@" 2>&3; }} 2>>{TIMES}
"""
# As the package leaves it: no rules, not enabled, not loaded.
FRESH = (
    "ufw disable >/dev/null; cp /usr/share/ufw/iptables/user.rules /usr/share/ufw/iptables/user6.rules /etc/ufw/;"
    " chmod 640 /etc/ufw/*.rules; cp /usr/share/ufw/ufw.conf /etc/ufw/ufw.conf"
)
OURS = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - slipway.ops.ufw_policy:
        rules: "{{ rules }}"
        armed: "{{ armed | default(omit) }}"
"""
START = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.ping:
"""
THEIRS = """
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - community.general.ufw:
        rule: allow
        port: "{{ item.port[0] }}"
        proto: tcp
        comment: "{{ item.comment }}"
      loop: "{{ rules }}"
      loop_control: {label: "{{ item.comment }}"}
    - community.general.ufw: {state: enabled, policy: deny}
      when: enable | default(true)
"""


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds on the host, and how many modules ran."""

    seconds: float
    cpu: float
    calls: int

    def of_rules(self, count: int) -> Cost:
        """The same for more rules: a call for each, and one for the policy."""
        factor = (count + 1) / self.calls
        return Cost(self.seconds * factor, self.cpu * factor, count + 1)


def rules(count: int) -> list[dict[str, Any]]:
    """The first lets us in, the others are what a busy host has."""
    ports = [22, *(10000 + number for number in range(count - 1))]
    return [{"port": [str(port)], "protocol": "tcp", "comment": f"Rule {port}"} for port in ports]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = subprocess.run(
            [sys.executable, str(ROOT / "tests/lab/lab.py"), "host", "create", NAME, "--fresh"],
            check=True,
            capture_output=True,
            text=True,
        )
        host = json.loads(found.stdout.splitlines()[-1])
        self.login = f"{host['user']}@{host['address']}"
        self.ssh = ["-i", host["key_file"], "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        (folder / "ours.yml").write_text(OURS)
        (folder / "theirs.yml").write_text(THEIRS)
        (folder / "start.yml").write_text(START)
        self.on_host("apt-get update -qq && apt-get install -y -qq --no-install-recommends ufw >/dev/null")
        self.on_host(f"cat > {PYTHON} && chmod 755 {PYTHON}", TIMED_PYTHON)

    def on_host(self, command: str, text: str = "") -> str:
        done = subprocess.run(
            ["ssh", "-q", *self.ssh, self.login, f"sudo bash -c {json.dumps(command)}"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr or done.stdout}")
        return done.stdout

    def play(self, name: str, **variables: Any) -> tuple[Cost, bool]:
        """What one play costs on the host, and whether it changed something."""
        self.on_host(f"rm -f {TIMES}")
        connection = {
            "ansible_ssh_private_key_file": self.ssh[1],
            "ansible_ssh_common_args": " ".join(self.ssh[2:]),
            "ansible_python_interpreter": PYTHON,
        }
        (self.folder / "variables.json").write_text(json.dumps({**connection, **variables}))
        user, _at, address = self.login.partition("@")
        command = ["ansible-playbook", "-i", f"{address},", "-u", user, "-e", f"@{self.folder}/variables.json"]
        done = subprocess.run(
            [str(Path(sys.executable).parent / command[0]), *command[1:], str(self.folder / f"{name}.yml")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        lines = [[float(word) for word in line.split()] for line in self.on_host(f"cat {TIMES}").splitlines()]
        cost = Cost(sum(line[0] for line in lines), sum(line[1] + line[2] for line in lines), len(lines))
        return cost, "changed=0" not in done.stdout

    def round(self, who: str, count: int) -> dict[str, Cost]:
        """A first apply, the same again, and one rule more."""
        self.on_host(FRESH)
        found: dict[str, Cost] = {}
        steps = (("first", rules(count), True), ("again", rules(count), False), ("one more", rules(count + 1), True))
        for step, wanted, expected in steps:
            if who == "theirs" and step == "one more":
                found[step], changed = self.play(who, rules=wanted[-1:], enable=False)
            else:
                found[step], changed = self.play(who, rules=wanted)
            if changed != expected:
                raise RuntimeError(f"{who}, {count} rules, {step}: changed is {changed}")
        return found

    def loaded(self) -> int:
        return int(self.on_host("iptables-save -t filter | grep -c -- '-A ufw-user-input'"))


def median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        costs[0].calls,
    )


def main() -> int:
    costs: dict[tuple[str, int, str], list[Cost]] = {}
    loads: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            for _round in range(ROUNDS):
                costs.setdefault(("start", 0, "again"), []).append(bench.play("start")[0])
                for count in SIZES:
                    for who in ("ours", "theirs") if count <= TRIED_ONE_BY_ONE else ("ours",):
                        loads.append(os.getloadavg()[0])
                        for step, cost in bench.round(who, count).items():
                            costs.setdefault((who, count, step), []).append(cost)
                    if bench.loaded() < count:
                        raise RuntimeError(f"{count} rules were asked for, {bench.loaded()} are loaded")
        finally:
            subprocess.run([sys.executable, str(ROOT / "tests/lab/lab.py"), "host", "remove", NAME], check=False)
    print(report(costs, loads))
    return 0


def report(costs: dict[tuple[str, int, str], list[Cost]], loads: list[float]) -> str:
    lines = [
        f"Seconds inside the host (CPU seconds in brackets), median of {ROUNDS} rounds tried in turn,"
        f" load {min(loads):.1f} to {max(loads):.1f}",
        "",
        "| rules | step | slipway.ops.ufw_policy | calls | community.general.ufw | calls |",
        "|---|---|---|---|---|---|",
    ]
    for count in SIZES:
        for step in ("first", "again", "one more"):
            ours = median(costs["ours", count, step])
            if ("theirs", count, step) in costs:
                theirs, mark = median(costs["theirs", count, step]), ""
            else:
                theirs, mark = median(costs["theirs", TRIED_ONE_BY_ONE, step]), "about "
                theirs = theirs if step == "one more" else theirs.of_rules(count)
            lines.append(
                f"| {count} | {step} | {ours.seconds:.2f} ({ours.cpu:.2f}) | {ours.calls} |"
                f" {mark}{theirs.seconds:.1f} ({theirs.cpu:.1f}) | {mark}{theirs.calls} |"
            )
    start = median(costs["start", 0, "again"])
    lines += ["", f"The start of a module that does nothing (ping): {start.seconds:.2f} ({start.cpu:.2f})"]
    lines += [f"about: extrapolated from the measurement with {TRIED_ONE_BY_ONE} rules"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
