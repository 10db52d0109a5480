# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every system's production inventory passes all that can be checked without its servers."""

from __future__ import annotations

import re
import shutil
import socketserver
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.integration.wrong_input.test_wrong_input import ROOT, VAULT_PASSWORD, names, play, ssh

__all__ = ["names", "ssh"]

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
    here = {"ssh_port": port, "ansible_port": port, "site_dns_servers": [f"127.0.0.1:{names.server_address[1]}"]}
    (inventory / "group_vars/all/zz-test.yml").write_text(yaml.safe_dump(here), encoding="utf-8")
    names.known = {"fleet.marinemaroc.com": "127.0.0.1", "chms.example": "127.0.0.1"}  # type: ignore[attr-defined]

    run = play("playbooks/preflight.yml", inventory, names.server_address[1], port)

    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    assert "[WARNING]" not in output, output
    assert "change-me" not in output, "a secret is shown"
    assert ssh.heard  # type: ignore[attr-defined]
