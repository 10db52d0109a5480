"""The SSH server as it answers on the wire, and as it runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from testinfra.host import Host

KEY = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / ".cache/lab/id_ed25519"


def ssh(host: Host, *options: str, user: str = "operator", port: int = 2222) -> subprocess.CompletedProcess[str]:
    """A connection of its own, past everything that Ansible holds open."""
    address = host.ansible.get_variables()["ansible_host"]
    return subprocess.run(
        [
            "ssh", "-F", "none", "-i", str(KEY), "-p", str(port), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5", *options,
            f"{user}@{address}", "sudo -n id -un",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def test_operator_logs_in_on_the_new_port(host: Host) -> None:
    done = ssh(host)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "root"


def test_the_old_port_is_closed(host: Host) -> None:
    assert "Connection refused" in ssh(host, port=22).stderr


def test_root_is_refused_though_it_has_a_key(host: Host) -> None:
    assert host.file("/root/.ssh/authorized_keys").exists
    assert "Permission denied" in ssh(host, user="root").stderr


def test_keys_are_the_only_way_though_another_file_wants_passwords(host: Host) -> None:
    assert "yes" in host.file("/etc/ssh/sshd_config.d/50-cloud-init.conf").content_string
    done = ssh(host, "-o", "PubkeyAuthentication=no")
    assert "Permission denied (publickey)" in done.stderr


@pytest.mark.parametrize(
    "option",
    [
        "KexAlgorithms=ecdh-sha2-nistp256",
        "KexAlgorithms=diffie-hellman-group14-sha256",
        "MACs=hmac-sha1",
        "MACs=umac-64-etm@openssh.com",
        "HostKeyAlgorithms=ecdsa-sha2-nistp256",
    ],
)
def test_weak_algorithms_are_refused(host: Host, option: str) -> None:
    # a MAC matters only to a cipher without its own
    done = ssh(host, "-o", option, "-o", "Ciphers=aes256-ctr")
    assert done.returncode != 0
    assert "no match" in done.stderr.lower() or "unable to negotiate" in done.stderr.lower()


@pytest.mark.parametrize(
    "option", ["KexAlgorithms=sntrup761x25519-sha512@openssh.com", "KexAlgorithms=curve25519-sha256"]
)
def test_strong_key_exchanges_stay(host: Host, option: str) -> None:
    assert ssh(host, "-o", option).returncode == 0


def test_nothing_that_stock_offers_and_is_strong_is_lost(host: Host) -> None:
    effective = host.check_output("sshd -T")
    if host.system_info.codename == "trixie":
        assert "mlkem768x25519-sha256" in effective
    assert "sntrup761x25519-sha512" in effective


def test_only_sshd_itself_listens_and_only_there(host: Host) -> None:
    lines = [line for line in host.check_output("ss -Hltnp").splitlines() if "sshd" in line or "systemd" in line]
    assert lines
    assert all(":2222 " in line and '"sshd"' in line and '"systemd"' not in line for line in lines)
    assert not host.service("ssh.socket").is_enabled
    assert not host.service("ssh.socket").is_running
    assert host.service("ssh.service").is_enabled
    assert host.service("ssh.service").is_running


def test_nothing_waits_to_be_put_back(host: Host) -> None:
    assert host.run("ls /var/lib/slipway/armed/*/armed.json").rc != 0
    assert host.check_output("systemctl list-timers --all --no-legend 'slipway-armed-*'") == ""
    assert host.run("ls /etc/systemd/system/slipway-armed-*").rc != 0
