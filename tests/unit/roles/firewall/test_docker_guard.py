"""The program that keeps Docker behind the firewall, run with stand-ins that say what they were asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROLE = Path(__file__).resolve().parents[4] / "roles/firewall/templates"
PROGRAM = ROLE / "usr/local/sbin/slipway-docker-firewall.j2"
RULES = "*filter\n:SLIPWAY-DOCKER - [0:0]\n-A SLIPWAY-DOCKER -i eth0 -j DROP\nCOMMIT\n"


def asked(tmp_path: Path, version: str, early: bool) -> str:
    """Run it on a host with this Docker, where the chain is or is not in the table mangle."""
    tools = {
        "dockerd": f"echo 'Docker version {version}, build 5d6db84'",
        "iptables": "exit 0",
        "ip6tables": f'case "$*" in *"-t mangle -"[CD]*) exit {0 if early else 1};; esac',
        "iptables-restore": "cat >/dev/null",
        "ip6tables-restore": f"cat >> {tmp_path}/asked",
    }
    for name, body in tools.items():
        log = "" if name.endswith("-restore") or name == "dockerd" else f'echo "{name} $*" >> {tmp_path}/asked\n'
        (tmp_path / name).write_text(f"#!/bin/sh\n{log}{body}\n")
        (tmp_path / name).chmod(0o755)
    for family in ("v4", "v6"):
        (tmp_path / f"rules.{family}").write_text(RULES)
    text = PROGRAM.read_text().replace("PATH=/usr/sbin", f"PATH={tmp_path}:/usr/sbin")
    program = tmp_path / "program"
    program.write_text(text.replace("/etc/slipway/docker-firewall", str(tmp_path)))
    subprocess.run(["sh", str(program)], check=True, timeout=20)
    return (tmp_path / "asked").read_text()


@pytest.mark.parametrize("early", [False, True])
def test_before_docker_23_ipv6_is_also_guarded_where_docker_does_not_write(tmp_path: Path, early: bool) -> None:
    loaded = asked(tmp_path, "20.10.24+dfsg1", early).partition("*mangle\n")[2]
    assert loaded.startswith(":SLIPWAY-DOCKER - [0:0]\n-A SLIPWAY-DOCKER -i eth0 -j DROP\n")
    assert ("-I FORWARD 1 -j SLIPWAY-DOCKER" in loaded) is not early
    assert loaded.endswith("COMMIT\n")


def test_later_docker_asks_its_own_chain_for_ipv6_too(tmp_path: Path) -> None:
    assert "*mangle" not in asked(tmp_path, "26.1.5+dfsg1", False)


def test_what_an_older_docker_needed_goes(tmp_path: Path) -> None:
    told = asked(tmp_path, "26.1.5+dfsg1", True)
    assert "ip6tables -w 10 -t mangle -X SLIPWAY-DOCKER" in told
    assert "*mangle" not in told
