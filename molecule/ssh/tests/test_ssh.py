"""The SSH server as it answers on the wire, and as it runs."""

from __future__ import annotations

import base64
import hmac
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

LAB_KEY = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / ".cache/lab/id_ed25519"
KEYS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "keys"
POLICIES = {"bookworm": "Hardened Debian 12 (version 3)", "trixie": "Hardened Debian 13 (version 1)"}
CODE_KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEH"


def address(host: Host) -> str:
    return str(host.ansible.get_variables()["ansible_host"])


def ssh(
    host: Host, *options: str, user: str = "operator", port: int = 2222, key: Path = LAB_KEY, command: str = "id -un"
) -> subprocess.CompletedProcess[str]:
    """A connection of its own, past everything that Ansible holds open."""
    return subprocess.run(
        [
            "ssh", "-F", "none", "-i", str(key), "-p", str(port), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
            *options, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5",
            f"{user}@{address(host)}", command,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


def test_operator_logs_in_on_the_new_port(host: Host) -> None:
    done = ssh(host, command="sudo -n id -un")
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


def test_the_policy_of_the_release_passes_over_the_wire(host: Host) -> None:
    program = Path(sys.executable).with_name("ssh-audit")
    policy = POLICIES[host.system_info.codename]
    done = subprocess.run(
        [str(program), "--no-colors", "-p", "2222", "-P", policy, address(host)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    "option",
    [
        "KexAlgorithms=ecdh-sha2-nistp256",
        "KexAlgorithms=diffie-hellman-group14-sha256",
        "MACs=hmac-sha1",
        "HostKeyAlgorithms=ecdsa-sha2-nistp256",
    ],
)
def test_weak_algorithms_are_refused(host: Host, option: str) -> None:
    # a MAC matters only to a cipher without its own
    done = ssh(host, "-o", option, "-o", "Ciphers=aes256-ctr")
    assert done.returncode != 0
    assert "no match" in done.stderr.lower() or "unable to negotiate" in done.stderr.lower()


def test_post_quantum_exchanges_are_used(host: Host) -> None:
    assert ssh(host, "-o", "KexAlgorithms=sntrup761x25519-sha512@openssh.com").returncode == 0
    if host.system_info.codename == "trixie":
        assert host.check_output("sshd -T").count("mlkem768x25519-sha256") == 1


def test_the_distributions_keys_are_as_they_were(host: Host) -> None:
    assert "3072" in host.check_output("ssh-keygen -lf /etc/ssh/ssh_host_rsa_key.pub")
    assert not [line for line in host.check_output("sshd -T").splitlines() if line.endswith("/ssh_host_rsa_key")]


def code_now() -> str:
    """RFC 6238: what the application on a phone shows."""
    key = base64.b32decode(CODE_KEY + "=" * (-len(CODE_KEY) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), "sha1").digest()
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 1000000:06d}"


def login_with_code(host: Host, tmp_path: Path, code: str, key: Path) -> subprocess.CompletedProcess[str]:
    asks = tmp_path / "ask"
    asks.write_text(f"#!/bin/sh\necho {code}\n")
    asks.chmod(0o700)
    return subprocess.run(
        [
            "ssh", "-F", "none", "-i", str(key), "-p", "2222", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=5",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "NumberOfPasswordPrompts=1",
            f"coder@{address(host)}", "id -un",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "SSH_ASKPASS": str(asks), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"},
    )  # fmt: skip


def test_a_key_needs_its_code(host: Host, tmp_path: Path) -> None:
    alone = ssh(host, user="coder", key=KEYS / "person")
    assert "Permission denied (keyboard-interactive)" in alone.stderr
    wrong = login_with_code(host, tmp_path, f"{(int(code_now()) + 500000) % 1000000:06d}", KEYS / "person")
    assert "Permission denied" in wrong.stderr
    right = login_with_code(host, tmp_path, code_now(), KEYS / "person")
    assert right.stdout.strip() == "coder", right.stderr
    assert "Permission denied (publickey)" in login_with_code(host, tmp_path, code_now(), KEYS / "former").stderr


@pytest.mark.parametrize(
    ("principal", "validity", "lets_in"),
    [("team", "-1h:+1h", True), ("team", "-2h:-1h", False), ("signed", "-1h:+1h", False), ("", "", False)],
    ids=["signed", "expired", "another-principal", "unsigned"],
)
def test_certificates(host: Host, tmp_path: Path, principal: str, validity: str, lets_in: bool) -> None:
    key = tmp_path / "key"
    shutil.copy(KEYS / "person", key)
    shutil.copy(KEYS / "person.pub", key.with_suffix(".pub"))
    if principal:
        sign = ["ssh-keygen", "-q", "-s", str(KEYS / "authority"), "-I", "trial", "-n", principal, "-V", validity]
        subprocess.run([*sign, str(key.with_suffix(".pub"))], check=True)
    done = ssh(host, user="signed", key=key)
    assert (done.returncode == 0) is lets_in, done.stderr
    assert done.stdout.strip() == ("signed" if lets_in else "")


def test_a_client_that_trusts_the_authority_knows_the_host(host: Host, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("@cert-authority * " + (KEYS / "authority.pub").read_text())
    strict = ("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known}")
    done = ssh(host, *strict)
    if host.system_info.codename == "bookworm":  # it alone has a certificate
        assert done.returncode == 0, done.stderr
    else:
        assert "Host key verification failed" in done.stderr


def test_a_revoked_key_lets_nobody_in(host: Host) -> None:
    assert host.file("/home/former/.ssh/authorized_keys").size > 0
    assert "Permission denied" in ssh(host, user="former", key=KEYS / "former").stderr
    assert "revoked" in host.check_output("journalctl --quiet --unit ssh.service --lines 200 --output cat")


def test_who_tries_to_get_in_is_banned_and_let_go(host: Host) -> None:
    name = "ssh-bookworm" if host.system_info.codename == "trixie" else "ssh-trixie"
    intruder = testinfra.get_host(f"ansible://{name}", ansible_inventory=os.environ["MOLECULE_INVENTORY_FILE"])

    def knock() -> str:
        options = "-4 -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5"
        return ssh(intruder, command=f"ssh {options} -p 2222 intruder@{address(host)} true 2>&1; true").stdout

    assert "Permission denied" in knock()
    give_up = time.monotonic() + 120
    while "Connection refused" not in knock():
        assert time.monotonic() < give_up, host.check_output("fail2ban-client status sshd")
        time.sleep(2)
    assert address(intruder) in host.check_output("fail2ban-client status sshd")
    assert ssh(host).returncode == 0, "the operator is never banned"
    assert host.check_output(f"fail2ban-client set sshd unbanip {address(intruder)}") == "1"
    assert "Connection refused" not in knock()


def test_fail2ban_lives_and_never_bans_the_controller(host: Host) -> None:
    assert host.service("fail2ban.service").is_enabled
    assert host.service("fail2ban.service").is_running
    assert host.check_output("systemctl show --property NRestarts --value fail2ban.service") == "0"
    controller = ssh(host, command="echo $SSH_CONNECTION").stdout.split()[0]
    assert controller in host.check_output("fail2ban-client get sshd ignoreip")
    if host.system_info.codename == "trixie":
        line = next(line for line in host.check_output("sshd -T").splitlines() if "penaltyexempt" in line)
        assert controller in line


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
