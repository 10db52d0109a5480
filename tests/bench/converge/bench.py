"""make bench-converge: four tools bring the same host state about, interleaved: calls, CPU and wall seconds of each.

A  our host roles (tests/integration/hosts/hosts.yml)     B  pyinfra (deploy.py)
C  a tuned plain playbook (plain.yml)                     D  one shell script over one ssh login (script.py)
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
ROOT = HERE.parents[2]

import script
import state as states

HOSTS = ROOT / "tests/integration/hosts"
WORK = ROOT / ".cache/bench/converge"
PYINFRA = ROOT / ".cache/bench/pyinfra"
PYINFRA_VERSION = "3.10.0"
KEY = ROOT / ".cache/lab/id_ed25519"
TOOLS = {"A": "Slipway's host roles", "B": "pyinfra", "C": "plain playbook", "D": "shell script"}
FIRST_RUNS = int(os.environ.get("BENCH_FIRST_RUNS", "3"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
# pyinfra's library for SSH knows no post-quantum key exchange: by the role's own list it would find no way in again.
KEY_EXCHANGES = ["mlkem768x25519-sha256", "sntrup761x25519-sha512@openssh.com", "curve25519-sha256@libssh.org"]
ALONE = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
MASTERS = WORK / "masters"


@dataclass
class Machine:
    tool: str
    address: str
    cgroup: str

    def ssh(self, command: str, stdin: str) -> str:
        argv = ["ssh", "-i", str(KEY), "-o", "BatchMode=yes", *ALONE, f"operator@{self.address}", command]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"bench-converge: {command} on {self.tool}: {done.stdout}{done.stderr}")
        return done.stdout

    def cpu(self) -> float:
        if Path(f"/sys/fs/cgroup/cpuacct{self.cgroup}/cpuacct.usage").exists():
            return int(Path(f"/sys/fs/cgroup/cpuacct{self.cgroup}/cpuacct.usage").read_text()) / 1e9
        lines = Path(f"/sys/fs/cgroup{self.cgroup}/cpu.stat").read_text().split()
        return int(lines[lines.index("usage_usec") + 1]) / 1e6


@dataclass
class Measured:
    wall: list[float] = field(default_factory=list)
    host: list[float] = field(default_factory=list)
    controller: list[float] = field(default_factory=list)
    calls: int = 0


def create(tool: str) -> Machine:
    lab = [sys.executable, str(ROOT / "tests/lab/lab.py"), "host", "create", f"bench-converge-{tool.lower()}"]
    made = subprocess.run([*lab, "--fresh"], check=True, capture_output=True, text=True)
    name = f"slipway-lab-bench-converge-{tool.lower()}"
    pid = subprocess.run(
        ["docker", "inspect", "-f", "{{.State.Pid}}", name], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split(":", 2) for line in Path(f"/proc/{pid.strip()}/cgroup").read_text().splitlines()]
    path = next((row[2] for row in rows if "cpuacct" in row[1].split(",")), rows[-1][2])
    return Machine(tool, json.loads(made.stdout)["address"], path.removesuffix("/init.scope"))


def remove(tool: str) -> None:
    lab = [sys.executable, str(ROOT / "tests/lab/lab.py"), "host", "remove", f"bench-converge-{tool.lower()}"]
    subprocess.run(lab, check=True, capture_output=True)


def run(machine: Machine, command: list[str], environment: dict[str, str], stdin: str = "") -> None:
    log = WORK / f"{machine.tool}.log"
    with log.open("w") as output:
        done = subprocess.run(
            command,
            input=stdin,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    for master in MASTERS.glob("*"):
        subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={master}", "x"], check=False, capture_output=True)
    while reap():
        pass
    if done.returncode:
        raise SystemExit(f"bench-converge: {TOOLS[machine.tool]} failed:\n{log.read_text()[-3000:]}")


def reap() -> bool:
    """Wait for what a tool left behind, such as ssh's master: its CPU seconds count too."""
    try:
        return os.waitpid(-1, 0)[0] > 0
    except ChildProcessError:
        return False


