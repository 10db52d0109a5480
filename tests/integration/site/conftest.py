"""The lab as the tests of the whole system see it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = ROOT / ".venv/bin"
KEY = ROOT / ".cache/lab/id_ed25519"
PROBE = "172.30.0.3"
FLEET = "172.30.0.10"
AUTHORITY = "/etc/ssl/lab/pebble-root.pem"
SITE = "https://fleet.marinemaroc.com"


@dataclass(frozen=True)
class Run:
    """One run of a playbook."""

    code: int
    output: str
    seconds: float

    def recap(self, host: str = "fleet") -> dict[str, int]:
        """What the recap counts for a host."""
        line = re.search(rf"^{host}\s*:(.*)$", self.output, re.MULTILINE)
        assert line, f"no recap for {host}:\n{self.output[-4000:]}"
        return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line[1])}


class Lab:
    """Commands against the lab: playbooks over SSH, and shells on its machines."""

    inventory = "inventories/lab"

    def playbook(self, *arguments: str, check: bool = True, inventory: str = "") -> Run:
        begun = time.monotonic()
        done = subprocess.run(
            [str(BIN / "ansible-playbook"), "-i", inventory or self.inventory, *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1500,
            check=False,
        )
        run = Run(done.returncode, done.stdout, time.monotonic() - begun)
        print(f"  ansible-playbook {' '.join(arguments)}: rc {run.code}, {run.seconds:.0f} s", flush=True)
        assert not check or run.code == 0, run.output[-8000:]
        return run

    def shell(self, address: str, shell: str, script: str, port: int = 22, check: bool = True) -> str:
        """A script, by standard input: nothing in it is quoted twice."""
        done = subprocess.run(
            [
                "ssh",
                *("-i", str(KEY), "-p", str(port), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
                *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
                f"operator@{address}",
                shell,
            ],
            input=script,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def probe(self, script: str, check: bool = True) -> str:
        """On the machine that stands for the outside world."""
        return self.shell(PROBE, "sh -s", script, check=check)

    def fleet(self, script: str, port: int = 2222, check: bool = True) -> str:
        """As root on Marine Maroc's server."""
        return self.shell(FLEET, "sudo sh -s", script, port=port, check=check)

    def tool(self, *arguments: str) -> None:
        """The tool that runs the lab."""
        command = [str(BIN / "python"), "tests/lab/lab.py", *arguments]
        subprocess.run(command, cwd=ROOT, check=True, timeout=1500)

    def lose_host(self) -> None:
        """Marine Maroc's server, with all that is on it, is gone; a bare one has its address."""
        self.tool("host", "remove", "fleet")
        self.tool("up")

    def curl(self, path: str, *options: str) -> str:
        given = " ".join(options)
        return self.probe(f"curl -sS --fail-with-body --max-time 20 --cacert {AUTHORITY} {given} {SITE}{path}")


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The services up, and Marine Maroc's server bare."""
    lab = Lab()
    lab.tool("up")
    lab.lose_host()
    return lab
