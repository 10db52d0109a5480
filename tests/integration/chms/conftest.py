"""Five lab hosts with nothing of ChMS on them, and runs of the playbooks against them."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.integration.site.conftest import AUTHORITY, BIN, ROOT, Lab

DOMAIN = "chms.example"
DNS = "http://172.30.0.2:8055"
# Hosts that are up are used as they are, and stay.
KEEP = bool(os.environ.get("SLIPWAY_KEEP_HOSTS"))
INVENTORY = ROOT / "inventories/chms/lab"


def addresses(group: str) -> dict[str, str]:
    """Every host below a group of the lab's inventory, and its address."""
    inventory = yaml.safe_load((INVENTORY / "hosts.yml").read_text(encoding="utf-8"))
    found: dict[str, str] = {}

    def walk(name: str, content: dict[str, dict[str, dict[str, str]]] | None, inside: bool) -> None:
        for host, variables in ((content or {}).get("hosts") or {}).items():
            if inside or name == group:
                found[host] = variables["ansible_host"]
        for child, below in ((content or {}).get("children") or {}).items():
            walk(child, below, inside or name == group)

    for name, content in inventory.items():
        walk(name, content, False)
    return found


EDGES = addresses("swarm_managers")
HOSTS = {**addresses("swarm"), **addresses("data")}


class Chms(Lab):
    inventory = "inventories/chms/lab"

    def on(self, host: str, script: str, check: bool = True) -> str:
        """As root on a host that was hardened."""
        return self.shell(HOSTS[host], "sudo sh -s", script, port=2222, check=check)

    def container(self, host: str, service: str, command: str, check: bool = True) -> str:
        """A shell command in the container of a data node's service."""
        name = f"$(docker ps -q --filter label=com.docker.compose.service={service})"
        return self.on(host, f"docker exec -i {name} sh -s <<'END'\n{command}\nEND\n", check=check)

    def ask(
        self, path: str, *options: str, edge: str = "chms-edge-1", scheme: str = "https", check: bool = True
    ) -> str:
        port = 443 if scheme == "https" else 80
        asked = f"--resolve {DOMAIN}:{port}:{EDGES[edge]} --cacert {AUTHORITY} {' '.join(options)}"
        return self.probe(f"curl -sS --max-time 20 {asked} '{scheme}://{DOMAIN}{path}'")


@pytest.fixture(scope="session")
def chms() -> Iterator[Chms]:
    tool = [str(BIN / "python"), "tests/lab/lab.py"]
    subprocess.run([*tool, "up", "--services", "--all"], cwd=ROOT, check=True, timeout=1500)

    def create(name: str) -> None:
        command = [*tool, "host", "create", name, "--docker", "--address", HOSTS[name]]
        command += [] if KEEP else ["--fresh"]
        subprocess.run(command, cwd=ROOT, check=True, timeout=600)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(create, HOSTS))
    for verb, more in (("clear-a", {}), ("add-a", {"addresses": list(EDGES.values())})):
        told = json.dumps({"host": DOMAIN, **more}).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(f"{DNS}/{verb}", data=told), timeout=10)
    yield Chms()
    if not KEEP:
        for name in HOSTS:
            subprocess.run([*tool, "host", "remove", name], cwd=ROOT, check=True, timeout=120)
