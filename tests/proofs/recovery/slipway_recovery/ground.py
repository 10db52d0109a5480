"""Where recovery is proved: a host of the lab that the real roles set up, its stacks, and the words for what a proof
does with them. The host runs systemd, a Docker of its own, the host program, restic, and the watch."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._cli.archive import build, collection_version
from slipway_lab import hosts, settings, standins
from slipway_lab.shell import LabError

HERE = Path(__file__).resolve().parents[1]
WORK = settings.ROOT / ".cache" / "proofs" / "recovery"
REGISTRY = f"http://{settings.SERVICES_ADDRESS}:{settings.REGISTRY_PORT}"
PASSWORD = "a repository's password"
METRICS = "/var/lib/prometheus/node-exporter"
# In the part of the lab's network that the engine leaves alone; other proofs have what lies below.
ADDRESSES = {
    "proof-faults": "172.30.0.101",
    "proof-restores": "172.30.0.102",
    "proof-points": "172.30.0.103",
    "proof-points-other": "172.30.0.104",
    "bench-backup": "172.30.0.105",
    "proof-points-keeper": "172.30.0.106",
}
IMAGES = {"postgresql": "library/postgres:17-alpine", "mariadb": "library/mariadb:11.8", "mysql": "library/mysql:8.4"}

# Runs a command, and strikes when it says a line like PATTERN; the strike is told the number of the process.
STRUCK = """
place=$(mktemp -d); mkfifo $place/said
{command} >$place/said 2>$place/complaint & process=$!
struck=no; pattern={pattern}
while IFS= read -r line; do
    echo "$line"
    if [ $struck = no ] && [[ "$line" =~ $pattern ]]; then struck=yes; sleep {delay}; {strike}; fi
done <$place/said
wait $process; code=$?
cat $place/complaint >&2; rm -r $place
[ $struck = yes ] || {{ echo 'the line never came' >&2; exit 99; }}
exit $code
"""


def load_average() -> str:
    return " ".join(f"{each:.1f}" for each in os.getloadavg())


@dataclass(frozen=True)
class Done:
    """How a command on the host ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """What it complained of, in one line; what a script of ours folded stays folded."""
        return " ".join((self.err.strip() or self.out.strip()).split())

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Stack:
    """A stack, and where its points go."""

    name: str
    url: str
    engines: tuple[str, ...] = ("postgresql",)
    access_key: str = ""
    secret_key: str = ""
    daily: int = 30
    more: Mapping[str, Any] = field(default_factory=dict)

    def variables(self) -> dict[str, Any]:
        """What the role is told."""
        sources: list[dict[str, str]] = []
        if "postgresql" in self.engines:
            sources.append({"kind": "postgresql", "service": "postgres", "user": "shop"})
        if "mariadb" in self.engines:
            sources.append({"kind": "mariadb", "service": "mariadb", "password_variable": "MYSQL_ROOT_PASSWORD"})
        if "mysql" in self.engines:
            sources.append({"kind": "mysql", "service": "mysql"})
        sources.append({"kind": "volume", "volume": f"{self.name}_uploads"})
        return {
            "proof_engines": list(self.engines),
            "backup_stack_name": self.name,
            "backup_sources": sources,
            "backup_repositories": [
                {
                    "name": "main",
                    "url": self.url,
                    "password": PASSWORD,
                    "s3_access_key_id": self.access_key,
                    "s3_secret_access_key": self.secret_key,
                }
            ],
            "backup_retention_daily": self.daily,
            **self.more,
        }