def ansible(machine: Machine, *arguments: str) -> None:
    environment = {
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(MASTERS),
        "ANSIBLE_NOCOLOR": "1",
        "HOST_ADDRESS": machine.address,
        "CALLS_FILE": str(WORK / "calls"),
        "RECORD_FILE": str(WORK / "record"),
    }
    if os.environ.get("BENCH_COUNT"):
        environment["ANSIBLE_SSH_EXECUTABLE"] = str(HOSTS / "counting-ssh")
    if os.environ.get("BENCH_RECORD"):
        environment.update(ANSIBLE_CALLBACK_PLUGINS=str(HOSTS / "callback_plugins"), ANSIBLE_CALLBACKS_ENABLED="record")
    run(machine, [str(ROOT / ".venv/bin/ansible-playbook"), *arguments], environment)


def tool_a(machine: Machine) -> None:
    extra = json.dumps({"ssh_port": 22, "ssh_key_exchanges": KEY_EXCHANGES})
    ansible(machine, "-i", str(HOSTS / "inventory.yml"), str(HOSTS / "hosts.yml"), "-e", extra)


def tool_b(machine: Machine) -> None:
    command = [
        str(PYINFRA / "bin/python"),
        str(HERE / "counted_pyinfra.py"),
        "-y",
        machine.address,
        str(HERE / "deploy.py"),
    ]
    command += ["--user", "operator", "--key", str(KEY), "--sudo"]
    (WORK / "known_hosts").write_text("")
    command += ["--data", f"ssh_known_hosts_file={WORK / 'known_hosts'}"]
    environment = {"BENCH_STATE": str(WORK / "state.json"), "CALLS_FILE": str(WORK / "calls")}
    run(machine, command, environment)


def tool_c(machine: Machine) -> None:
    state = json.loads((WORK / "state.json").read_text())
    others = [path for path, item in state["paths"].items() if item["kind"] == "file" and not is_roots(item)]
    (WORK / "extra.json").write_text(json.dumps({"tree": str(WORK / "tree"), "state": state, "others": others}))
    login = ["-u", "operator", "--private-key", str(KEY), "-e", f"@{WORK / 'extra.json'}"]
    ansible(machine, "-i", f"{machine.address},", *login, str(HERE / "plain.yml"))


def tool_d(machine: Machine) -> None:
    argv = ["ssh", "-i", str(KEY), "-o", "BatchMode=yes", *ALONE, f"operator@{machine.address}", "sudo bash -s"]
    run(machine, argv, {}, (WORK / "script.sh").read_text())


RUN: dict[str, Callable[[Machine], None]] = {"A": tool_a, "B": tool_b, "C": tool_c, "D": tool_d}


def measure(machine: Machine, measured: Measured) -> None:
    def controller() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    begun, host, own = time.monotonic(), machine.cpu(), controller()
    RUN[machine.tool](machine)
    measured.wall.append(time.monotonic() - begun)
    measured.host.append(machine.cpu() - host)
    measured.controller.append(controller() - own)


def captured(machine: Machine, spec: dict[str, Any]) -> dict[str, Any]:
    keys = spec.get("sysctls", [])
    program = base64.b64encode(states.CAPTURE.encode()).decode()
    command = f"sudo python3 -c 'import base64; exec(base64.b64decode(\"{program}\"))'"
    found: dict[str, Any] = json.loads(machine.ssh(command, states.capture_input(spec, keys)))
    return found


def define(machine: Machine) -> tuple[dict[str, Any], dict[str, Any]]:
    """What our first run made, as the data that the other three are given."""
    entries = [json.loads(line) for line in (WORK / "record").read_text().splitlines()]
    spec: dict[str, Any] = states.spec_of(line for entry in entries for line in entry["plan"])
    written = captured(machine, spec)["paths"][states.SYSCTLS]["content"]
    lines = base64.b64decode(written).decode().splitlines()
    spec["sysctls"] = [line.split(" = ")[0] for line in lines if " = " in line]
    found = captured(machine, spec)
    state = {
        "packages": list(found["packages"]),
        "groups": found["groups"],
        "users": [
            {
                **{"name": name, "comment": said[0].split(",")[0], "home": said[1], "shell": said[2]},
                "groups": [group for group in said[3:] if group != name],
            }
            for name, said in found["users"].items()
        ],
        "paths": found["paths"],
        "sysctls_file": states.SYSCTLS,
        "rules": found["rules"],
        "holds": found["holds"],
        "units": {
            name: {
                "enabled": said[0] == "enabled",
                "running": said[1] == "active",
                "restart_on": states.RESTARTS.get(name, ""),
            }
            for name, said in found["units"].items()
        },
    }
    (WORK / "state.json").write_text(json.dumps(state))
    (WORK / "script.sh").write_text(script.render(state))
    tree = WORK / "tree"
    subprocess.run(["rm", "-rf", str(tree)], check=True)
    for path, item in found["paths"].items():
        if item["kind"] == "file" and is_roots(item):
            target = tree / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(base64.b64decode(item["content"]))
            target.chmod(int(item["mode"], 8))
    return spec, found


