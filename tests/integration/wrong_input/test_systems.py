# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every system's production inventory passes all that can be checked without its servers."""

from __future__ import annotations

import re
import shutil
import socketserver
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.integration.wrong_input.test_wrong_input import ROOT, VAULT_PASSWORD, names, play, ssh

__all__ = ["names", "ssh"]

EVERYBODY = ["edge-1", "edge-2", "edge-3", "app-1", "app-2", "app-3", "app-4"]
DATA = ["database-1", "replica-1", "replica-2", "cache-1", "cache-2", "cache-3"]
PLAYS = [
    pytest.param(
        "chms/production-1m",
        {
            "Set the hosts up": {*EVERYBODY, *DATA},
            "Make the Swarm": {*EVERYBODY},
            "Release the stacks of the data nodes": {*DATA},
            "Take traffic in": {"edge-1", "edge-2", "edge-3"},
            "Release the stack": {*EVERYBODY},
            "Create the indexes": {*DATA},
        },
        id="a-swarm-and-data-nodes",
    ),
    pytest.param(
        "marine_maroc/production",
        {
            "Set the hosts up": {"fleet"},
            "Make the Swarm": set(),
            "Release the stacks of the data nodes": set(),
            "Take traffic in": {"fleet"},
            "Release the stack": {"fleet"},
            "Create the indexes": {"fleet"},
        },
        id="one-host",
    ),
]
INVENTORIES = sorted(path.parent for path in (ROOT / "inventories").glob("*/production*/hosts.yml"))


@pytest.mark.parametrize("production", INVENTORIES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_passes_the_preflight(
    production: Path, tmp_path: Path, names: socketserver.UDPServer, ssh: socketserver.TCPServer
) -> None:
    system = tmp_path / "inventory"
    shutil.copytree(production.parent, system)
    inventory = system / production.name
    hosts = (inventory / "hosts.yml").read_text(encoding="utf-8")
    (inventory / "hosts.yml").write_text(re.sub(r"ansible_host: [0-9.]+", "ansible_host: 127.0.0.1", hosts))
    example = next(path for path in (inventory, system) if (path / "vault.example.yml").exists())
    vault = VaultLib([("test", VaultSecret(VAULT_PASSWORD.encode()))])
    secrets = (example / "vault.example.yml").read_text(encoding="utf-8")
    (inventory / "group_vars/all/vault.yml").write_bytes(vault.encrypt(secrets, vault_id="test"))
    (system / "vault-password").write_text(VAULT_PASSWORD, encoding="utf-8")
    port = ssh.server_address[1]
    here = {
        "ssh_port": port,
        "ansible_port": port,
        "site_dns_servers": [f"127.0.0.1:{names.server_address[1]}"],
        "backup_escrow_file": str(tmp_path / "escrow.yml"),
    }
    (inventory / "group_vars/all/zz-test.yml").write_text(yaml.safe_dump(here), encoding="utf-8")
    names.known = {"fleet.marinemaroc.com": "127.0.0.1", "chms.example": "127.0.0.1"}  # type: ignore[attr-defined]

    kept = play("playbooks/escrow.yml", inventory, names.server_address[1], port)
    assert kept.returncode == 0, kept.stdout + kept.stderr

    run = play("playbooks/preflight.yml", inventory, names.server_address[1], port)

    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    assert "[WARNING]" not in output, output
    assert "change-me" not in output, "a secret is shown"
    assert ssh.heard  # type: ignore[attr-defined]


@pytest.mark.parametrize(("system", "plays"), PLAYS)
def test_the_plays_of_the_site_are_for_the_right_hosts(system: str, plays: dict[str, set[str]]) -> None:
    ansible = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run(
        [str(ansible), "-i", f"inventories/{system}", "site.yml", "--list-hosts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        match["name"]: set(match["hosts"].split())
        for match in re.finditer(
            r"play #\d+ \(.*\): (?P<name>.*?)\s+TAGS.*\n +pattern: .*\n +hosts \(\d+\):(?P<hosts>(?:\n {6}\S+)*)",
            done.stdout,
        )
    }
    assert {name: found.get(name) for name in plays} == plays, done.stdout
