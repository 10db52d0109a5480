"""A lab host on which trials are held: the door beside SSH, its fingerprint, and playbooks run against it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from slipway_lab import engine, hosts, settings
from slipway_lab.shell import family
from slipway_lockout.operator import login_command

HERE = Path(__file__).resolve().parents[1]
FINGERPRINT = (Path(__file__).parent / "fingerprint.py").read_bytes()
WORK = settings.ROOT / ".cache" / "lockout"
PLAY_SECONDS = 240


class TrialError(Exception):
    """What was not as it has to be."""


@dataclass(frozen=True)
class Said:
    code: int
    output: str

    @property
    def line(self) -> str:
        """Everything in one line, for Ansible folds what it says."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> int:
        return sum(int(word.partition("=")[2]) for word in self.output.split() if word.startswith("changed="))


@dataclass
class Stage:
    name: str
    release: str
    host: hosts.Host = field(init=False)
    playing: subprocess.Popen[bytes] | None = None
    good: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> None:
        hosts.remove(self.name)
        self.host = hosts.create(self.name, self.release)
        self.directory.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        self.hang_up()
        hosts.remove(self.name)

    @property
    def directory(self) -> Path:
        return WORK / self.name

    @property
    def container(self) -> str:
        return hosts.container_name(self.name)

    def login(self) -> list[str]:
        return login_command(self.host.user, self.host.address, self.host.port, self.host.key_file)

    def find(self) -> None:
        """A host that was started again may have another address."""
        self.host = hosts.describe(self.name)

    def address_v6(self) -> str:
        found = engine.inspect("container", self.container)
        assert found is not None
        return str(found["NetworkSettings"]["Networks"][settings.NETWORK]["GlobalIPv6Address"])

    # beside SSH

    def shell(self, script: str, timeout: float = 120) -> str:
        done = subprocess.run(
            ["docker", "exec", "-i", self.container, "sh", "-eu"],
            input=script.encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise TrialError(f"`{script}` on {self.name}: {(done.stderr or done.stdout).decode().strip()}")
        return done.stdout.decode()

    def fingerprint(self, *parts: str) -> dict[str, Any]:
        done = subprocess.run(
            ["docker", "exec", "-i", self.container, "python3", "-", *parts],
            input=FINGERPRINT,
            capture_output=True,
            check=True,
        )
        return cast("dict[str, Any]", json.loads(done.stdout))

    def until_armed(self, name: str = "*") -> None:
        """Return at the moment at which a change is armed."""
        self.until_there(f"/var/lib/slipway/armed/{name}/armed.json")

    def until_there(self, path: str, then: str = "", seconds: int = 90) -> None:
        """Wait for a file, and do something on the host at the very moment."""
        self.shell(
            f"""
            end=$(($(date +%s) + {seconds}))
            until ls {path} > /dev/null 2>&1; do
              [ "$(date +%s)" -lt $end ] || {{ echo '{path} did not come' >&2; exit 1; }}
            done
            {then}
            """,
            timeout=seconds + 30,
        )

    def until_disarmed(self, seconds: float) -> list[str]:
        """Wait until nothing would be put back any more; what is left after that time."""
        give_up = time.monotonic() + seconds
        while True:
            with contextlib.suppress(subprocess.CalledProcessError):
                left = cast("list[str]", self.fingerprint("armed")["armed"])
                if not left or time.monotonic() > give_up:
                    return left
            time.sleep(1)

    def docker(self, *words: str) -> None:
        engine.docker(*words)

    # by SSH, as the operator does

    def start(self, playbook: str, variables: Mapping[str, Any], connection: Mapping[str, Any]) -> None:
        there = {
            "ansible_host": self.host.address,
            "ansible_port": self.host.port,
            "ansible_user": self.host.user,
            "ansible_ssh_private_key_file": self.host.key_file,
            **connection,
        }
        inventory = self.directory / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {self.name: there}}}), encoding="utf-8")
        given = self.directory / "variables.json"
        given.write_text(json.dumps(dict(variables)), encoding="utf-8")
        with (self.directory / "output").open("wb") as output:
            self.playing = subprocess.Popen(
                [
                    str(settings.ROOT / ".venv/bin/ansible-playbook"),
                    *("-i", str(inventory), "-e", f"@{given}", str(HERE / playbook)),
                ],
                cwd=settings.ROOT,
                env={
                    **os.environ,
                    "ANSIBLE_NOCOLOR": "1",
                    "ANSIBLE_FORCE_COLOR": "0",
                    "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.directory / "cp"),
                    "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=900s "
                    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> Said:
        assert self.playing is not None
        try:
            code = self.playing.wait(PLAY_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_controller()
            raise TrialError(f"the play did not end within {PLAY_SECONDS} s") from None
        self.playing = None
        return Said(code, (self.directory / "output").read_text(encoding="utf-8", errors="replace"))

    def play(self, playbook: str, variables: Mapping[str, Any], connection: Mapping[str, Any] | None = None) -> Said:
        self.start(playbook, variables, connection or {})
        return self.wait()

    def rerun(self) -> None:
        """The good configuration, whatever was begun before."""
        self.start("roles.yml", self.good, {})

    def kill_controller(self) -> None:
        """Everything that the play runs on the controller, at once; only the shared connection is a process apart."""
        assert self.playing is not None
        for process in reversed(family(self.playing.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.playing.wait()

    @property
    def is_connected(self) -> bool:
        return any((self.directory / "cp").glob("*"))

    def hang_up(self) -> None:
        """End the connections that the plays have left open."""
        for path in sorted((self.directory / "cp").glob("*")):
            subprocess.run(["ssh", "-o", f"ControlPath={path}", "-O", "exit", "-"], capture_output=True, check=False)
            path.unlink(missing_ok=True)