def is_roots(item: dict[str, Any]) -> bool:
    return bool(item["owner"] == item["group"] == "root")


def table(title: str, results: dict[str, Measured], calls: dict[str, int]) -> None:
    print(f"\n{title}\n{'':24}{'wall s':>16}{'controller CPU s':>18}{'host CPU s':>14}{'remote calls':>14}")
    for tool, name in TOOLS.items():
        found = results[tool]
        spread = f"{statistics.median(found.wall):.2f} ({min(found.wall):.2f}-{max(found.wall):.2f})"
        print(
            f"{tool} {name:22}{spread:>16}{statistics.median(found.controller):>18.2f}"
            f"{statistics.median(found.host):>14.2f}{calls.get(tool, '') or '':>14}"
        )


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def counted(machine: Machine) -> int:
    if machine.tool == "D":
        return 1
    (WORK / "calls").write_text("")
    os.environ["BENCH_COUNT"] = "1"
    RUN[machine.tool](machine)
    del os.environ["BENCH_COUNT"]
    return len((WORK / "calls").read_text().splitlines())


def prepare() -> None:
    MASTERS.mkdir(parents=True, exist_ok=True)
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what tools leave behind is ours to wait for
    if not (PYINFRA / f".{PYINFRA_VERSION}").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PYINFRA)], check=True)
        pip = [str(PYINFRA / "bin/pip"), "install", "-q", f"pyinfra=={PYINFRA_VERSION}"]
        subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
        (PYINFRA / f".{PYINFRA_VERSION}").touch()


def main() -> None:
    prepare()
    first = {tool: Measured() for tool in TOOLS}
    again = {tool: Measured() for tool in TOOLS}
    machines: dict[str, Machine] = {}
    spec: dict[str, Any] = {}
    wanted: dict[str, Any] = {}
    print(f"load at the start: {load()}", flush=True)
    for turn in range(FIRST_RUNS):
        for tool in TOOLS:
            machines[tool] = create(tool)
            if tool == "A":
                (WORK / "record").write_text("")
                os.environ["BENCH_RECORD"] = "1"
            measure(machines[tool], first[tool])
            os.environ.pop("BENCH_RECORD", None)
            if tool == "A" and not spec:
                spec, wanted = define(machines[tool])
            wrong = states.differences(wanted, captured(machines[tool], spec))
            print(f"first run {turn + 1} of {tool}: {first[tool].wall[-1]:.1f} s, load {load()}", flush=True)
            if wrong:
                raise SystemExit(f"bench-converge: {TOOLS[tool]} did not reach the state:\n" + "\n".join(wrong))
    for machine in machines.values():
        RUN[machine.tool](machine)
    for turn in range(ROUNDS):
        for tool in TOOLS:
            measure(machines[tool], again[tool])
        print(f"round {turn + 1}: " + ", ".join(f"{tool} {again[tool].wall[-1]:.2f} s" for tool in TOOLS), flush=True)
    calls = {tool: counted(machine) for tool, machine in machines.items()}
    for tool, machine in machines.items():
        wrong = states.differences(wanted, captured(machine, spec))
        if wrong:
            raise SystemExit(f"bench-converge: {TOOLS[tool]} lost the state:\n" + "\n".join(wrong))
    sizes = ", ".join(f"{len(value)} {section}" for section, value in wanted.items())
    print(f"\nthe state, the same for all four and compared after every run: {sizes}")
    table(f"first run on a bare host, median of {FIRST_RUNS}", first, {})
    table(f"no change, median of {ROUNDS}", again, calls)
    ratio = statistics.median(first["A"].wall) / statistics.median(first["D"].wall)
    print(f"\nfirst run against the script: {ratio:.2f} times; load at the end: {load()}")
    for tool in TOOLS:
        remove(tool)


if __name__ == "__main__":
    main()
