"""Deploy every accepted file of the corpus for real, on a Compose host and on a Swarm: the second time nothing changes.

prove.py [--quick] [--engine compose|swarm] [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests/lab"), str(ROOT), str(ROOT / ".cache/collections"), str(HERE)]

import truth
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack
from slipway_lab import hosts, images, settings, standins

from tests.corpus_files import ENGINES, File, files

QUICK = ("celery-queue", "secrets-all", "ports-long")
OTHERS = "registry.example"
ENGINE = {
    "registry-mirrors": [f"http://{settings.SERVICES_ADDRESS}:{settings.REGISTRY_PORT}"],
    "insecure-registries": [f"{OTHERS}:{settings.REGISTRY_PORT}"],
    "node-generic-resources": ["gpu=4"],
}
PREPARE = """
echo '{address} {others}' >> /etc/hosts
mkdir -p /etc/docker && echo '{engine}' > /etc/docker/daemon.json
systemctl restart docker
"""
# What a file expects of others to be there.
BEFORE = {
    "compose": "docker network create corpus-platform; docker volume create corpus-archive",
    "swarm": """
docker swarm init --advertise-addr $(hostname -I | cut -d' ' -f1)
docker node update --label-add data=yes --label-add ops.slipway.proxy=true $(hostname)
docker network create --driver overlay --attachable corpus-platform
""",
}


class Trial:
    """One engine's host, and how each file went on it."""

    def __init__(self, engine: str, chosen: list[File]) -> None:
        self.engine = engine
        self.host = f"corpus-{engine}"
        self.files = [file for file in chosen if file.accepted(engine) and "lab" not in file.expected]
        self.report = settings.STATE / f"corpus-{engine}.json"
        self.log = settings.STATE / f"corpus-{engine}.log"
        self.inventory = settings.STATE / f"corpus-{engine}-hosts.json"
        self.seconds = 0.0

    def run(self) -> None:
        begun = time.monotonic()
        self.report.unlink(missing_ok=True)
        hosts.remove(self.host)
        reached = hosts.create(self.host, settings.DEFAULT_RELEASE, docker_inside=True)
        self.on(PREPARE.format(address=settings.SERVICES_ADDRESS, others=OTHERS, engine=json.dumps(ENGINE)))
        self.on(BEFORE[self.engine])
        self.inventory.write_text(json.dumps({"all": {"hosts": {self.host: self.variables(reached)}}}))
        with self.log.open("w") as log:
            subprocess.run(
                [ROOT / ".venv/bin/ansible-playbook", "-i", self.inventory, HERE / "deploy.yml"],
                cwd=ROOT,
                env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        self.seconds = time.monotonic() - begun

    def on(self, script: str) -> None:
        command = ["docker", "exec", "-i", hosts.container_name(self.host), "sh", "-e"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.host}: {done.stdout}{done.stderr}")

    def variables(self, reached: hosts.Host) -> dict[str, Any]:
        return {
            "ansible_host": reached.address,
            "ansible_user": reached.user,
            "ansible_ssh_private_key_file": reached.key_file,
            "corpus_engine": self.engine,
            "corpus_report": str(self.report),
            "corpus_files": [
                {
                    "name": file.name,
                    "path": str(file.path),
                    "stack": file.stack or "",
                    # Braces in a value are Swarm's, not Ansible's.
                    "mounted": self.mounted(file),
                    "variables": {key: {"__ansible_unsafe": value} for key, value in file.variables.items()},
                }
                for file in self.files
            ],
        }

    def mounted(self, file: File) -> list[str]:
        """Where the configs and secrets of its services are."""
        services = file.model(self.engine)["services"].values()
        grants = [grant for service in services for key in ("configs", "secrets") for grant in service[key]]
        return sorted({grant["target"] for grant in grants})

    def verdict(self, file: File) -> str:
        if not file.accepted(self.engine):
            return "refused"
        if "lab" in file.expected:
            return "not tried"
        found = json.loads(self.report.read_text()).get(file.name, {}) if self.report.exists() else {}
        if "failed" in found or not found:
            return f"FAILED: {found.get('failed', 'was not reached')}"
        if not found["first"]:
            return "FAILED: the first deploy changed nothing"
        if found["second"]:
            return "FAILED: the second deploy changed something"
        seen = json.loads(found["seen"])
        differing = truth.differences(Stack(file.model(self.engine)), seen["containers"], seen["files"])
        return f"FAILED: {'; '.join(differing)}" if differing else "ok, as asked, ok"


def push(chosen: list[File], engines: list[str]) -> None:
    """The stand-in under every name that the files use, as each engine would ask for it."""
    pushed = standins.read_pushed()
    real = {server.name: server.image for server in standins.servers(further=True)}
    for name, server in real.items():
        if not standins.in_registry(name):
            put(name, server, images.ensure(server), pushed)
    image = images.Image("standin-anything", "busybox", "anything", images.base(settings.DEFAULT_RELEASE))
    tag = images.ensure(image)
    found = {
        service["image"]
        for file in chosen
        for engine in engines
        if file.accepted(engine)
        for service in file.model(engine)["services"].values()
    }
    for path in lacking(found, real):
        if pushed.get(path) != tag or not standins.in_registry(path):
            put(path, image, tag, pushed)


def lacking(references: Iterable[str], real: Container[str]) -> list[str]:
    """Where the registry has these images, but for the real servers: other tests rely on those."""
    paths = set()
    for name in references:
        host, _slash, path = name.partition("/")
        paths.add(path if host == f"{OTHERS}:{settings.REGISTRY_PORT}" else name if path else f"library/{name}")
    return sorted(path for path in paths if path not in real)


def put(name: str, image: images.Image, tag: str, pushed: dict[str, str]) -> None:
    standins.push(standins.StandIn(name, image), tag)
    pushed[name] = tag
    standins.PUSHED.write_text(json.dumps(pushed, indent=1, sort_keys=True) + "\n")


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", help="files of the corpus; all without any")
    asked.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} alone")
    asked.add_argument("--engine", choices=ENGINES, action="append")
    asked.add_argument("--keep", action="store_true", help="leave the hosts up")
    options = asked.parse_args()
    names = QUICK if options.quick else options.names
    chosen = [file for file in files() if not names or file.name in names]
    engines = options.engine or list(ENGINES)
    push(chosen, engines)
    trials = [Trial(engine, chosen) for engine in engines]
    threads = [threading.Thread(target=trial.run) for trial in trials]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return show(chosen, trials)
    finally:
        for trial in [] if options.keep else trials:
            hosts.remove(trial.host)


def show(chosen: list[File], trials: list[Trial]) -> int:
    print("| file |" + "".join(f" {trial.engine} |" for trial in trials))
    print("|---|" + "---|" * len(trials))
    failed = 0
    for file in chosen:
        verdicts = [trial.verdict(file) for trial in trials]
        failed += any(verdict.startswith("FAILED") for verdict in verdicts)
        note = f" ({file.expected['lab']})" if "not tried" in verdicts else ""
        print(f"| {file.name}{note} |" + "".join(f" {verdict} |" for verdict in verdicts))
    for trial in trials:
        print(f"{trial.engine}: {len(trial.files)} files deployed in {trial.seconds:.0f} s; log: {trial.log}")
    print(f"corpus: {f'{failed} files failed' if failed else 'proved'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
