"""New versions arrive, what they replaced is restarted, and one that breaks a service stops the play."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/lab"), str(ROOT / "tests/proofs")]

from apt_repository import COMPONENT, SUITE, Package, Repository
from slipway_lab import settings

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
UNIT = "[Service]\nExecStart={program}\n[Install]\nWantedBy=multi-user.target\n"


def upgrade(host: Any, *arguments: str) -> tuple[int, str]:
    limit = host.check_output("hostname")
    command = ["ansible-playbook", "-i", INVENTORY, "--limit", limit, str(CONVERGE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, " ".join(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).split())


def version(number: int, serve: str = "exec sleep 1000000") -> Package:
    """A service that its package restarts, and one that goes on with the program that was replaced."""
    start = "systemctl enable --now --quiet served.service silent.service; systemctl restart served.service"
    return Package(
        "served",
        f"{number}.0",
        {
            "/lib/systemd/system/served.service": UNIT.format(program="/usr/bin/served"),
            "/lib/systemd/system/silent.service": UNIT.format(program="/usr/bin/silent 1000000"),
            "/usr/bin/served*": f"#!/bin/sh\n{serve}\n",
            "/usr/bin/silent*": Path("/bin/sleep").read_bytes() + b"\0" * number,
        },
        postinst=f"systemctl daemon-reload; ({start}) || true",
    )


@pytest.fixture(scope="module")
def repository(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    made = Repository(tmp_path_factory.mktemp("repository"))
    made.add(version(1))
    made.publish()
    with made.served(settings.GATEWAY) as url:
        host.check_output(f"echo '{made.key}' > /etc/apt/keyrings/lab.asc")
        source = f"deb [signed-by=/etc/apt/keyrings/lab.asc] {url} {SUITE} {COMPONENT}"
        host.check_output(f"echo '{source}' > /etc/apt/sources.list.d/lab.list && apt-get -qq update")
        host.check_output("DEBIAN_FRONTEND=noninteractive apt-get -qq install served")
        yield made
        host.check_output("apt-get -qq purge served; rm /etc/apt/sources.list.d/lab.list; apt-get -qq update")


def test_a_new_version_arrives_and_what_it_replaced_is_restarted(host: Any, repository: Repository) -> None:
    repository.add(version(2))
    repository.publish()
    code, said = upgrade(host, "--check")
    assert (code, "upgrade served 1.0 -> 2.0" in said) == (0, True), said
    assert host.package("served").version == "1.0"
    drain = '{"upgrade_drain_command": ["touch", "/run/drained"], "upgrade_undrain_command": ["rm", "/run/drained"]}'
    code, said = upgrade(host, "-e", drain)
    assert code == 0, said
    assert not host.file("/run/drained").exists, "the work is given back"
    assert "restart silent.service, which ran replaced files" in said
    assert host.package("served").version == "2.0"
    code, said = upgrade(host)
    assert (code, "changed=0" in said) == (0, True), said


@pytest.mark.usefixtures("newest_only")
def test_a_version_that_breaks_a_service_stops_the_play_until_it_is_repaired(host: Any, repository: Repository) -> None:
    repository.add(version(3, "exit 78"))
    repository.publish()
    code, said = upgrade(host, "-e", '{"upgrade_drain_command": ["touch", "/run/drained"]}')
    assert code != 0
    assert host.file("/run/drained").exists
    assert "unit served.service: ran before, is failed now" in said
    code, said = upgrade(host)
    assert code != 0, "what ran before the first attempt is asked for, also by the second"
    repository.add(version(4))
    repository.publish()
    code, said = upgrade(host)
    assert (code, "was not proved good" in said) == (0, True), said
