"""What a host is after the role, asked of the host itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from testinfra.host import Host

KEY = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / ".cache/lab/id_ed25519"


def test_deploy_logs_in_and_has_sudo(host: Host) -> None:
    variables = host.ansible.get_variables()
    done = subprocess.run(
        [
            "ssh", "-i", str(KEY), "-p", str(variables.get("ansible_port", 22)), "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            f"deploy@{variables['ansible_host']}", "sudo -n id -un && id -nG",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "root"
    assert "docker" in done.stdout.split()


def test_only_the_declared_key_is_left(host: Host) -> None:
    keys = host.file("/home/deploy/.ssh/authorized_keys")
    assert keys.mode == 0o600
    assert keys.user == "deploy"
    assert keys.content_string.strip() == KEY.with_suffix(".pub").read_text().strip()


def test_auditor_has_no_sudo(host: Host) -> None:
    assert host.user("auditor").exists
    assert host.run("sudo -n -l -U auditor").stdout.find("not allowed") != -1


def test_time_zone(host: Host) -> None:
    assert host.check_output("date +%Z") == "JST"
    assert host.file("/etc/localtime").linked_to == "/usr/share/zoneinfo/Asia/Tokyo"


def test_security_updates_are_what_apt_understands(host: Host) -> None:
    dump = host.check_output("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in dump
    assert 'Unattended-Upgrade::Automatic-Reboot-Time "03:15";' in dump
    assert '"^docker\\.io$"' in dump.replace("\\\\", "\\")
    origins = [line for line in dump.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern::")]
    assert origins
    assert not [line for line in origins if 'label=Debian"' in line]
    assert host.service("apt-daily-upgrade.timer").is_enabled
    assert host.service("apt-daily-upgrade.timer").is_running


def test_unattended_upgrade_runs_and_takes_the_security_archive(host: Host) -> None:
    done = host.run("unattended-upgrade --dry-run --debug")
    assert done.rc == 0, done.stderr
    assert "label=Debian-Security" in done.stdout


def test_kernel_settings_are_live_and_leave_docker_alone(host: Host) -> None:
    def live(key: str) -> str:
        return host.check_output(f"cat /proc/sys/{key.replace('.', '/')}")

    assert live("net.ipv4.conf.all.rp_filter") == "2"
    assert live("net.ipv4.conf.all.accept_redirects") == "0"
    assert live("net.core.somaxconn") == "2048"
    assert live("kernel.dmesg_restrict") == "1"
    written = host.file("/etc/sysctl.d/99-slipway-base.conf").content_string
    assert "net.core.somaxconn = 2048" in written
    for key in ("ip_forward", "forwarding", "max_user_namespaces", "bridge-nf"):
        assert key not in written


def test_journal_is_on_disk_within_its_limit(host: Host) -> None:
    assert host.file("/var/log/journal").is_directory
    assert host.service("systemd-journald").is_running
    said = host.check_output("journalctl -b -u systemd-journald -o cat --no-pager")
    assert "max 256" in said


def test_core_dumps_are_off_for_a_login(host: Host) -> None:
    assert host.check_output("su -l deploy -c 'ulimit -H -c'") == "0"


def test_banner(host: Host) -> None:
    assert "authorized people only" in host.file("/etc/issue.net").content_string
