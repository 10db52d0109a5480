"""What a host is after the role, asked of the host itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from testinfra.host import Host

KEY = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / ".cache/lab/id_ed25519"


def login(host: Host, user: str, command: str) -> subprocess.CompletedProcess[str]:
    """Over the wire, by the lab's key."""
    variables = host.ansible.get_variables()
    return subprocess.run(
        [
            "ssh", "-i", str(KEY), "-p", str(variables.get("ansible_port", 22)), "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            f"{user}@{variables['ansible_host']}", command,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def test_deploy_logs_in_and_has_sudo(host: Host) -> None:
    done = login(host, "deploy", "sudo -n id -un && id -nG")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "root"
    assert "docker" in done.stdout.split()


def test_an_account_that_only_a_key_opens_never_expires(host: Host) -> None:
    assert "never" in host.check_output("chage -l deploy | grep '^Password expires'")
    assert host.check_output("grep ^PASS_MAX_DAYS /etc/login.defs") == "PASS_MAX_DAYS 180"
    host.check_output("useradd --password '!' new-account")
    try:
        assert "Maximum number of days between password change\t\t: 180" in host.check_output("chage -l new-account")
    finally:
        host.check_output("userdel new-account")


def test_keepers_password_is_the_one_given(host: Host) -> None:
    assert host.check_output("getent shadow keeper").split(":")[1].startswith("$6$slipway$Mb3Bozv")
    assert "NOPASSWD" not in host.check_output("sudo -l -U keeper")


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


@pytest.mark.usefixtures("newest_only")
def test_unattended_upgrade_runs_and_takes_the_security_archive(host: Host) -> None:
    done = host.run("unattended-upgrade --dry-run --debug")
    assert done.rc == 0, done.stderr
    assert "label=Debian-Security" in done.stdout
    assert "security.sources" not in done.stderr
    assert "debian-security" in host.check_output("apt-cache policy")


def test_the_engine_is_held_from_unattended_updates(host: Host) -> None:
    script = (
        "import re,sys,importlib.util,importlib.machinery as m;"
        "l=m.SourceFileLoader('unattended_upgrade','/usr/bin/unattended-upgrade');"
        "s=importlib.util.spec_from_loader(l.name,l);u=importlib.util.module_from_spec(s);sys.modules[l.name]=u;"
        "l.exec_module(u);import apt_pkg;apt_pkg.init();"
        "held=apt_pkg.config.value_list('Unattended-Upgrade::Package-Blacklist');"
        "print([n for n in ['docker.io','docker-ce','containerd','runc','docker.iox','openssl']"
        " if u.is_pkgname_in_blacklist(n, held)])"
    )
    said = host.check_output(f'python3 -c "{script}"')
    assert said.splitlines()[-1] == "['docker.io', 'docker-ce', 'containerd', 'runc']"


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


def options_of(host: Host, path: str) -> set[str]:
    """Of the mount that counts, the last on a path."""
    lines = [line.split() for line in host.file("/proc/mounts").content_string.splitlines()]
    return set([line[3] for line in lines if line[1] == path][-1].split(","))


def test_mounts_let_no_program_run_and_lose_nothing(host: Host) -> None:
    assert {"nodev", "nosuid", "noexec"} <= options_of(host, "/tmp")
    assert {"nodev", "nosuid"} <= options_of(host, "/var/tmp")
    assert "hidepid=invisible" in options_of(host, "/proc")
    refused = host.run("cp /bin/true /tmp/program && /tmp/program; code=$?; rm /tmp/program; exit $code")
    assert refused.rc == 126
    assert host.check_output("stat -c %a /tmp") == "1777"
    assert host.check_output("systemctl is-enabled slipway-mount-options.service") == "enabled"


def test_packages_with_questions_install_although_tmp_runs_nothing(host: Host) -> None:
    """Their configuration scripts are unpacked and run before them."""
    done = host.run("DEBIAN_FRONTEND=noninteractive apt-get install -qq --reinstall --yes tzdata")
    assert done.rc == 0, done.stderr
    assert "Permission denied" not in done.stdout + done.stderr


def test_users_see_their_own_processes_alone(host: Host) -> None:
    done = login(host, "deploy", "ps -e -o user= | sort -u")
    assert done.stdout.split() == ["deploy"]
    assert "root" in host.check_output("ps -e -o user= | sort -u").split()


def test_new_files_of_people_are_closed(host: Host) -> None:
    assert host.check_output("su -l deploy -c umask") == "0077"
    assert host.check_output("su -l deploy -c 'echo $TMOUT'") == "600"
    assert host.check_output("grep -c ^UMASK /etc/login.defs") == "1"


def test_weak_passwords_are_refused(host: Host) -> None:
    host.check_output("chage --mindays 0 keeper")
    words = "Lab Keeper 2026\\nmarine\\nmarine\\nmarine\\nmarine\\nmarine\\nmarine\\n"
    done = host.run(f"printf '{words}' | runuser -u keeper -- passwd")
    assert done.rc != 0
    assert "BAD PASSWORD" in done.stdout + done.stderr
    assert "\nminlen = 18\n" in host.file("/etc/security/pwquality.conf").content_string
    assert "pam_pwquality" in host.file("/etc/pam.d/common-password").content_string


def test_su_is_for_root_and_the_group(host: Host) -> None:
    assert host.check_output("su deploy -c 'id -un'") == "deploy"
    refused = host.run("su deploy -c 'echo \"Lab Keeper 2026\" | su keeper -c id'")
    assert refused.rc != 0


def test_jobs_are_for_those_declared(host: Host) -> None:
    assert host.run("echo '' | runuser -u deploy -- crontab -").rc == 0
    assert host.run("echo '' | runuser -u keeper -- crontab -").rc != 0
    assert host.service("cron").is_running
    assert host.file("/etc/cron.d").mode == 0o700


def test_modules_that_nobody_needs_do_not_load(host: Host) -> None:
    text = host.file("/etc/modprobe.d/60-slipway.conf").content_string
    assert [line for line in text.splitlines() if line.startswith("install")] == [
        "install usb-storage /bin/false",
        "install dccp /bin/false",
    ]


def test_audit_asks_the_kernel_before_it_starts(host: Host) -> None:
    """Where the kernel has audit for this host auditd runs; elsewhere it is skipped, and has not failed."""
    kernel_has_audit = host.run("auditctl -s || exit 1").rc == 0
    assert host.service("auditd").is_running == kernel_has_audit
    assert host.check_output("systemctl is-failed auditd.service || true") in ("active", "inactive")
    assert host.run("grep -q '^max_log_file_action = ROTATE' /etc/audit/auditd.conf").rc == 0
    assert host.run("grep -q '^num_logs = 4' /etc/audit/auditd.conf").rc == 0


def test_a_changed_file_is_told_until_it_is_accepted(host: Host) -> None:
    host.check_output("slipway-integrity accept")
    host.check_output("systemctl start slipway-integrity.service")
    host.check_output("touch /usr/local/bin/new-program")
    try:
        assert host.run("systemctl start slipway-integrity.service").rc != 0
        told = host.check_output("journalctl --unit slipway-integrity --no-pager --output cat --lines 60")
        assert "/usr/local/bin/new-program" in told
        host.check_output("slipway-integrity accept")
        host.check_output("systemctl start slipway-integrity.service")
    finally:
        host.check_output("rm -f /usr/local/bin/new-program")
        host.check_output("slipway-integrity accept")


def test_packages_are_verified(host: Host) -> None:
    assert host.check_output("grep ^CRON_CHECK /etc/default/debsums") == "CRON_CHECK=weekly"
    assert host.check_output("debsums --silent --changed sudo cron || true") == ""


def test_files_about_access_are_closed(host: Host) -> None:
    assert host.file("/etc/ssh/sshd_config").mode == 0o600
    assert host.file("/etc/sudoers.d").mode == 0o750
    assert host.file("/root").mode == 0o700


def test_user_services_and_jobs_go_on(host: Host) -> None:
    host.check_output("loginctl enable-linger deploy")
    uid = host.check_output("id -u deploy")
    user = f"runuser -u deploy -- env XDG_RUNTIME_DIR=/run/user/{uid}"
    home = "/home/deploy/.config/systemd/user"
    script = "[Service]\\nExecStart=sleep infinity\\n"
    host.check_output(f"runuser -u deploy -- mkdir -p {home}")
    host.check_output(f"printf '{script}' | runuser -u deploy -- tee {home}/beat.service")
    host.check_output(f"{user} systemctl --user daemon-reload")
    host.check_output(f"{user} systemctl --user start beat.service")
    assert host.check_output(f"{user} systemctl --user is-active beat.service") == "active"
    host.check_output(f"{user} systemctl --user stop beat.service; loginctl disable-linger deploy")
    host.check_output(f"rm -r {home}")