class Ground:
    """One host and its stacks. Made anew at the start, removed at the end (PROOF_KEEP=1 keeps it)."""

    def __init__(self, name: str, stacks: Sequence[Stack], before: str = "") -> None:
        self.name = name
        self.address = ADDRESSES[name]
        self.stacks = list(stacks)
        self._before = before
        self.directory = WORK / name

    @property
    def container(self) -> str:
        return hosts.container_name(self.name)

    @property
    def engines(self) -> list[str]:
        return sorted({engine for stack in self.stacks for engine in stack.engines})

    def __enter__(self) -> Ground:
        # Whoever ends us leaves no host behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.environ.get("PROOF_REUSE"):
            self.renew()
            return self
        hosts.ensure_key()
        standins.offer({IMAGES[engine] for engine in {"postgresql", *self.engines}})
        hosts.remove(self.name)
        hosts.create(self.name, settings.DEFAULT_RELEASE, docker_inside=True, address=self.address)
        try:
            self.shell("mkdir -p /srv/backup" + (f"\n{self._before}" if self._before else ""))
            self.play("prepare.yml")
            self.play("backup.yml")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if not (os.environ.get("PROOF_KEEP") or os.environ.get("PROOF_REUSE")):
            hosts.remove(self.name)

    def renew(self) -> None:
        """Bring a host that was kept up to the present code: for work on a proof, not for a proof."""
        plugins = settings.ROOT / "plugins"
        program = base64.b64encode(build(plugins / "module_utils", collection_version(settings.ROOT)))
        self.shell(
            "base64 -d > /root/new && chmod 755 /root/new && mv /root/new /usr/local/bin/slipway", text=program.decode()
        )
        for stack in self.stacks:
            script = (HERE / "stack.sh").read_text(encoding="utf-8")
            self.shell(f"bash -s {stack.name} {' '.join(stack.engines)}", text=script)
        self.play("backup.yml")

    def play(self, playbook: str, **variables: Any) -> None:
        """Run a playbook of ours on the host, over SSH as an operator does."""
        listed = {
            "ansible_host": self.address,
            "ansible_user": settings.USER,
            "ansible_ssh_private_key_file": str(settings.KEY),
        }
        common = {
            "docker_registry_mirrors": [REGISTRY],
            "docker_insecure_registries": [REGISTRY.removeprefix("http://")],
            "docker_prune_enabled": False,
            "monitoring_checks": [
                {"name": f"backup-{stack.name}", "kind": "backup", "stack": stack.name} for stack in self.stacks
            ],
            "monitoring_webhook_url": f"http://sink.lab:{settings.SINK_PORT}/hook",
            "proof_escrow_file": str(self.directory / "escrow.yml"),
            "proof_stacks": [stack.variables() for stack in self.stacks],
            **variables,
        }
        inventory = self.directory / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {self.name: listed}, "vars": common}}), encoding="utf-8")
        environment = {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=no "
            "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        }
        program = str(settings.ROOT / ".venv/bin/ansible-playbook")
        done = subprocess.run(
            ["nice", "-n", "15", program, "-i", str(inventory), str(HERE / playbook)],
            cwd=settings.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"{self.name}: {playbook} failed: {done.stdout[-3000:]}")

    # On the host

    def run(self, script: str, timeout: float = 600, text: str = "") -> Done:
        """A script on the host as root; how it ended is the caller's to judge."""
        begun = time.monotonic()
        words = ["docker", "exec", "-i", self.container, "bash", "-c", script]
        done = subprocess.run(words, input=text.encode(), capture_output=True, timeout=timeout, check=False)
        seconds = time.monotonic() - begun
        return Done(
            done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), seconds
        )

    def shell(self, script: str, timeout: float = 600, text: str = "") -> str:
        """The same, and it must succeed."""
        done = self.run(f"set -euo pipefail\n{script}", timeout, text)
        if done.code != 0:
            raise LabError(f"{self.name}: {script[:200]}: {done.said[-1500:]}")
        return done.out.strip()

    def start(self, script: str) -> subprocess.Popen[str]:
        """A script that runs beside the proof; its output is a pipe of lines."""
        words = ["docker", "exec", "-i", self.container, "bash", "-c", script]
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def struck(self, command: str, pattern: str, strike: str = "kill -9 $process", delay: float = 0.0) -> Done:
        """A command at which is struck as soon as it says a line like this."""
        return self.run(STRUCK.format(command=command, pattern=shlex.quote(pattern), strike=strike, delay=delay), 1200)

    def slipway(self, words: str, timeout: float = 600) -> Done:
        return self.run(f"slipway {words}", timeout)

    def ask(self, words: str) -> Any:
        """What the program says as JSON; it must succeed."""
        done = self.run(f"slipway {words} --json 2>/tmp/complaint || {{ cat /tmp/complaint >&2; exit 1; }}")
        if done.code != 0:
            raise LabError(f"{self.name}: slipway {words}: {done.said[-800:]}")
        return done.json

    def put(self, path: str, text: str, mode: str = "0644") -> None:
        name = shlex.quote(path)
        self.shell(f"cat > {name}.new && chmod {mode} {name}.new && mv {name}.new {name}", text=text)

    def read(self, path: str) -> str:
        return self.run(f"cat {shlex.quote(path)}").out

    # What is known of a stack's backups

    def status(self, stack: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(f"/var/lib/slipway/backup/{stack}/status.json") or "{}")
        return found

    def metric(self, name: str, stack: str) -> float | None:
        for line in self.read(f"{METRICS}/slipway_backup.prom").splitlines():
            if line.startswith(f'slipway_backup_{name}{{stack="{stack}"}} '):
                return float(line.rpartition(" ")[2])
        return None

    def alert(self, stack: str) -> str:
        """What the watch would tell the operators of this stack's backups now; empty when all is well."""
        done = self.run("slipway watch --dry-run --json")
        for check in done.json["checks"]:
            if check["name"] == f"backup-{stack}" and not check["ok"]:
                return str(check["message"])
        return ""

    def points(self, stack: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(f"backup points --stack {stack}")["points"]
        return found

    def good(self, stack: str) -> list[str]:
        return [point["point"] for point in self.points(stack) if point["verified"]]

    def backup(self, stack: str, words: str = "", timeout: float = 1200) -> Done:
        return self.slipway(f"backup run --stack {stack} {words}", timeout)


@contextlib.contextmanager
def undone(*actions: Callable[[], object]) -> Iterator[None]:
    """Whatever happens in the block, these follow."""
    with contextlib.ExitStack() as stack:
        for action in reversed(actions):
            stack.callback(action)
        yield
