# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong input stops site.yml before anything is touched, with one clear line.

Each case is a file: Marine Maroc's own inventory with one thing wrong in it. The server is one that the test plays
itself and that notes every connection, and so is the DNS.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import dns.message
import dns.rcode
import dns.rrset
import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.slipway.ops.plugins.plugin_utils import _escrow

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PRODUCTION = ROOT / "inventories" / "marine_maroc" / "production"
CASES = sorted((HERE / "cases").glob("*.yml"))
VAULT_PASSWORD = "only-for-this-test"
HOST_NAMES = {"fleet.marinemaroc.com": "127.0.0.1"}
TOUCHING = re.compile(
    r"^TASK \[(?!Check the variables|Check that what opens|Find the port|Use that port)(?P<name>.*?)\] ", re.M
)


class Names(socketserver.BaseRequestHandler):
    """A DNS server that knows a few A records."""

    def handle(self) -> None:
        data, sender = self.request
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        known: Mapping[str, str] = self.server.known  # type: ignore[attr-defined]
        name = question.question[0].name
        address = known.get(name.to_text(omit_final_dot=True))
        if address is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif dns.rdatatype.to_text(question.question[0].rdtype) == "A":
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", address))
        sender.sendto(answer.to_wire(), self.client_address)


class Greeter(socketserver.BaseRequestHandler):
    """Greets like an SSH server, and notes what a client says before it hangs up."""

    def handle(self) -> None:
        self.request.settimeout(2)
        self.request.sendall(b"SSH-2.0-OpenSSH_10.0p2\r\n")
        try:
            said = self.request.recv(256)
        except OSError:
            said = b""
        self.server.heard.append(said)  # type: ignore[attr-defined]


@pytest.fixture
def names() -> Iterator[socketserver.UDPServer]:
    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Names) as server:
        server.known = dict(HOST_NAMES)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def ssh() -> Iterator[socketserver.TCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as server:
        server.heard = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def without(text: str, names: list[str]) -> str:
    """Take top-level keys out of a YAML file, and leave the rest as it is written."""
    for name in names:
        text, count = re.subn(rf"^{name}:.*\n(?:[ ]+.*\n)*", "", text, flags=re.M)
        assert count == 1, f"{name} is not there to be taken out"
    return text


def keep_escrow(production: Path, directory: Path) -> Path:
    """The escrow copy of an inventory's repositories, with the passwords of its example."""
    variables = yaml.safe_load((production / "group_vars/all/system.yml").read_text(encoding="utf-8"))
    secrets = yaml.safe_load((production / "vault.example.yml").read_text(encoding="utf-8"))
    repositories = [
        {**repository, "password": secrets[repository["password"].strip("{} ")]}
        for repository in variables["backup_repositories"]
    ]
    path = directory / "escrow.yml"
    _escrow.make(VaultLib([("test", VaultSecret(VAULT_PASSWORD.encode()))]), str(path), repositories)
    return path


def build(case: Mapping[str, Any], directory: Path, ssh_port: int) -> Path:
    """Make the inventory of a case: production's, with what is wrong in this one."""
    inventory = directory / "inventory"
    shutil.copytree(HERE / "base", inventory)
    variables = inventory / "group_vars" / "all"
    variables.mkdir(parents=True, exist_ok=True)
    system = (PRODUCTION / "group_vars" / "all" / "system.yml").read_text(encoding="utf-8")
    (variables / "00-system.yml").write_text(without(system, case.get("without", [])), encoding="utf-8")
    changed = {"ssh_port": ssh_port, "backup_escrow_file": str(keep_escrow(PRODUCTION, directory))}
    changed.update(case.get("variables", {}))
    (variables / "zz-case.yml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    secrets = without((PRODUCTION / "vault.example.yml").read_text(encoding="utf-8"), case.get("vault_without", []))
    vault = VaultLib([("test", VaultSecret(VAULT_PASSWORD.encode()))])
    (variables / "vault.yml").write_bytes(vault.encrypt(secrets, vault_id="test"))
    (directory / "vault-password").write_text(case.get("vault_password", VAULT_PASSWORD), encoding="utf-8")
    compose = (PRODUCTION / "compose.yaml").read_text(encoding="utf-8")
    for old, new in case.get("compose", {}).items():
        assert old in compose, f"{old!r} is not in the Compose file any more"
        compose = compose.replace(old, new, 1)
    (inventory / "compose.yaml").write_text(compose, encoding="utf-8")
    return inventory


def play(playbook: str, inventory: Path, dns_port: int, ssh_port: int) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_VAULT_IDENTITY_LIST": f"test@{inventory.parent / 'vault-password'}",
        "WRONG_INPUT_DNS": f"127.0.0.1:{dns_port}",
        "WRONG_INPUT_SSH_PORT": str(ssh_port),
    }
    ansible = Path(sys.executable).parent / "ansible-playbook"
    return subprocess.run(
        [str(ansible), "-i", str(inventory), playbook],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_wrong_input(path: Path, tmp_path: Path, names: socketserver.UDPServer, ssh: socketserver.TCPServer) -> None:
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    ssh_port = closed_port() if case.get("server") == "none" else ssh.server_address[1]
    names.known = case.get("dns", HOST_NAMES)  # type: ignore[attr-defined]
    inventory = build(case, tmp_path, ssh_port)

    run = play("site.yml", inventory, names.server_address[1], ssh_port)

    output = run.stdout + run.stderr
    assert run.returncode != 0, output
    errors = [line for line in output.splitlines() if line.startswith("[ERROR]")]
    assert len(errors) == 1, output
    assert case["expected"] in errors[0], output
    assert "problems, nothing was touched" not in output
    assert "Traceback" not in output
    assert ssh.heard == [], "something connected to the host"  # type: ignore[attr-defined]
    assert [match["name"] for match in TOUCHING.finditer(output)] == []
    assert "change-me" not in output, "a secret is shown"


def test_the_same_inventory_without_a_mistake_gets_through(
    tmp_path: Path, names: socketserver.UDPServer, ssh: socketserver.TCPServer
) -> None:
    """What the cases show is due to what is wrong in them."""
    ssh_port: Optional[int] = ssh.server_address[1]
    inventory = build({}, tmp_path, ssh.server_address[1])
    run = play("playbooks/preflight.yml", inventory, names.server_address[1], ssh.server_address[1])
    assert run.returncode == 0, run.stdout + run.stderr
    assert ssh_port
    assert ssh.heard == [b""], "the reach check only listens"  # type: ignore[attr-defined]
