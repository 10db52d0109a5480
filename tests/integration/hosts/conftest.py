"""One bare host, made fresh, and runs of the host roles against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BIN = ROOT / ".venv/bin"
KEY = ROOT / ".cache/lab/id_ed25519"
NAME = "hosts-trixie"


@dataclass(frozen=True)
class Task:
    """What one task of a run reported."""

    name: str
    status: str
    changed: bool
    plan: tuple[str, ...] = ()
    diff: tuple[Mapping[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    msg: str = ""


@dataclass(frozen=True)
class Run:
    code: int
    output: str
    tasks: tuple[Task, ...]
    calls: tuple[str, ...]
    seconds: float

    @property
    def changed(self) -> list[str]:
        return [task.name for task in self.tasks if task.changed]


class Machine:
    def __init__(self, address: str, directory: Path) -> None:
        self.address = address
        self.directory = directory
        self.history: list[Run] = []

    def play(self, *options: str, playbook: str = "hosts.yml", variables: Mapping[str, Any] | None = None) -> Run:
        record, calls = (self.directory / f"{kind}-{len(self.history)}" for kind in ("record", "calls"))
        record.touch()
        calls.touch()
        begun = time.monotonic()
        command = [str(BIN / "ansible-playbook"), "-i", str(HERE / "inventory.yml"), str(HERE / playbook), *options]
        if variables:
            command += ["-e", json.dumps(variables)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",
                "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
                "ANSIBLE_CALLBACKS_ENABLED": "record",
                "ANSIBLE_SSH_EXECUTABLE": str(HERE / "counting-ssh"),
                "HOST_ADDRESS": self.address,
                "RECORD_FILE": str(record),
                "CALLS_FILE": str(calls),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        seconds = time.monotonic() - begun
        tasks = tuple(task_of(json.loads(line)) for line in record.read_text(encoding="utf-8").splitlines())
        run = Run(done.returncode, done.stdout, tasks, tuple(calls.read_text(encoding="utf-8").splitlines()), seconds)
        print(f"  {playbook} {' '.join(options)}: rc {run.code}, {len(run.calls)} calls, {seconds:.1f} s", flush=True)
        self.history.append(run)
        return run

    def shell(self, script: str, port: int = 22) -> str:
        """A script as root on the host."""
        command = ["ssh", "-i", str(KEY), "-p", str(port), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
        command += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        done = subprocess.run(
            [*command, f"operator@{self.address}", "sudo sh -s"],
            input=script,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout


def task_of(entry: Mapping[str, Any]) -> Task:
    return Task(
        name=entry["task"],
        status=entry["status"],
        changed=entry["changed"],
        plan=tuple(entry["plan"]),
        diff=tuple(entry["diff"]),
        warnings=tuple(str(warning) for warning in entry["warnings"]),
        msg=entry["msg"],
    )


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    lab = [sys.executable, "tests/lab/lab.py", "host"]
    made = subprocess.run(
        [*lab, "create", NAME, "--fresh"], cwd=ROOT, check=True, timeout=600, capture_output=True, text=True
    )
    yield Machine(json.loads(made.stdout)["address"], tmp_path_factory.mktemp("hosts"))
    if not os.environ.get("SLIPWAY_KEEP_HOSTS"):
        subprocess.run([*lab, "remove", NAME], cwd=ROOT, check=True, timeout=120)
